"""Earlier runs as rows of text: what `harness list` and `harness history` print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.judge.past_runs import HISTORY_FIGURES, PastRun
from reports.number_format import format_quantity

if TYPE_CHECKING:
    from harness.judge.history import FigureChange, HistoryEntry

RUN_HEADERS = (
    "verdict",
    "run",
    "scenario",
    "started",
    "complete",
    "p95 delivery",
    "goodput",
    "amplification",
    "labels",
)
HISTORY_HEADERS = (
    "verdict",
    "started",
    "complete",
    "p95 delivery",
    "goodput",
    "amplification",
    "labels",
    "beyond noise",
)
FIGURE_TITLES = {
    "delivery_seconds.p95": "p95 delivery",
    "rates.goodput_per_s": "goodput",
    "attempts.amplification": "amplification",
    "stations.completed_by_deadline_ratio": "complete",
}
_NOT_JUDGED = "NOT JUDGED"


def run_rows(runs: Sequence[PastRun]) -> list[list[str]]:
    """One row per run, newest first, as `RUN_HEADERS`."""
    return [
        [
            run.verdict.upper() or _NOT_JUDGED, run.name, run.record.name,
            run.started + (" (simulated)" if run.record.simulated else ""), *_figures(run), run.labels,
        ]
        for run in reversed(runs)
    ]  # fmt: skip


def history_rows(entries: Sequence[HistoryEntry]) -> list[list[str]]:
    """One row per run, oldest first, as `HISTORY_HEADERS`."""
    return [
        [
            entry.run.verdict.upper() or _NOT_JUDGED,
            entry.run.started,
            *_figures(entry.run),
            entry.run.labels,
            describe_changes(entry.changes),
        ]
        for entry in entries
    ]


def describe_changes(changes: Sequence[FigureChange]) -> str:
    """What changed, as text.

    >>> from harness.judge.history import FigureChange
    >>> describe_changes([FigureChange("delivery_seconds.p95", 2.0, 2.5, better=False)])
    'worse: p95 delivery +25 %'
    """
    return "; ".join(
        f"{'better' if one.better else 'worse'}: {FIGURE_TITLES[one.key]} {one.ratio:+.0%}".replace("%", " %")
        for one in changes
    )


def _figures(run: PastRun) -> list[str]:
    keys = (
        "stations.completed_by_deadline_ratio",
        "delivery_seconds.p95",
        "rates.goodput_per_s",
        "attempts.amplification",
    )
    return ["" if (value := run.figures[key]) is None else format_quantity(value, HISTORY_FIGURES[key]) for key in keys]
