"""Throughput: pages due, pages delivered and answers per second, from the generator's scrapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from harness.analysis.chart_types import ChartData, ChartLine
from harness.analysis.summary import Recovery, Summary
from reports import number_format, palette
from reports.charts.labels import draw_end_labels, end_label
from reports.charts.style import Chart, Panel, downsample_means, draw_line, empty_chart, time_figure

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

    FloatArray = npt.NDArray[np.float64]

SHORTFALL_RATIO = 0.8
"""Goodput below this ratio of offered counts as a shortfall; smaller gaps are the noise of random arrivals."""
SMOOTHING_S, MIN_SHORTFALL_S = 5.0, 3.0


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A period in which goodput stayed below 80 % of offered; `ratio` is goodput ÷ offered over the whole of it."""

    start_s: float
    end_s: float
    ratio: float


def find_shortfalls(offered: ChartLine, goodput: ChartLine) -> list[Shortfall]:
    """Every shortfall of at least 3 s, the one with the most missing pages first.

    Shortfalls are found in rates smoothed over 5 s, so that noise neither creates one nor splits one in two; their ends
    are taken from the raw rates. A rate is placed in the middle of its interval between two scrapes.
    """
    t_s = offered.t_s
    # two scrapes have a single rate, and a single rate has no beginning and no end
    if len(t_s) < 3:
        return []
    offered_per_s = np.nan_to_num(offered.value)
    goodput_per_s = np.nan_to_num(np.interp(t_s, goodput.t_s, goodput.value))
    offered_smooth = _smooth(t_s, offered_per_s)
    # False at both ends, so that a shortfall at the start or end of the run has two edges, too
    short = np.concatenate([[False], _smooth(t_s, goodput_per_s) < SHORTFALL_RATIO * offered_smooth, [False]])
    edges = np.flatnonzero(short[1:] != short[:-1])
    # a rate holds from halfway to its neighbour on the left to halfway on the right
    halves = np.diff(t_s) / 2
    begins, ends = t_s - np.append(halves[:1], halves), t_s + np.append(halves, halves[-1:])
    found = []
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        low = first + np.flatnonzero(goodput_per_s[first:stop] < SHORTFALL_RATIO * offered_smooth[first:stop])
        # only the smoothed rate fell short, next to a deeper gap
        if not len(low):
            continue
        start_s, end_s = float(begins[low[0]]), float(ends[low[-1]])
        due, delivered = (float(rate[low[0] : low[-1] + 1].sum()) for rate in (offered_per_s, goodput_per_s))
        if end_s - start_s >= MIN_SHORTFALL_S and due > delivered:
            found.append((due - delivered, Shortfall(start_s, end_s, delivered / due)))
    return [fall for _, fall in sorted(found, key=lambda pair: -pair[0])]


def _smooth(t_s: FloatArray, value: FloatArray) -> FloatArray:
    """Centred moving average over 5 s."""
    first = np.searchsorted(t_s, t_s - SMOOTHING_S / 2, side="left")
    last = np.searchsorted(t_s, t_s + SMOOTHING_S / 2, side="right")
    sums = np.concatenate([[0.0], np.cumsum(value)])
    mean: FloatArray = (sums[last] - sums[first]) / (last - first)
    return mean


def _causes(chart_data: ChartData, fall: Shortfall) -> set[str]:
    """Names of the faults that were active when a shortfall began, or had just ended; later ones cannot have caused it."""
    near = [
        w
        for w in chart_data.windows
        if w.end_s > fall.start_s - SMOOTHING_S and w.start_s < fall.start_s + SMOOTHING_S / 2
    ]
    return {window.label for window in near}


