"""The chart of a comparison: how much worse or better each figure is, with its interval and what it may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from harness.judge.compare.results import Comparison, FigureComparison, format_signed_percent
from reports import palette
from reports.charts.style import Panel, titled_figure, write_placeholder
from reports.comparison.table import RESULT_LABELS, format_change

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"pass": palette.GOOD, "fail": palette.BAD, "inconclusive": palette.UNSURE}
_LEFT_IN, _ROW_IN = 2.9, 0.34
_MIN_REACH = 0.02
_MAX_REACH = 3.0
"""Changes beyond 300 % are drawn as arrows at the edge."""


def draw_changes(comparison: Comparison) -> Figure:
    """A line a figure: a dot at its change, a bar over its interval, shade as far as it may go; right is worse."""
    known = [figure for figure in comparison.figures if figure.change is not None]
    drawn = titled_figure(
        comparison.finding, [Panel("how much worse the run is than the base", _ROW_IN * max(len(known), 2))]
    )
    axes = drawn.panels[0]
    if not known:
        write_placeholder(axes, "No figure could be compared.")
        return drawn.figure
    box = axes.get_position()
    left = _LEFT_IN / drawn.figure.get_figwidth()
    axes.set_position((left, box.y0, box.x1 - left, box.height))
    reach = _reach(known)
    for place, figure in enumerate(reversed(known)):
        _draw_figure(axes, place, figure, reach)
    axes.axvline(0, color=palette.INK, linewidth=1)
    axes.set_yticks(range(len(known)), [figure.key for figure in reversed(known)])
    axes.tick_params(axis="y", labelcolor=palette.INK)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-0.6, len(known) - 0.4)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda change, _: format_signed_percent(change)))
    axes.set_xlabel("further right is worse; bar: interval; shade: what it may be", loc="left")
    return drawn.figure


def _reach(figures: Sequence[FigureComparison]) -> float:
    """How far the axis goes to both sides: over all finite bounds and tolerances, and no further."""
    ends = [abs(end) for figure in figures for end in _interval_towards_worse(figure) if math.isfinite(end)]
    ends += [figure.tolerance for figure in figures if figure.tolerance is not None]
    return min(_MAX_REACH, max([_MIN_REACH, *ends]) * 1.08)


def _draw_figure(axes: Axes, place: int, figure: FigureComparison, reach: float) -> None:
    colour = _COLOURS.get(figure.verdict, palette.GREY)
    low, middle, high = (max(-reach, min(reach, end)) for end in _interval_towards_worse(figure))
    if figure.tolerance is not None:
        axes.fill_between(
            [-reach, min(figure.tolerance, reach)], place - 0.4, place + 0.4, color=palette.SHADE, linewidth=0
        )
        axes.plot([figure.tolerance] * 2, [place - 0.4, place + 0.4], color=palette.MUTED, linewidth=1)
    axes.plot([low, high], [place, place], color=colour, linewidth=2.4, gid=f"{figure.key} interval")
    axes.plot([middle], [place], "o", color=colour, markersize=6, gid=figure.key)
    for end, marker in ((low, "<"), (high, ">")):
        if abs(end) >= reach:
            axes.plot([end], [place], marker, color=colour, markersize=6, clip_on=False)
    axes.annotate(
        f"{format_change(figure)}  {RESULT_LABELS[figure.verdict]}", (1.0, place), (10, 0), xycoords=("axes fraction", "data"),
        textcoords="offset points", va="center", size=9, color=colour,
        weight="bold" if figure.verdict == "fail" else "normal",
    )  # fmt: skip


def _interval_towards_worse(figure: FigureComparison) -> tuple[float, float, float]:
    """Low end, change and high end, rising towards worse; infinite for no bound."""
    change = figure.change
    if change is None:
        return (0.0, 0.0, 0.0)
    low = -math.inf if change.low is None else change.low
    high = math.inf if change.high is None else change.high
    middle = math.inf if change.change is None else change.change
    return (low, middle, high) if figure.better == "lower" else (-high, -middle, -low)
