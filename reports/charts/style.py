"""What all charts share: size, title, panels, elapsed time, fault windows and the deadline.

No pyplot: it keeps every figure alive in global state. A chart is a Figure; `reports.svg` writes it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from harness.analysis.chart_types import ChartData, ChartLine
from harness.analysis.summary import Summary
from reports import number_format, palette
from reports.charts.labels import LABEL_WIDTH_IN, assign_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_IN, LEFT_IN, BOTTOM_IN = 9.0, 0.62, 0.5
TITLE_LINE_IN, ROW_IN, HEADING_IN, GAP_IN = 0.22, 0.18, 0.24, 0.16
MAX_POINTS = 400
"""At the width of a chart, more points than this merge into each other."""
TITLE_WIDTH = 98
"""Characters of the title that fit on a line."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart of a run: the name of its files, its title, the question it answers, and how to describe and draw it.

    `finding` is the answer as a sentence without a full stop. It and `draw` must work without data, too: folders of
    interrupted runs lack scrapes or rows.
    """

    name: str
    title: str
    question: str
    finding: Callable[[ChartData, Summary], str]
    draw: Callable[[ChartData, Summary], Figure]
    over_time: bool = True
    """Whether x is elapsed time, with fault windows and the deadline."""
    applies: Callable[[Summary], bool] = lambda _: True
    """Whether a run has the chart at all; one that is about a part of the scenario is left out of runs without it."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel of a chart: its heading (quantity and unit) and its height."""

    heading: str
    height_in: float = 2.6


@dataclass(slots=True)
class ChartFigure:
    """A figure with its panels, one above the other over the same x axis."""

    figure: Figure
    back: Axes
    """Axes behind all panels, for fault windows and the deadline, which run through all of them."""
    panels: list[Axes] = field(default_factory=list)


def titled_figure(
    finding: str, panels: Sequence[Panel], *, above_in: float = 0.0, below_in: float = 0.0
) -> ChartFigure:
    """A figure titled with its finding, and empty panels one above the other; `above_in` and `below_in` add room.

    Everything is laid out in inches: matplotlib's own layouts make panels of the same chart differ between runs.
    """
    title = textwrap.wrap(number_format.non_breaking(finding), TITLE_WIDTH)
    body = sum(panel.height_in + HEADING_IN for panel in panels) + GAP_IN * (len(panels) - 1)
    bottom = BOTTOM_IN + below_in
    height = bottom + body + above_in + 0.06 + TITLE_LINE_IN * len(title) + 0.12
    figure = Figure(figsize=(WIDTH_IN, height))
    figure.text(0.12 / WIDTH_IN, 1 - 0.1 / height, "\n".join(title), va="top", weight="bold", size=11, linespacing=1.3)

    def place(low: float, high: float) -> Axes:
        across = (WIDTH_IN - LEFT_IN - LABEL_WIDTH_IN) / WIDTH_IN
        axes: Axes = figure.add_axes((LEFT_IN / WIDTH_IN, low / height, across, (high - low) / height))
        return axes

    drawn = ChartFigure(figure, place(bottom, bottom + body + above_in))
    drawn.back.set_axis_off()
    top = bottom + body
    for panel in panels:
        top -= HEADING_IN
        axes = place(top - panel.height_in, top)
        axes.annotate(panel.heading, (0, 1), (0, 5), "axes fraction", "offset points", color=palette.INK, size=9.5)
        axes.yaxis.set_major_locator(
            MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]) if panel.height_in > 1.5 else MaxNLocator(2, steps=[1, 2, 5, 10])
        )
        drawn.panels.append(axes)
        top -= panel.height_in + GAP_IN
    return drawn


def time_figure(chart_data: ChartData, finding: str, panels: Sequence[Panel], *, below_in: float = 0.0) -> ChartFigure:
    """A `titled_figure` over elapsed time, with the run's fault windows and its deadline behind the panels."""
    end_s = max(chart_data.end_s, chart_data.deadline_s, 1e-9)
    marks = _marks(chart_data, end_s)
    names_in = (max((row for _, _, row, _ in marks), default=-1) + 1) * ROW_IN
    drawn = titled_figure(finding, panels, above_in=names_in, below_in=below_in)
    drawn.back.set_xlim(0, end_s)
    _draw_marks(drawn.back, marks, drawn.back.get_window_extent().height / drawn.figure.dpi)
    for axes in drawn.panels:
        _time_axis(axes, end_s, labelled=axes is drawn.panels[-1])
    return drawn


