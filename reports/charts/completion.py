"""Completion: share of stations with every page acknowledged over time, in total and per kelurahan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from harness.analysis.chart_types import ChartData, ChartLine, CompletionLines
from harness.analysis.summary import Summary
from reports import number_format, palette
from reports.charts.labels import EndLabel, draw_end_labels, end_label
from reports.charts.layout import current_layout
from reports.charts.style import (
    Chart,
    ChartFigure,
    Panel,
    downsample_points,
    draw_line,
    empty_chart,
    time_figure,
    time_span,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


MAX_SMALL_MULTIPLES = 12
"""Up to this many kelurahan have a small chart each; of more, only the slowest are named, at their lines."""
MAX_LINES = 60
"""Of more kelurahan than this, only the slowest have a line."""
SCALES = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"))


def finding(chart_data: ChartData, summary: Summary) -> str:
    """How many stations were complete by the deadline, and which kelurahan was last."""
    stations = summary.stations
    if not stations.planned:
        return "No station was planned"
    done = stations.completed_by_deadline
    if done == stations.planned:
        # the curve is a ratio of sums: 1.0 may be off by a rounding error
        reached = np.flatnonzero(chart_data.completion.total.value >= 1 - 1e-9)
        sentence = f"All {number_format.plural(done, 'station')} were complete"
        if not len(reached) or chart_data.deadline_s <= 0:
            return sentence + " by the deadline"
        spare = chart_data.deadline_s - float(chart_data.completion.total.t_s[reached[0]])
        order = slowest_first(chart_data)
        # with a single kelurahan "was last" would be no information
        last_text = (
            f"; {number_format.format_place(order[0].label, chart_data.completion.group)} was last"
            if len(order) > 1
            else ""
        )
        return f"{sentence} {number_format.format_duration(max(spare, 0.0))} before the deadline{last_text}"
    ratio = number_format.format_ratio(done / stations.planned)
    sentence = (
        f"{done:,} of {number_format.plural(stations.planned, 'station')} ({ratio}) were complete by the deadline"
    )
    order = slowest_first(chart_data)
    if len(order) < 2:
        return sentence
    last, share = (
        number_format.format_place(order[0].label, chart_data.completion.group),
        _reached(order[0], chart_data.deadline_s)[0],
    )
    return f"{sentence}; {last} was last with {number_format.format_ratio(share)}"


def slowest_first(chart_data: ChartData) -> list[ChartLine]:
    """The kelurahan by what they had reached at the deadline, the least first: the first is both named and coloured."""
    return sorted(chart_data.completion.kelurahan, key=lambda line: _reached(line, chart_data.deadline_s))


def draw(chart_data: ChartData, summary: Summary) -> Figure:
    """The total in bold and the slowest kelurahan in its own colour; below it election time, then each kelurahan."""
    sentence, completion = finding(chart_data, summary), chart_data.completion
    if not np.isfinite(completion.total.value).any():
        return empty_chart(chart_data, sentence, "no station had started")
    scale = _election_scale(chart_data)
    apart = scale is not None and scale.per_s != 1
    heading = "share of stations complete"
    if chart_data.end_s > chart_data.deadline_s:
        heading += "; labels: at the deadline \N{RIGHTWARDS ARROW} at the end"
    if len(completion.kelurahan) > MAX_LINES:
        heading += f"; grey: the middle 90 % of {_counted(completion)}"
    few = completion.kelurahan if 1 < len(completion.kelurahan) <= MAX_SMALL_MULTIPLES else []
    room = multiples_height_in(len(few)) if few else 0.0
    drawn = time_figure(chart_data, sentence, [Panel(heading, 3.3)], below_in=room + (0.47 if apart else 0.0))
    axes = drawn.panels[0]
    planned, whole = downsample_points(completion.planned), downsample_points(completion.total)
    # with small charts below, lines of single kelurahan in the big chart would only hide the total
    labels = [] if few else _draw_places(axes, chart_data)
    draw_line(axes, planned, palette.OFFERED, width=1.4, dashed=True)
    draw_line(axes, whole, palette.GOODPUT, width=2.6)
    labels.append(
        end_label(whole, f"all {_progress(completion.total, chart_data.deadline_s)}", palette.GOODPUT, bold=True)
    )
    labels.append(end_label(planned, "arrived", palette.OFFERED))
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    draw_end_labels(axes, labels)
    if scale is not None:
        _election_axis(axes, scale, chart_data.time_scale)
    if few:
        multiples = _one_by_one(slowest_first(chart_data), chart_data.deadline_s, completion.group)
        heading = f"each {completion.group}, the slowest first; thin: all stations"
        draw_multiples(drawn, chart_data, multiples, whole, heading)
    return drawn.figure


def _one_by_one(order: list[ChartLine], deadline_s: float, group: str) -> list[SmallMultiple]:
    """Small charts of a few kelurahan, the slowest in its own colour."""
    return [
        SmallMultiple(
            downsample_points(line),
            f"{number_format.format_place(line.label, group)} {_progress(line, deadline_s)}",
            palette.VERMILION if place == 0 else palette.GREY,
        )
        for place, line in enumerate(order)
    ]


def _counted(completion: CompletionLines) -> str:
    """How many places there are, as in "7 kelurahan" or "12 groups by district"."""
    places = len(completion.kelurahan)
    return f"{places} kelurahan" if completion.group == "kelurahan" else f"{places} groups by {completion.group}"


def _draw_places(axes: Axes, chart_data: ChartData) -> list[EndLabel | None]:
    """Draw a line per kelurahan or group, the slowest in its own colour; return the labels of the slowest three."""
    order, deadline_s, group = slowest_first(chart_data), chart_data.deadline_s, chart_data.completion.group
    if len(order) > MAX_LINES:
        _draw_band(axes, order)
    named = order[:3]
    labels: list[EndLabel | None] = []
    for place, line in enumerate(named if len(order) > MAX_LINES else order):
        slowest = place == 0 and len(order) > 1
        colour = palette.VERMILION if slowest else palette.GREY
        draw_line(axes, downsample_points(line), colour, width=1.4 if slowest else 0.9)
        if place < len(named):
            labels.append(
                end_label(
                    line, f"{number_format.format_place(line.label, group)} {_progress(line, deadline_s)}", colour
                )
            )
    return labels


def _draw_band(axes: Axes, places: list[ChartLine]) -> None:
    """Draw the band between the 5th and 95th percentile: so many single lines would be one grey area."""
    t_s = places[0].t_s
    shares = np.stack([np.interp(t_s, line.t_s, line.value) for line in places])
    low, high = np.quantile(shares, [0.05, 0.95], axis=0)
    axes.fill_between(t_s, low, high, color=palette.GREY, alpha=0.25, linewidth=0, gid="nine tenths")


def _reached(line: ChartLine, deadline_s: float) -> tuple[float, float]:
    """Sort key: the ratio reached by the deadline, and minus the time it was reached, so that the slowest comes first."""
    # what a kelurahan reaches after the deadline does not count
    known = np.isfinite(line.value) & (line.t_s <= deadline_s)
    if not known.any():
        return 0.0, 0.0
    t_s, value = line.t_s[known], line.value[known]
    return float(value[-1]), -float(t_s[np.argmax(value >= value[-1])])


def _progress(line: ChartLine, deadline_s: float) -> str:
    """The ratio reached by the deadline as text; if that is everything, the time it was reached.

    Where the line goes on rising after the deadline, both values: a label must agree with the line that it stands beside.
    """
    share, minus_t_s = _reached(line, deadline_s)
    if share >= 1 - 1e-9:
        return f"at {number_format.format_duration(-minus_t_s)}"
    known = line.value[np.isfinite(line.value)]
    text = number_format.format_ratio(share)
    if not len(known) or known[-1] <= share + 1e-9:
        return text
    return f"{text} \N{RIGHTWARDS ARROW} {number_format.format_ratio(min(float(known[-1]), 1.0))}"


@dataclass(frozen=True, slots=True)
class _ElectionScale:
    """How seconds of the run count in election time: their unit, and how many units one second is."""

    unit: str
    per_s: float


def _election_scale(chart_data: ChartData) -> _ElectionScale | None:
    """The scale of election time; None for a run in its own time."""
    if chart_data.time_scale <= 1:
        return None
    whole_s = time_span(chart_data).end_s * chart_data.time_scale
    unit_s, unit = next((pair for pair in SCALES if whole_s >= 2 * pair[0]), SCALES[-1])
    # below five days, an axis in days would have hardly any ticks
    if unit == "days" and whole_s < 5 * unit_s:
        unit_s, unit = SCALES[1]
    return _ElectionScale(unit, chart_data.time_scale / unit_s)


def _election_axis(axes: Axes, scale: _ElectionScale, time_scale: float) -> None:
    """A second x axis in election time, or, where it would repeat the first one's numbers, only a longer label of that."""
    means = f"1 s is {number_format.format_duration(time_scale)}"
    if scale.per_s == 1 and "minutes" not in axes.get_xlabel():
        axes.set_xlabel(f"seconds since the start = {scale.unit} of the election", loc="left")
        return
    per_s = scale.per_s
    # half an inch below the first axis, in units of the height of the panel
    below = -0.5 / (axes.get_window_extent().height / axes.figure.dpi)
    second = axes.secondary_xaxis(below, functions=(lambda t: np.asarray(t) * per_s, lambda u: np.asarray(u) / per_s))
    steps = [1, 2, 2.5, 3, 5, 6, 10] if scale.unit != "hours" else [1, 1.2, 2.4, 6, 10]
    second.xaxis.set_major_locator(MaxNLocator(current_layout().max_ticks, steps=steps))
    second.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    second.set_xlabel(f"{scale.unit} of the election, {means}", loc="left")


