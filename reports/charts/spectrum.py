"""Spectrum: the waiting time of pages in percentiles from the median to 99.99 %, on the logarithmic axis of HdrHistogram's plots."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from harness.analysis.chart_types import ChartData
from harness.analysis.summary import Distribution, Summary
from reports import number_format, palette
from reports.charts.labels import EndLabel, draw_end_labels
from reports.charts.style import Chart, Panel, titled_figure, write_placeholder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "p99_99": 0.9999}
TAIL_PHRASES = {
    "p99_99": "One in ten thousand pages", "p99_9": "One in a thousand pages", "p99": "One in a hundred pages",
    "p95": "One in twenty pages",
}  # fmt: skip
ALL_PAGES = "all pages"
FAULTS = (palette.VERMILION, palette.PURPLE, palette.ORANGE, palette.BROWN)


@dataclass(frozen=True, slots=True)
class SpectrumCurve:
    """A distribution to draw: its name, its percentiles, its colour."""

    name: str
    distribution: Distribution
    colour: str


def nines(share: float) -> float:
    """The position of a ratio on the axis: each further nine takes as much room as the one before.

    >>> [round(nines(q), 3) for q in (0.5, 0.9, 0.99)]
    [0.301, 1.0, 2.0]
    """
    return -math.log10(1 - share)


def points(distribution: Distribution) -> tuple[list[float], list[float]]:
    """Positions on the axis and seconds of the percentiles for which the sample is large enough."""
    known = [(nines(share), getattr(distribution, name)) for name, share in PERCENTILES.items()]
    # a logarithmic axis has no place for 0 s
    kept = [(place, value) for place, value in known if value is not None and value > 0]
    return [place for place, _ in kept], [value for _, value in kept]


def finding(summary: Summary) -> str:
    """How long the slowest deliveries took compared with the median; or how many pages were never acknowledged."""
    distribution = summary.delivery_seconds
    if not distribution.count:
        return "No page fell due"
    name = next((name for name in TAIL_PHRASES if getattr(distribution, name) is not None), None)
    if name is None or not distribution.p50:
        if distribution.never:
            return f"{distribution.never:,} of {number_format.plural(distribution.count, 'page')} {'was' if distribution.never == 1 else 'were'} never acknowledged"
        return f"{number_format.plural(distribution.count, 'page')} are too few to tell how long the slowest took"
    slow: float = getattr(distribution, name)
    # one decimal would pretend precision: percentiles of the tail vary by tens of percent
    times = slow / distribution.p50
    sentence = f"{TAIL_PHRASES[name]} took more than {number_format.format_duration(slow)} to be delivered"
    sentence += (
        f", {number_format.format_count(times)} times the median" if times >= 2 else ", little more than the median"
    )
    return f"{sentence}; {distribution.never:,} never were" if distribution.never else sentence


def curves(chart_data: ChartData, summary: Summary) -> list[SpectrumCurve]:
    """The waiting time of all pages, of those that fell due in each phase, and of whole stations.

    Only what somebody waits for: single attempts, of which a page may need several, are in the responses chart.
    """
    faults = iter(FAULTS * len(chart_data.delivery_by_phase))
    found = [
        SpectrumCurve("due while clear", part.distribution, palette.GREY)
        if part.phase == "clear"
        else SpectrumCurve(f"due during {part.phase}", part.distribution, next(faults))
        for part in chart_data.delivery_by_phase
        if part.phase != "warm_up"
    ]
    found.append(SpectrumCurve("whole stations", summary.completion_seconds, palette.INK))
    found.append(SpectrumCurve(ALL_PAGES, summary.delivery_seconds, palette.GOODPUT))
    return [curve for curve in found if points(curve.distribution)[0]]


def draw(chart_data: ChartData, summary: Summary) -> Figure:
    """The curves, each up to the last percentile its sample allows.

    A page waits from its first due time to its acknowledgement, over all its attempts and the pauses between them.
    """
    found = curves(chart_data, summary)
    drawn = titled_figure(finding(summary), [Panel("waiting time", 3.2 if found else 1.2)])
    axes = drawn.panels[0]
    if not found:
        half = summary.delivery_seconds.never * 2 > summary.delivery_seconds.count
        write_placeholder(
            axes,
            "no median: more than half were never acknowledged"
            if half
            else "no deliveries, or too few for a percentile",
        )
        axes.set_xticks([])
        return drawn.figure
    labels: list[EndLabel | None] = []
    for curve in found:
        places, seconds = points(curve.distribution)
        bold = curve.name == ALL_PAGES
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
            EndLabel(
                places[-1],
                seconds[-1],
                f"{curve.name}, {number_format.format_duration(seconds[-1])}",
                curve.colour,
                bold,
            )
        )
    _scale(axes, [points(curve.distribution) for curve in found])
    draw_end_labels(axes, labels)
    return drawn.figure


def _scale(axes: Axes, drawn: list[tuple[list[float], list[float]]]) -> None:
    seconds = [value for _, values in drawn for value in values]
    # room for the markers, which lie on the frame otherwise
    low, high = min(seconds) / 1.3, max(seconds) * 1.3
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0,) if high / low > 10_000 else (1.0, 3.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number_format.format_duration(value)))
    last = max(place for places, _ in drawn for place in places)
    # ticks only where some sample is large enough
    ticks = [share for share in PERCENTILES.values() if nines(share) <= last]
    axes.set_xticks([nines(share) for share in ticks], [number_format.format_ratio(share) for share in ticks])
    axes.set_xlim(nines(0.5), last + 0.02)
    axes.set_xlabel("percentile", loc="left")


CHART = Chart(
    "spectrum",
    "Spectrum",
    "How long did the slowest pages take?",
    lambda _, summary: finding(summary),
    draw,
    over_time=False,
)
