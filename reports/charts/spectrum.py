"""Spectrum: percentiles from the median to 99.9, on a scale that stretches the rare and slow ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from harness.figures.series import Series
from harness.figures.summary import Spread, Summary
from reports import palette, quantities
from reports.charts.frame import Chart, EndLabel, Panel, label_ends, say_nothing, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
RARELY = {"p99_9": "One in a thousand responses", "p99": "One in a hundred responses", "p95": "One in twenty responses"}
FAULTS = (palette.VERMILION, palette.PURPLE, palette.ORANGE, palette.BROWN)


@dataclass(frozen=True, slots=True)
class Curve:
    """A distribution to draw: its name, its figures, its colour."""

    name: str
    spread: Spread
    colour: str


def nines(share: float) -> float:
    """Where a share stands on the axis: each nine takes as much room as the one before.

    >>> [round(nines(q), 3) for q in (0.5, 0.9, 0.99)]
    [0.301, 1.0, 2.0]
    """
    return -math.log10(1 - share)


def points(spread: Spread) -> tuple[list[float], list[float]]:
    """Places on the axis and seconds of the percentiles that the sample can bear."""
    known = [(nines(share), getattr(spread, name)) for name, share in PERCENTILES.items()]
    kept = [(place, value) for place, value in known if value is not None and value > 0]
    return [place for place, _ in kept], [value for _, value in kept]


def finding(summary: Summary) -> str:
    """How long the unlucky waited, beside the median."""
    spread = summary.response_seconds
    if not spread.count:
        return "There were no responses"
    name = next((name for name in RARELY if getattr(spread, name) is not None), None)
    if name is None or not spread.p50:
        return f"{quantities.plural(spread.count, 'response')} are too few to say how long the unlucky waited"
    slow: float = getattr(spread, name)
    times = slow / spread.p50
    said = f"{RARELY[name]} took more than {quantities.seconds(slow)}"
    return f"{said}, {times:.0f} times the median" if times >= 2 else f"{said}, little more than the median"


def curves(summary: Summary) -> list[Curve]:
    """A curve for each kind of phase, the one with most attempts of each; one for all responses; one for delivery."""
    longest = {}
    for phase in sorted(summary.phases, key=lambda phase: phase.attempts):
        longest[phase.name] = phase
    faults = iter(FAULTS * (len(longest) // len(FAULTS) + 1))
    found = [
        Curve(
            f"during {phase.name}" if fault else "while clear",
            phase.response_seconds,
            next(faults) if fault else palette.GREY,
        )
        for phase in longest.values()
        for fault in [phase.name not in {"clear", "warm_up"}]
        if phase.name != "warm_up"
    ]
    found.append(Curve("all responses", summary.response_seconds, palette.INK))
    found.append(Curve("delivery", summary.delivery_seconds, palette.GOODPUT))
    return [curve for curve in found if points(curve.spread)[0]]


def draw(_: Series, summary: Summary) -> Figure:
    """The curves, each cut where its sample ends; delivery is what a page waited for in the end, with all retries."""
    drawn = sheet(finding(summary), [Panel("this long at most", 3.2)])
    axes, found = drawn.panels[0], curves(summary)
    if not found:
        say_nothing(axes, "no responses, or too few for a percentile")
        axes.set_xticks([])
        return drawn.figure
    labels: list[EndLabel | None] = []
    for curve in found:
        places, seconds = points(curve.spread)
        bold = curve.name.startswith("delivery")
        axes.plot(
            places,
            seconds,
            color=curve.colour,
            linewidth=2.4 if bold else 1.4,
            marker="o",
            markersize=4,
            gid=curve.name,
        )
        labels.append(
            EndLabel(places[-1], seconds[-1], f"{curve.name}, {quantities.seconds(seconds[-1])}", curve.colour, bold)
        )
    _scale(axes, [points(curve.spread) for curve in found])
    label_ends(axes, labels)
    return drawn.figure


def _scale(axes: Axes, drawn: list[tuple[list[float], list[float]]]) -> None:
    seconds = [value for _, values in drawn for value in values]
    low, high = min(seconds) / 1.3, max(seconds) * 1.3
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0,) if high / low > 10_000 else (1.0, 3.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: quantities.seconds(value)))
    last = max(place for places, _ in drawn for place in places)
    ticks = [share for share in PERCENTILES.values() if nines(share) <= last]
    axes.set_xticks([nines(share) for share in ticks], [quantities.share(share) for share in ticks])
    axes.set_xlim(nines(0.5), last + 0.02)
    axes.set_xlabel("of those who waited", loc="left")


CHART = Chart(
    "spectrum",
    "Spectrum",
    "How long did the unlucky wait?",
    lambda _, summary: finding(summary),
    draw,
    over_time=False,
)
