"""Completion: share of stations with every page acknowledged over time, in total and per kelurahan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from harness.analysis.chart_types import ChartData, ChartLine
from harness.analysis.summary import Summary
from reports import number_format, palette
from reports.charts.labels import EndLabel, draw_end_labels, end_label
from reports.charts.style import (
    LEFT_IN,
    WIDTH_IN,
    Chart,
    ChartFigure,
    Panel,
    downsample_points,
    draw_line,
    empty_chart,
    time_figure,
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
        kelurahan = chart_data.completion.kelurahan
        slowest = min(kelurahan, key=lambda line: _reached(line, chart_data.deadline_s), default=None)
        # with a single kelurahan "was last" would be no information
        named = len(kelurahan) > 1 and slowest is not None
        last_text = f"; {number_format.format_place_name(slowest.label)} was last" if named and slowest else ""
        return f"{sentence} {number_format.format_duration(max(spare, 0.0))} before the deadline{last_text}"
    ratio = number_format.format_ratio(done / stations.planned)
    sentence = (
        f"{done:,} of {number_format.plural(stations.planned, 'station')} ({ratio}) were complete by the deadline"
    )
    # kelurahan without stations in this run have no ratio
    behind = [place for place in summary.kelurahan if place.stations]
    if len(behind) < 2:
        return sentence
    last = min(behind, key=lambda place: place.completed_by_deadline / place.stations)
    return f"{sentence}; {number_format.format_place_name(last.name)} was last with {number_format.format_ratio(last.completed_by_deadline / last.stations)}"


def draw(chart_data: ChartData, summary: Summary) -> Figure:
    """The total in bold and the slowest kelurahan in its own colour; below it election time, then each kelurahan."""
    sentence, completion = finding(chart_data, summary), chart_data.completion
    if not np.isfinite(completion.total.value).any():
        return empty_chart(chart_data, sentence, "no station had started")
    # only a run in compressed time has an election time that differs from its own
    scaled = chart_data.time_scale > 1
    heading = (
        "stations complete"
        if chart_data.end_s <= chart_data.deadline_s
        else "stations complete; labels: by the deadline"
    )
    if len(completion.kelurahan) > MAX_LINES:
        heading += f"; grey: the middle 90 % of {len(completion.kelurahan)} kelurahan"
    few = completion.kelurahan if 1 < len(completion.kelurahan) <= MAX_SMALL_MULTIPLES else []
    room = multiples_height_in(len(few)) if few else 0.0
    drawn = time_figure(chart_data, sentence, [Panel(heading, 3.3)], below_in=room + (0.47 if scaled else 0.0))
    axes = drawn.panels[0]
    planned, whole = downsample_points(completion.planned), downsample_points(completion.total)
    # with small charts below, lines of single kelurahan in the big chart would only hide the total
    labels = [] if few else _draw_kelurahan(axes, completion.kelurahan, chart_data.deadline_s)
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
    if scaled:
        _election_axis(drawn, chart_data)
    if few:
        multiples = _one_by_one(few, chart_data.deadline_s)
        draw_multiples(drawn, chart_data, multiples, whole, "each kelurahan, the slowest first; thin: all stations")
    return drawn.figure


def _one_by_one(kelurahan: list[ChartLine], deadline_s: float) -> list[SmallMultiple]:
    """Small charts of a few kelurahan, the slowest first and in its own colour."""
    order = sorted(kelurahan, key=lambda line: _reached(line, deadline_s))
    return [
        SmallMultiple(
            downsample_points(line),
            f"{number_format.format_place_name(line.label)} {_progress(line, deadline_s)}",
            palette.VERMILION if place == 0 else palette.GREY,
        )
        for place, line in enumerate(order)
    ]


def _draw_kelurahan(axes: Axes, kelurahan: list[ChartLine], deadline_s: float) -> list[EndLabel | None]:
    """Draw a line per kelurahan, the slowest in its own colour; return the labels of the slowest three."""
    order = sorted(kelurahan, key=lambda line: _reached(line, deadline_s))
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
                end_label(line, f"{number_format.format_place_name(line.label)} {_progress(line, deadline_s)}", colour)
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
    """The ratio reached by the deadline as text; if that is everything, the time it was reached."""
    share, minus_t_s = _reached(line, deadline_s)
    return f"at {number_format.format_duration(-minus_t_s)}" if share >= 1 - 1e-9 else number_format.format_ratio(share)


def _election_axis(drawn: ChartFigure, chart_data: ChartData) -> None:
    """A second x axis in election time: one second of the run stands for `time_scale` seconds."""
    axes, scale = drawn.panels[0], chart_data.time_scale
    whole = max(chart_data.end_s, chart_data.deadline_s) * scale
    unit_s, name = next((pair for pair in SCALES if whole >= 2 * pair[0]), SCALES[-1])
    # below five days, an axis in days would have hardly any ticks
    if name == "days" and whole < 5 * unit_s:
        unit_s, name = SCALES[1]
    # half an inch below the first axis, in units of the height of the panel
    below = -0.5 / (axes.get_window_extent().height / axes.figure.dpi)
    second = axes.secondary_xaxis(
        below, functions=(lambda t: np.asarray(t) * scale / unit_s, lambda u: np.asarray(u) * unit_s / scale)
    )
    steps = [1, 2, 2.5, 3, 5, 6, 10] if name != "hours" else [1, 1.2, 2.4, 6, 10]
    second.xaxis.set_major_locator(MaxNLocator(12, steps=steps))
    second.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    second.set_xlabel(f"{name} of the election, 1 s is {number_format.format_duration(scale)}", loc="left")


CHART = Chart("completion", "Completion", "Will every station be done by the deadline?", finding, draw)


ACROSS, HIGH_IN, NAME_IN, ASIDE_IN, HEAD_IN, FOOT_IN = 4, 0.72, 0.24, 0.22, 0.3, 0.12


@dataclass(frozen=True, slots=True)
class SmallMultiple:
    """One small chart: its line, the text above it, its colour."""

    line: ChartLine
    name: str
    colour: str


def multiples_height_in(count: int) -> float:
    """Height of `count` small charts at the foot of a chart, in inches."""
    return HEAD_IN + -(-count // ACROSS) * (HIGH_IN + NAME_IN) + FOOT_IN


def draw_multiples(
    drawn: ChartFigure, chart_data: ChartData, multiples: Sequence[SmallMultiple], beside: ChartLine, heading: str
) -> None:
    """Draw ratios over elapsed time at the foot of a chart, four in a row, each with the line `beside` for comparison."""
    height = drawn.figure.get_figheight()
    wide = (WIDTH_IN - LEFT_IN - 0.3 - (ACROSS - 1) * ASIDE_IN) / ACROSS
    top = multiples_height_in(len(multiples)) - HEAD_IN
    drawn.figure.text(LEFT_IN / WIDTH_IN, (top + 0.08) / height, heading, color=palette.INK, size=9.5, va="bottom")
    # the same x range as the big chart, so that fault bands stand at the same place in each
    end_s = max(chart_data.end_s, chart_data.deadline_s, 1e-9)
    for number, one in enumerate(multiples):
        row, column = divmod(number, ACROSS)
        low = top - (row + 1) * (HIGH_IN + NAME_IN)
        left = LEFT_IN + column * (wide + ASIDE_IN)
        axes = drawn.figure.add_axes((left / WIDTH_IN, low / height, wide / WIDTH_IN, HIGH_IN / height))
        for window in chart_data.windows:
            axes.axvspan(window.start_s, min(window.end_s, end_s), color=palette.SHADE, linewidth=0)
        axes.axvline(chart_data.deadline_s, color=palette.INK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.plot(beside.t_s, beside.value, color=palette.GOODPUT, linewidth=0.8)
        draw_line(axes, one.line, one.colour, width=1.8)
        axes.set_xlim(0, end_s)
        axes.set_ylim(0, 1.04)
        axes.set_xticks([])
        axes.set_yticks([0.5, 1.0], labels=[])
        axes.annotate(one.name, (0, 1), (0, 4), "axes fraction", "offset points", color=one.colour, size=8.5)
