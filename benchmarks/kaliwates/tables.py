"""The results as the table of docs/explanation/what-would-have-saved-kaliwates.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.kaliwates.remedies import FIGURES, Figure, Remedy, RemedyResults
from reports.number_format import format_count, format_ratio


def _format_late(value: float) -> str:
    days, hours = divmod(round(value / 3600), 24)
    written = [f"{number} {unit}" for number, unit in ((days, "d"), (hours, "h")) if number]
    return " ".join(written) or "on time"


FORMATS: Mapping[str, Callable[[float], str]] = {
    "at_news_ratio": format_ratio,
    "at_deadline_ratio": format_ratio,
    "recapitulation_late_s": _format_late,
    "amplification": lambda value: f"{value:.2f}",
    "wasted_work": format_count,
}
"""How a figure is written, by its key."""


def markdown(results: RemedyResults) -> str:
    """A sentence on the conditions, and the ranked table."""
    measured, simulated = (
        sorted({len(runs) for runs in counted})
        for counted in (
            [remedy.measured for remedy in results.remedies],
            [remedy.simulated for remedy in results.remedies],
        )
    )
    later = [
        f" `{remedy.name}` was measured {_when(remedy.at, remedy.host)}: compare it with its simulation first."
        for remedy in results.remedies
        if remedy.at
    ]
    conditions = (
        f"Measured {_when(results.at, results.host)}: the mean of "
        f"{_many(measured)} runs each, all valid, no acknowledged page lost. Simulated, in *italics*: the median of {_many(simulated)} runs each."
        f"{''.join(later)}"
    )
    head = "| | " + " | ".join(f"{figure.title} | *sim.*" for figure in FIGURES) + " |"
    rule = "| --- |" + " ---: |" * 2 * len(FIGURES)
    return "\n".join([conditions, "", head, rule, *(_row(remedy) for remedy in results.ranked)])


def _when(at: str, host: Mapping[str, str | int]) -> str:
    return f"on {at[:10]} ({host.get('cpu', 'an unknown CPU')}, {host.get('cores', '?')} cores)"


def _many(counts: list[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _row(remedy: Remedy) -> str:
    return f"| {remedy.name} | " + " | ".join(_pair(figure, remedy) for figure in FIGURES) + " |"


def _pair(figure: Figure, remedy: Remedy) -> str:
    write = FORMATS[figure.key]
    return f"{write(figure.average(remedy.measured))} | *{write(figure.middle(remedy.simulated))}*"
