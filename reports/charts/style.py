"""What all charts share: size, title, panels, elapsed time, fault windows and the deadline.

No pyplot: it keeps every figure alive in global state. A chart is a Figure; `reports.svg` writes it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from harness.analysis.chart_types import ChartData, ChartLine, FaultWindow
from harness.analysis.summary import Summary
from reports import number_format, palette
from reports.charts.labels import HEADING, assign_rows
from reports.charts.layout import BACK, Layout, current_layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BOTTOM_IN = 0.5
TITLE_LINE_IN, ROW_IN, HEADING_IN, HEADING_LINE_IN, GAP_IN = 0.22, 0.18, 0.24, 0.16, 0.16
NAME_IN = 0.085
"""About the width of a character of a fault's name: measuring it would need a draw."""
NARROW_HEIGHT_RATIO, MIN_PANEL_IN = 0.8, 0.8
EARLY_RATIO = 0.8
"""A run that ended before this part of its deadline has an axis to its end only: the rest would be empty."""


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


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """The time that a chart draws, from the start of the run on."""

    end_s: float
    beyond: str = ""
    """What lies beyond the right edge, as text."""
    windows: tuple[FaultWindow, ...] = ()
    """Windows to shade and name, besides those of the faults."""


@dataclass(slots=True)
class ChartFigure:
    """A figure with its panels, one above the other over the same x axis."""

    figure: Figure
    back: Axes
    """Axes behind all panels, for fault windows and the deadline, which run through all of them."""
    panels: list[Axes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HeatCells:
    """What the cells of a heat map count; its patches can't be read back."""

    name: str
    edges_x: Sequence[float]
    edges_y: Sequence[float]
    counts: Sequence[Sequence[int]]
    """Row by row from the lowest: len(edges_y) - 1 rows of len(edges_x) - 1."""


_cells: WeakKeyDictionary[Axes, HeatCells] = WeakKeyDictionary()


def note_cells(axes: Axes, cells: HeatCells) -> None:
    """Note what the cells of a panel count, for readers who point at them."""
    _cells[axes] = cells


def cells_of(axes: Axes) -> HeatCells | None:
    """What was noted of a panel; None if nothing was."""
    return _cells.get(axes)


def titled_figure(
    finding: str, panels: Sequence[Panel], *, above_in: float = 0.0, below_in: float = 0.0
) -> ChartFigure:
    """A figure titled with its finding, and empty panels one above the other; `above_in` and `below_in` add room.

    Everything is laid out in inches: matplotlib's own layouts make panels of the same chart differ between runs.
    """
    layout = current_layout()
    title = textwrap.wrap(number_format.non_breaking(finding), layout.title_characters)
    headings = [textwrap.wrap(panel.heading, layout.heading_characters) for panel in panels]
    heading_in = [HEADING_IN + HEADING_LINE_IN * max(len(lines) - 1, 0) for lines in headings]
    body = sum(panel.height_in for panel in panels) + sum(heading_in) + GAP_IN * (len(panels) - 1)
    bottom = BOTTOM_IN + below_in
    height = bottom + body + above_in + 0.06 + TITLE_LINE_IN * len(title) + 0.12
    figure = Figure(figsize=(layout.width_in, height))
    at = (0.12 / layout.width_in, 1 - 0.1 / height)
    figure.text(*at, "\n".join(title), va="top", weight="bold", size=11, linespacing=1.3)

    def place(low: float, high: float) -> Axes:
        box = (layout.left_in / layout.width_in, low / height, layout.panel_in / layout.width_in, (high - low) / height)
        axes: Axes = figure.add_axes(box)
        return axes

    drawn = ChartFigure(figure, place(bottom, bottom + body + above_in))
    drawn.back.set_axis_off()
    drawn.back.set_gid(BACK)
    drawn.back.set_ylim(-(body + above_in), 0)
    top = bottom + body
    for panel, lines, above in zip(panels, headings, heading_in, strict=True):
        top -= above
        axes = place(top - panel.height_in, top)
        _label_panel(axes, "\n".join(lines), panel.height_in)
        drawn.panels.append(axes)
        top -= panel.height_in + GAP_IN
    return drawn


def _label_panel(axes: Axes, text: str, height_in: float) -> None:
    heading = axes.annotate(text, (0, 1), (0, 5), "axes fraction", "offset points", color=palette.INK, size=9.5)
    heading.set_gid(HEADING)
    axes.yaxis.set_major_locator(
        MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]) if height_in > 1.5 else MaxNLocator(2, steps=[1, 2, 5, 10])
    )
    # thousands as in every text beside it
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def time_figure(
    chart_data: ChartData, finding: str, panels: Sequence[Panel], *, below_in: float = 0.0, span: TimeSpan | None = None
) -> ChartFigure:
    """A `titled_figure` over elapsed time, with the run's fault windows and its deadline behind the panels.

    `span` is the time to draw if it is not that of the run.
    """
    layout, span = current_layout(), span or time_span(chart_data)
    if layout.narrow:  # as high as in the wide chart, a panel half as wide would be taller than a phone's screen
        panels = [
            replace(panel, height_in=max(NARROW_HEIGHT_RATIO * panel.height_in, MIN_PANEL_IN)) for panel in panels
        ]
    marks = _marks(chart_data, span, layout)
    names_in = (max((mark.row for mark in marks), default=-1) + 1) * ROW_IN
    drawn = titled_figure(finding, panels, above_in=names_in, below_in=below_in)
    drawn.back.set_xlim(0, span.end_s)
    _draw_marks(drawn.back, marks)
    for axes in drawn.panels:
        _time_axis(axes, span.end_s, layout.max_ticks, labelled=axes is drawn.panels[-1])
    return drawn


