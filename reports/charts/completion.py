"""Completion: share of stations with every page acknowledged, over time; each kelurahan beside the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from harness.analysis.chart_types import ChartData, ChartLine
from harness.analysis.summary import Summary
from reports import number_format, palette
from reports.charts.small_multiples import SmallMultiple, draw_multiples, multiples_height_in
from reports.charts.style import (
    Chart,
    ChartFigure,
    EndLabel,
    Panel,
    downsample_points,
    draw_end_labels,
    draw_line,
    empty_chart,
    end_label,
    time_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SMALL_MULTIPLES = 12
"""Kelurahan that have a little chart each; of more, only the slowest are named, at their lines."""
MAX_LINES = 60
"""Of more kelurahan than these, only the slowest have lines."""
SCALES = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"))


def finding(series: ChartData, summary: Summary) -> str:
    """How many stations were complete by the deadline, and who was last."""
    stations = summary.stations
    if not stations.planned:
        return "No station was planned"
    done = stations.completed_by_deadline
    if done == stations.planned:
        reached = np.flatnonzero(series.completion.total.value >= 1 - 1e-9)
        said = f"All {number_format.plural(done, 'station')} were complete"
        if not len(reached) or series.deadline_s <= 0:
            return said + " by the deadline"
        spare = series.deadline_s - float(series.completion.total.t_s[reached[0]])
        villages = series.completion.kelurahan
        slowest = min(villages, key=lambda line: _reached(line, series.deadline_s), default=None)
        named = len(villages) > 1 and slowest is not None
        ending = f"; {number_format.format_place_name(slowest.label)} was last" if named and slowest else ""
        return f"{said} {number_format.format_duration(max(spare, 0.0))} before the deadline{ending}"
    ratio = number_format.format_ratio(done / stations.planned)
    said = f"{done:,} of {number_format.plural(stations.planned, 'station')} ({ratio}) were complete by the deadline"
    behind = [place for place in summary.kelurahan if place.stations]
    if len(behind) < 2:
        return said
    last = min(behind, key=lambda place: place.completed_by_deadline / place.stations)
    return f"{said}; {number_format.format_place_name(last.name)} was last with {number_format.format_ratio(last.completed_by_deadline / last.stations)}"


def draw(series: ChartData, summary: Summary) -> Figure:
    """The total bold, the slowest kelurahan in a colour of its own; election time below, then the kelurahan one by one."""
    said, completion = finding(series, summary), series.completion
    if not np.isfinite(completion.total.value).any():
        return empty_chart(series, said, "no station was begun")
    scaled = series.time_scale > 1
    heading = "stations complete" if series.end_s <= series.deadline_s else "stations complete; named: by the deadline"
    if len(completion.kelurahan) > MAX_LINES:
        heading += f"; grey: nine tenths of {len(completion.kelurahan)} kelurahan"
    few = completion.kelurahan if 1 < len(completion.kelurahan) <= MAX_SMALL_MULTIPLES else []
    room = multiples_height_in(len(few)) if few else 0.0
    drawn = time_figure(series, said, [Panel(heading, 3.3)], below_in=room + (0.47 if scaled else 0.0))
    axes = drawn.panels[0]
    planned, whole = downsample_points(completion.planned), downsample_points(completion.total)
    labels = [] if few else _villages(axes, completion.kelurahan, series.deadline_s)
    draw_line(axes, planned, palette.OFFERED, width=1.4, dashed=True)
    draw_line(axes, whole, palette.GOODPUT, width=2.6)
    labels.append(end_label(whole, f"all {_progress(completion.total, series.deadline_s)}", palette.GOODPUT, bold=True))
    labels.append(end_label(planned, "turned up", palette.OFFERED))
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    draw_end_labels(axes, labels)
    if scaled:
        _election_axis(drawn, series)
    if few:
        multiples = _one_by_one(few, series.deadline_s)
        draw_multiples(drawn, series, multiples, whole, "each kelurahan, the slowest first, beside all stations (thin)")
    return drawn.figure


def _one_by_one(kelurahan: list[ChartLine], deadline_s: float) -> list[SmallMultiple]:
    """A few kelurahan, the slowest first and in a colour of its own."""
    order = sorted(kelurahan, key=lambda line: _reached(line, deadline_s))
    return [
        SmallMultiple(
            downsample_points(line),
            f"{number_format.format_place_name(line.label)} {_progress(line, deadline_s)}",
            palette.VERMILION if place == 0 else palette.GREY,
        )
        for place, line in enumerate(order)
    ]


def _villages(axes: Axes, kelurahan: list[ChartLine], deadline_s: float) -> list[EndLabel | None]:
    """Draw the kelurahan, the slowest in a colour of its own; their labels. Only the slowest three are named."""
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
    """So many kelurahan that their lines would be one grey: the band that nine tenths of them keep to."""
    t_s = places[0].t_s
    shares = np.stack([np.interp(t_s, line.t_s, line.value) for line in places])
    low, high = np.quantile(shares, [0.05, 0.95], axis=0)
    axes.fill_between(t_s, low, high, color=palette.GREY, alpha=0.25, linewidth=0, gid="nine tenths")


def _reached(line: ChartLine, deadline_s: float) -> tuple[float, float]:
    """What it reached by the deadline, and minus the moment when it did: least and latest sorts first."""
    known = np.isfinite(line.value) & (line.t_s <= deadline_s)
    if not known.any():
        return 0.0, 0.0
    t_s, value = line.t_s[known], line.value[known]
    return float(value[-1]), -float(t_s[np.argmax(value >= value[-1])])


def _progress(line: ChartLine, deadline_s: float) -> str:
    """What it reached by the deadline; where that is everything, when."""
    share, minus_t_s = _reached(line, deadline_s)
    return f"at {number_format.format_duration(-minus_t_s)}" if share >= 1 - 1e-9 else number_format.format_ratio(share)


def _election_axis(drawn: ChartFigure, series: ChartData) -> None:
    """A second time axis, in the election's own time: a test second stands for `time_scale` of its seconds."""
    axes, scale = drawn.panels[0], series.time_scale
    whole = max(series.end_s, series.deadline_s) * scale
    unit_s, name = next((pair for pair in SCALES if whole >= 2 * pair[0]), SCALES[-1])
    if name == "days" and whole < 5 * unit_s:
        unit_s, name = SCALES[1]
    below = -0.5 / (axes.get_window_extent().height / axes.figure.dpi)
    second = axes.secondary_xaxis(
        below, functions=(lambda t: np.asarray(t) * scale / unit_s, lambda u: np.asarray(u) * unit_s / scale)
    )
    steps = [1, 2, 2.5, 3, 5, 6, 10] if name != "hours" else [1, 1.2, 2.4, 6, 10]
    second.xaxis.set_major_locator(MaxNLocator(12, steps=steps))
    second.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    second.set_xlabel(f"{name} of the election, at {number_format.format_duration(scale)} a second", loc="left")


CHART = Chart("completion", "Completion", "Will every station be done by the deadline?", finding, draw)
