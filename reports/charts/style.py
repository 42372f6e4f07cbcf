"""What all charts share: size, title, elapsed time, fault windows, the deadline, and labels at the ends of lines.

No pyplot: it keeps global state. A chart is a Figure; render.py decides what it is saved as.
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
from reports.charts.label_placement import assign_rows, place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_IN, LEFT_IN, RIGHT_IN, BOTTOM_IN = 9.0, 0.62, 1.85, 0.5
TITLE_LINE_IN, ROW_IN, HEADING_IN, GAP_IN, LABEL_GAP_IN = 0.22, 0.18, 0.24, 0.16, 0.165
MAX_POINTS = 400
"""As many as a chart of this width can show."""
TITLE_WIDTH = 98
"""Characters of the title that fit on a line."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: what it is called, the question it answers, its finding in words, and how it is drawn."""

    name: str
    title: str
    question: str
    finding: Callable[[ChartData, Summary], str]
    draw: Callable[[ChartData, Summary], Figure]
    over_time: bool = True
    """Whether x is elapsed time, with fault windows and the deadline."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One of a chart's panels: what its heading says (quantity and unit) and how high it is."""

    heading: str
    height_in: float = 2.6


@dataclass(frozen=True, slots=True)
class EndLabel:
    """A label at the end of a line: the point it belongs to, what it says, in which colour."""

    t_s: float
    value: float
    text: str
    colour: str
    bold: bool = False


@dataclass(slots=True)
class ChartFigure:
    """A figure with its panels, one above another, over the same elapsed time."""

    figure: Figure
    back: Axes
    """Behind all panels: fault windows and the deadline run through them."""
    panels: list[Axes] = field(default_factory=list)


def titled_figure(
    finding: str, panels: Sequence[Panel], *, above_in: float = 0.0, below_in: float = 0.0
) -> ChartFigure:
    """A figure titled with its finding, with empty panels one above another; more room above or at the foot."""
    title = textwrap.wrap(number_format.non_breaking(finding), TITLE_WIDTH)
    body = sum(panel.height_in + HEADING_IN for panel in panels) + GAP_IN * (len(panels) - 1)
    bottom = BOTTOM_IN + below_in
    height = bottom + body + above_in + 0.06 + TITLE_LINE_IN * len(title) + 0.12
    figure = Figure(figsize=(WIDTH_IN, height))
    figure.text(0.12 / WIDTH_IN, 1 - 0.1 / height, "\n".join(title), va="top", weight="bold", size=11, linespacing=1.3)

    def place(low: float, high: float) -> Axes:
        across = (WIDTH_IN - LEFT_IN - RIGHT_IN) / WIDTH_IN
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


def time_figure(series: ChartData, finding: str, panels: Sequence[Panel], *, below_in: float = 0.0) -> ChartFigure:
    """A sheet over elapsed time, with the run's fault windows and its deadline."""
    end_s = max(series.end_s, series.deadline_s, 1e-9)
    marks = _marks(series, end_s)
    names_in = (max((row for _, _, row, _ in marks), default=-1) + 1) * ROW_IN
    drawn = titled_figure(finding, panels, above_in=names_in, below_in=below_in)
    drawn.back.set_xlim(0, end_s)
    _draw_marks(drawn.back, marks, drawn.back.get_window_extent().height / drawn.figure.dpi)
    for axes in drawn.panels:
        _time_axis(axes, end_s, labelled=axes is drawn.panels[-1])
    return drawn


def empty_chart(series: ChartData, finding: str, reason: str) -> Figure:
    """A chart without data: it says so in words, in the place where the data would be."""
    drawn = time_figure(series, finding, [Panel("", 1.2)])
    write_placeholder(drawn.panels[0], reason)
    return drawn.figure


def write_placeholder(axes: Axes, reason: str) -> None:
    """Write in an empty panel why it is empty."""
    axes.set_yticks([])
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", color=palette.MUTED, wrap=True)


