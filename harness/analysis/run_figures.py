"""The key figures of one run as plain numbers, to be set side by side: over seeds, or predicted beside measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from harness.analysis.rows import Rows
from harness.analysis.summary import Recovery, Summary

CURVE_POINTS = 400
"""A completion curve has at most so many points: what a chart can show."""


class FigureKind(NamedTuple):
    """One key figure: its name for readers, and the unit of its values."""

    title: str
    unit: str


FIGURES: dict[str, FigureKind] = {
    "completed_by_deadline_ratio": FigureKind("stations by the deadline", "ratio"),
    "delivery_p50_s": FigureKind("delivery p50", "s"),
    "delivery_p95_s": FigureKind("delivery p95", "s"),
    "completion_p95_s": FigureKind("completion p95", "s"),
    "finished_s": FigureKind("last page delivered at", "s"),
    "attempts": FigureKind("attempts", ""),
    "amplification": FigureKind("amplification", ""),
    "wasted_work": FigureKind("wasted work", ""),
    "shed": FigureKind("shed", ""),
    "recovery_s": FigureKind("longest recovery", "s"),
}
"""The key figures, in the order of tables."""


class ThresholdOutcome(BaseModel):
    """How one threshold came out in one run."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, defer_build=True)

    assertion: str
    observed: float | None
    passed: bool


class RunFigures(BaseModel):
    """The key figures of one run."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    seed: int
    verdict: str
    safety: bool | None
    """None if it is unknown."""
    values: dict[str, float | None]
    """By the keys of `FIGURES`. None: it never happened, or there are too few samples."""
    by_outcome: dict[str, int]
    """Attempts by outcome."""
    thresholds: list[ThresholdOutcome] = []
    curve_t_s: list[float]
    curve: list[float]
    """Share of stations complete over time."""


def compute_values(summary: Summary, rows: Rows) -> dict[str, float | None]:
    """The values of `FIGURES`."""
    stations, attempts, server = summary.stations, summary.attempts, summary.server
    delivered = rows.acknowledged_s[np.isfinite(rows.acknowledged_s)]
    return {
        "completed_by_deadline_ratio": stations.completed_by_deadline_ratio,
        "delivery_p50_s": summary.delivery_seconds.p50,
        "delivery_p95_s": summary.delivery_seconds.p95,
        "completion_p95_s": summary.completion_seconds.p95,
        "finished_s": float(delivered.max()) if len(delivered) == rows.pages else None,
        "attempts": attempts.total,
        "amplification": attempts.amplification,
        "wasted_work": server.wasted_work,
        "shed": server.shed,
        "recovery_s": _longest_recovery(summary.recovery),
    }


def _longest_recovery(recoveries: Sequence[Recovery]) -> float | None:
    known = [recovery.recovered_after_s for recovery in recoveries]
    return None if not known or None in known else max(value for value in known if value is not None)


def completion_curve(rows: Rows) -> tuple[list[float], list[float]]:
    """Times and the share of stations complete at each, from T0 to the deadline or the end, whichever is later."""
    end_s = max(rows.record.deadline_s, rows.end_s)
    times = np.linspace(0.0, end_s, CURVE_POINTS)
    done = np.sort(rows.completed_s[np.isfinite(rows.completed_s)])
    shares = np.searchsorted(done, times, side="right") / max(len(rows.completed_s), 1)
    return times.tolist(), shares.tolist()


def completed_at(rows: Rows, at_s: float) -> float:
    """Share of stations that were complete at a moment."""
    return float((rows.completed_s <= at_s).sum()) / max(len(rows.completed_s), 1)