def time_span(chart_data: ChartData) -> TimeSpan:
    """From the start to the deadline or the end, whichever is later; of a run that ended early, to its end."""
    end_s, deadline_s = chart_data.end_s, chart_data.deadline_s
    if 0 < end_s < EARLY_RATIO * deadline_s:
        return TimeSpan(end_s, f"deadline {number_format.format_duration(deadline_s)} \N{RIGHTWARDS ARROW}")
    return TimeSpan(max(end_s, deadline_s, 1e-9))


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
    """The line, or for a long run means over groups of neighbours, so that no more remain than the chart can show.

    For rates and levels only: a mean of percentiles is not a percentile. Those come already binned from the analysis.
    """
    each = -(-len(line.t_s) // current_layout().max_points)
    if each <= 1:
        return line
    starts = np.arange(0, len(line.t_s), each)
    known = np.isfinite(line.value)
    sums = np.add.reduceat(np.where(known, line.value, 0.0), starts)
    counts = np.add.reduceat(known.astype(np.float64), starts)
    times = np.add.reduceat(line.t_s, starts) / np.diff(np.append(starts, len(line.t_s)))
    return ChartLine(line.label, times, np.divide(sums, counts, out=np.full(len(starts), np.nan), where=counts > 0))


def downsample_points(line: ChartLine) -> ChartLine:
    """The line at no more points than the chart can show, the last one included; for curves that only rise."""
    each = -(-len(line.t_s) // current_layout().max_points)
    kept = np.unique(np.append(np.arange(0, len(line.t_s), max(each, 1)), max(len(line.t_s) - 1, 0)))
    return line if each <= 1 else ChartLine(line.label, line.t_s[kept], line.value[kept])


def draw_line(
    axes: Axes, line: ChartLine, colour: str, *, width: float = 1.8, dashed: bool = False, alpha: float = 1.0
) -> None:
    """Draw a line; its label becomes the artist's gid, by which tests and the SVG find it."""
    style = (0, (4, 2)) if dashed else "-"
    known = np.concatenate([[False], np.isfinite(line.value), [False]])
    alone = np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:])
    (drawn,) = axes.plot(
        line.t_s, line.value, color=colour, linewidth=width, linestyle=style, alpha=alpha, gid=line.label
    )
    if len(alone):  # a point between two gaps (NaN) has no segment and would be invisible
        drawn.set(marker="o", markersize=2 * width, markevery=alone.tolist())


@dataclass(frozen=True, slots=True)
class _Mark:
    """A fault window or the deadline (start = end), and where its name stands: its row and the middle of its text."""

    start_s: float
    end_s: float
    name: str
    row: int = 0
    name_s: float = 0.0


def _marks(chart_data: ChartData, span: TimeSpan, layout: Layout) -> list[_Mark]:
    """The fault windows, the deadline, and what lies beyond the axis, each with the place of its name."""
    windows = [*chart_data.windows, *span.windows]
    # a run may end before a planned fault begins
    found = [_Mark(w.start_s, min(w.end_s, span.end_s), w.label) for w in windows if w.start_s < span.end_s]
    if 0 < chart_data.deadline_s <= span.end_s:
        found.append(_Mark(chart_data.deadline_s, chart_data.deadline_s, "deadline"))
    if span.beyond:
        found.append(_Mark(span.end_s, span.end_s, span.beyond))
    per_s = layout.panel_in / span.end_s
    spans = []
    for mark in found:
        half_in = (len(mark.name) * NAME_IN + 0.1) / 2
        centre_in = (mark.start_s + mark.end_s) / 2 * per_s
        # a long name of a window near the edge would leave the picture
        most_in = layout.panel_in + layout.right_in - half_in if mark.name != span.beyond else layout.panel_in - half_in
        centre_in = max(min(centre_in, most_in), half_in - layout.left_in)
        spans.append((centre_in - half_in, centre_in + half_in))
    rows = assign_rows(spans)
    return [
        replace(mark, row=row, name_s=(low + high) / 2 / per_s)
        for mark, row, (low, high) in zip(found, rows, spans, strict=True)
    ]


def _draw_marks(axes: Axes, marks: list[_Mark]) -> None:
    """Draw the marks; y counts inches below the top, which stays where it is when the axes grow (`make_room`)."""
    low, far_down_in = axes.get_ylim()[0], 1000.0
    for mark in marks:
        top = -mark.row * ROW_IN
        if mark.start_s < mark.end_s:
            axes.fill_between([mark.start_s, mark.end_s], -far_down_in, top, color=palette.SHADE, linewidth=0)
        elif mark.name == "deadline":
            # not clipped: at the very edge half of the line's width would be
            axes.plot(
                [mark.start_s] * 2, [low, top - ROW_IN], color=palette.INK, linewidth=1, linestyle=(0, (1, 2)),
                clip_on=False,
            )  # fmt: skip
        axes.text(mark.name_s, top - ROW_IN / 2, mark.name, ha="center", va="center", size=9, color=palette.MUTED)
    axes.set_ylim(low, 0)


def _time_axis(axes: Axes, end_s: float, max_ticks: int, *, labelled: bool) -> None:
    axes.set_xlim(0, end_s)
    axes.margins(x=0)
    if end_s > 600:  # minutes: matplotlib would put ticks at 500 s, 1000 s, …
        steps = (60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400, 1e9)
        step = next(step for step in steps if end_s / step <= max_ticks)
        axes.xaxis.set_major_locator(MultipleLocator(step))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{t / 60:g}"))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(max_ticks, steps=[1, 2, 5, 10], integer=end_s > 12))
    if labelled:
        axes.set_xlabel(f"{'minutes' if end_s > 600 else 'seconds'} since the start", loc="left")
    else:
        axes.tick_params(labelbottom=False)