def downsample_means(line: ChartLine) -> ChartLine:
    """The line itself, or in a long run the means of as many neighbours as it takes to have at most 400 points.

    For rates and levels, whose means are what they seem; percentiles come thinned from the figures, by their rows.
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
    """The line at no more than 400 of its points, the last one included: for curves that only rise."""
    each = -(-len(line.t_s) // MAX_POINTS)
    kept = np.unique(np.append(np.arange(0, len(line.t_s), max(each, 1)), max(len(line.t_s) - 1, 0)))
    return line if each <= 1 else ChartLine(line.label, line.t_s[kept], line.value[kept])


def draw_line(axes: Axes, line: ChartLine, colour: str, *, width: float = 1.8, dashed: bool = False) -> None:
    """Draw a line as it is; its label is kept as the artist's gid, for tests and for the SVG.

    A point between two gaps has no line to show it: it gets a dot.
    """
    style = (0, (4, 2)) if dashed else "-"
    known = np.concatenate([[False], np.isfinite(line.value), [False]])
    alone = np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:])
    (drawn,) = axes.plot(line.t_s, line.value, color=colour, linewidth=width, linestyle=style, gid=line.label)
    if len(alone):
        drawn.set(marker="o", markersize=2 * width, markevery=alone.tolist())


def end_label(line: ChartLine, text: str, colour: str, *, bold: bool = False) -> EndLabel | None:
    """The label for a line's last finite point; None where it has none."""
    finite = np.flatnonzero(np.isfinite(line.value))
    if not len(finite):
        return None
    last = finite[-1]
    return EndLabel(float(line.t_s[last]), float(line.value[last]), text, colour, bold)


def draw_end_labels(axes: Axes, labels: Sequence[EndLabel | None]) -> None:
    """Write each label right of its line's end, as near as the others let it. Limits must be set.

    The labels stand in the margin, or in the panel where all lines end early enough to leave room there.
    """
    wanted = [label for label in labels if label is not None]
    dpi = axes.figure.dpi
    box = axes.get_window_extent()
    points = [axes.transData.transform((label.t_s, label.value)) for label in wanted]
    ends_in = [float(point[0] - box.x0) / dpi for point in points]
    heights = [float(point[1] - box.y0) / dpi for point in points]
    wide, high = box.width / dpi, box.height / dpi
    latest = max(ends_in, default=wide)
    start = latest if latest + RIGHT_IN < wide else wide
    slack = max(0.0, (len(wanted) * LABEL_GAP_IN - high) / 2)
    lowest = (
        LABEL_GAP_IN * 0.6 * max((label.text.count("\n") + 1 for label in wanted), default=1) if start < wide else 0
    )
    placed = place_labels(heights, LABEL_GAP_IN, lowest - slack, high + slack)
    for label, height, target, end in zip(wanted, placed, heights, ends_in, strict=True):
        moved = abs(height - target) > 0.03 or start - end > 0.06
        line = {"arrowstyle": "-", "color": label.colour, "lw": 0.8, "ls": (0, (1, 1.5)), "shrinkA": 0, "shrinkB": 1}
        axes.annotate(
            label.text,
            xy=(label.t_s, label.value),
            xytext=((start + (0.2 if moved else 0.08)) / wide, height / high),
            textcoords="axes fraction",
            color=label.colour,
            weight="bold" if label.bold else "normal",
            size=_fitting_size(label),
            va="center",
            arrowprops=line | {"relpos": (0, 0.5)} if moved else None,
            annotation_clip=False,
        )


def _fitting_size(label: EndLabel) -> float:
    """Points: 9, less for a name that would run out of the picture."""
    wide_in = max(map(len, label.text.splitlines())) * (0.083 if label.bold else 0.074)
    return 9 * min(1.0, (RIGHT_IN - 0.22) / wide_in)


def _marks(series: ChartData, end_s: float) -> list[tuple[float, float, int, str]]:
    """Fault windows and the deadline as (start, end, row of the name, name); the deadline has start = end."""
    marks = [(window.start_s, min(window.end_s, end_s), window.label) for window in series.windows]
    marks = [mark for mark in marks if mark[0] < end_s]
    if series.deadline_s > 0:
        marks.append((series.deadline_s, series.deadline_s, "deadline"))
    per_s = (WIDTH_IN - LEFT_IN - RIGHT_IN) / end_s
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
    if end_s > 600:
        step = next(step for step in (60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400, 1e9) if end_s / step <= 12)
        axes.xaxis.set_major_locator(MultipleLocator(step))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{t / 60:g}"))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10], integer=end_s > 12))
    if labelled:
        axes.set_xlabel(f"{'minutes' if end_s > 600 else 'seconds'} since the start", loc="left")
    else:
        axes.tick_params(labelbottom=False)