def finding(chart_data: ChartData, summary: Summary) -> str:
    """How far goodput fell below the offered load, for how long, and how it recovered."""
    rates, pages = chart_data.rates, summary.pages
    # without scrapes the lines are empty
    if not np.isfinite(rates.offered.value).any():
        return "The generator was not scraped, so its rates over time are not known"
    falls = find_shortfalls(rates.offered, rates.goodput)
    if not falls:
        delivered = f"{number_format.format_count(pages.delivered)} of {number_format.plural(pages.planned, 'page')} were delivered"
        return f"Goodput kept up with the offered load; {delivered}"
    # a shortfall with a cause explains more than a deeper one without
    fall = next((fall for fall in falls if _causes(chart_data, fall)), falls[0])
    lasted = number_format.format_duration(fall.end_s - fall.start_s)
    sentence = f"Goodput fell to {number_format.format_ratio(fall.ratio)} of offered for {lasted}"
    causes = _causes(chart_data, fall)
    if not causes:
        later = next(
            (window.label for window in chart_data.windows if fall.start_s < window.start_s < fall.end_s), None
        )
        since = (
            f"{sentence}, from {'the start' if fall.start_s < 0.5 else number_format.format_duration(fall.start_s)} on"
        )
        return f"{since}, before the {later} began" if later else f"{since}, while no fault was active"
    return sentence + _recovered([recovery for recovery in summary.recovery if recovery.fault in causes])


def _recovered(recoveries: list[Recovery]) -> str:
    """How goodput recovered from the last of these faults; empty if that is not known."""
    if not recoveries:
        return ""
    last = max(recoveries, key=lambda recovery: recovery.ended_s)
    if last.recovered_after_s is None:
        return f" and never recovered after the {last.fault} ended" + (": metastable" if last.metastable else "")
    # scrapes are a second apart: below half of that there was no delay
    if last.recovered_after_s < 0.5:
        return f" and was back as soon as the {last.fault} ended"
    return f" and recovered {number_format.format_duration(last.recovered_after_s)} after the {last.fault} ended"


def draw(chart_data: ChartData, summary: Summary) -> Figure:
    """Three lines; the shaded gap between offered and goodput is what stations wait for."""
    rates, sentence = chart_data.rates, finding(chart_data, summary)
    if not np.isfinite(rates.offered.value).any():
        return empty_chart(chart_data, sentence, "no scrapes of the generator")
    drawn = time_figure(chart_data, sentence, [Panel("pages due, pages delivered and all answers, per second", 2.9)])
    axes = drawn.panels[0]
    offered, goodput, answers = (
        downsample_means(rates.offered),
        downsample_means(rates.goodput),
        downsample_means(rates.throughput),
    )
    _gap(axes, offered, goodput)
    # wider than goodput, which would hide it where every answer is a delivery
    draw_line(axes, answers, palette.THROUGHPUT, width=4.4)
    draw_line(axes, offered, palette.OFFERED, width=1.4, dashed=True)
    draw_line(axes, goodput, palette.GOODPUT, width=2.2)
    axes.set_ylim(bottom=0)
    mean = summary.rates

    def named(name: str, value: float | None) -> str:
        return name if value is None else f"{name}, mean {number_format.format_rate(value)}"

    draw_end_labels(
        axes,
        [
            end_label(goodput, named("goodput", mean.goodput_per_s), palette.GOODPUT, bold=True),
            end_label(offered, named("offered", mean.offered_per_s), palette.OFFERED),
            end_label(answers, named("all answers", mean.throughput_per_s), palette.THROUGHPUT),
        ],
    )
    return drawn.figure


def _gap(axes: Axes, offered: ChartLine, goodput: ChartLine) -> None:
    """Shade the time in which fewer pages were delivered than fell due: the backlog grows."""
    goodput_per_s = np.interp(offered.t_s, goodput.t_s, goodput.value)
    short = goodput_per_s < offered.value
    axes.fill_between(
        offered.t_s,
        goodput_per_s,
        offered.value,
        where=short,
        interpolate=True,
        color=palette.VERMILION,
        alpha=0.16,
        linewidth=0,
    )


CHART = Chart("throughput", "Throughput", "Did the server deliver as many pages as fell due?", finding, draw)