def empty_chart(chart_data: ChartData, finding: str, reason: str) -> Figure:
    """A chart without data, with the reason in the place of the data."""
    drawn = time_figure(chart_data, finding, [Panel("", 1.2)])
    write_placeholder(drawn.panels[0], reason)
    return drawn.figure


def write_placeholder(axes: Axes, reason: str) -> None:
    """Write into an empty panel why it is empty."""
    axes.set_yticks([])
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", color=palette.MUTED, wrap=True)


def downsample_means(line: ChartLine) -> ChartLine:
    """The line, or for a long run means over groups of neighbours, so that at most `MAX_POINTS` remain.

    For rates and levels only: a mean of percentiles is not a percentile. Those come already binned from the analysis.
    """
    each = -(-len(line.t_s) // MAX_POINTS)
    if each <= 1:
        return line
    starts = np.arange(0, len(line.t_s), each)
    known = np.isfinite(line.value)
    sums = np.add.reduceat(np.where(known, line.value, 0.0), starts)
    counts = np.add.reduceat(known.astype(np.float64), starts)
    times = np.add.reduceat(line.t_s, starts) / np.diff(np.append(starts, len(line.t_s)))
    return ChartLine(line.label, times, np.divide(sums, counts, out=np.full(len(starts), np.nan), where=counts > 0))


def downsample_points(line: ChartLine) -> ChartLine:
    """The line at no more than `MAX_POINTS` + 1 of its points, the last one included; for curves that only rise."""
    each = -(-len(line.t_s) // MAX_POINTS)
    kept = np.unique(np.append(np.arange(0, len(line.t_s), max(each, 1)), max(len(line.t_s) - 1, 0)))
    return line if each <= 1 else ChartLine(line.label, line.t_s[kept], line.value[kept])


def draw_line(axes: Axes, line: ChartLine, colour: str, *, width: float = 1.8, dashed: bool = False) -> None:
    """Draw a line; its label becomes the artist's gid, by which tests and the SVG find it."""
    style = (0, (4, 2)) if dashed else "-"
    known = np.concatenate([[False], np.isfinite(line.value), [False]])
    alone = np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:])
    (drawn,) = axes.plot(line.t_s, line.value, color=colour, linewidth=width, linestyle=style, gid=line.label)
    if len(alone):  # a point between two gaps (NaN) has no segment and would be invisible
        drawn.set(marker="o", markersize=2 * width, markevery=alone.tolist())


def _marks(chart_data: ChartData, end_s: float) -> list[tuple[float, float, int, str]]:
    """Fault windows and the deadline as (start, end, row of the name, name); the deadline has start = end."""
    marks = [(window.start_s, min(window.end_s, end_s), window.label) for window in chart_data.windows]
    marks = [mark for mark in marks if mark[0] < end_s]  # a run may end before a planned fault begins
    if chart_data.deadline_s > 0:
        marks.append((chart_data.deadline_s, chart_data.deadline_s, "deadline"))
    per_s = (WIDTH_IN - LEFT_IN - LABEL_WIDTH_IN) / end_s
    spans = []
    for start, end, name in marks:
        half = (len(name) * 0.085 + 0.1) / per_s / 2
        centre = (start + end) / 2
        spans.append((centre - half, centre + half))
    return [(start, end, row, name) for (start, end, name), row in zip(marks, assign_rows(spans), strict=True)]


def _draw_marks(axes: Axes, marks: list[tuple[float, float, int, str]], height_in: float) -> None:
    axes.set_ylim(0, height_in)
    for start, end, row, name in marks:
        top = height_in - row * ROW_IN
        if start == end:
            axes.plot([start, start], [0, top - ROW_IN], color=palette.INK, linewidth=1, linestyle=(0, (1, 2)))
        else:
            axes.fill_between([start, end], 0, top, color=palette.SHADE, linewidth=0)
        axes.text((start + end) / 2, top - ROW_IN / 2, name, ha="center", va="center", size=8.5, color=palette.MUTED)


def _time_axis(axes: Axes, end_s: float, *, labelled: bool) -> None:
    axes.set_xlim(0, end_s)
    axes.margins(x=0)
    if end_s > 600:  # minutes: matplotlib would put ticks at 500 s, 1000 s, …
        step = next(step for step in (60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400, 1e9) if end_s / step <= 12)
        axes.xaxis.set_major_locator(MultipleLocator(step))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{t / 60:g}"))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10], integer=end_s > 12))
    if labelled:
        axes.set_xlabel(f"{'minutes' if end_s > 600 else 'seconds'} since the start", loc="left")
    else:
        axes.tick_params(labelbottom=False)