CHART = Chart("completion", "Completion", "Will every station be done by the deadline?", finding, draw)


HIGH_IN, NAME_IN, ASIDE_IN, HEAD_IN, FOOT_IN = 0.72, 0.24, 0.22, 0.3, 0.12


def _across() -> int:
    """How many small charts stand in a row."""
    return 2 if current_layout().narrow else 4


@dataclass(frozen=True, slots=True)
class SmallMultiple:
    """One small chart: its line, the text above it, its colour."""

    line: ChartLine
    name: str
    colour: str


def multiples_height_in(count: int) -> float:
    """Height of `count` small charts at the foot of a chart, in inches."""
    return HEAD_IN + -(-count // _across()) * (HIGH_IN + NAME_IN) + FOOT_IN


def draw_multiples(
    drawn: ChartFigure, chart_data: ChartData, multiples: Sequence[SmallMultiple], beside: ChartLine, heading: str
) -> None:
    """Draw ratios over elapsed time at the foot of a chart, in rows, each with the line `beside` for comparison."""
    layout, across, height = current_layout(), _across(), drawn.figure.get_figheight()
    right_in = 0.3 if not layout.narrow else layout.right_in
    wide = (layout.width_in - layout.left_in - right_in - (across - 1) * ASIDE_IN) / across
    top = multiples_height_in(len(multiples)) - HEAD_IN
    at = (layout.left_in / layout.width_in, (top + 0.08) / height)
    drawn.figure.text(*at, heading, color=palette.INK, size=9.5, va="bottom")
    # the same x range as the big chart, so that fault bands stand at the same place in each
    end_s = time_span(chart_data).end_s
    for number, one in enumerate(multiples):
        row, column = divmod(number, across)
        low = top - (row + 1) * (HIGH_IN + NAME_IN)
        left = layout.left_in + column * (wide + ASIDE_IN)
        axes = drawn.figure.add_axes((left / layout.width_in, low / height, wide / layout.width_in, HIGH_IN / height))
        for window in chart_data.windows:
            axes.axvspan(window.start_s, min(window.end_s, end_s), color=palette.SHADE, linewidth=0)
        axes.axvline(chart_data.deadline_s, color=palette.INK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.plot(beside.t_s, beside.value, color=palette.GOODPUT, linewidth=0.8)
        draw_line(axes, one.line, one.colour, width=1.8)
        axes.set_xlim(0, end_s)
        axes.set_ylim(0, 1.04)
        axes.set_xticks([])
        axes.set_yticks([0.5, 1.0], labels=[])
        axes.annotate(one.name, (0, 1), (0, 4), "axes fraction", "offset points", color=one.colour, size=9)
