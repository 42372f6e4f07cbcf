"""The two charts of an experiment: completion curves with bands over seeds, and the variants by rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from harness.analysis.experiment import CellFigures, ExperimentFigures, VariantFigures
from reports import number_format, palette
from reports.charts.style import Panel, titled_figure
from reports.experiment.table import finding, moment_label, ranked

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

    FloatArray = npt.NDArray[np.float64]

_COLUMNS = 3
_PERCENT = PercentFormatter(1.0, symbol=" %")


def completion_band(
    cells: Sequence[CellFigures], end_s: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Seconds, least, median and greatest share complete over the seeds; a run that ended early stays where it was.

    Shapes (n,), a value a second up to `end_s`.
    """
    seconds = np.arange(0.0, end_s + 1.0)
    curves = np.vstack([np.interp(seconds, cell.curve_t_s, cell.curve) for cell in cells])
    return seconds, curves.min(axis=0), np.median(curves, axis=0), curves.max(axis=0)


def draw_curves(figures: ExperimentFigures) -> Figure:
    """A small panel a variant, best first; the first variant's median stands grey in every one."""
    order = ranked(figures)
    if not order:
        return _empty_chart(figures)
    lines = -(-len(order) // _COLUMNS)
    figure = Figure(figsize=(9.0, 0.7 + 2.05 * lines))
    figure.text(0.013, 1 - 0.1 / figure.get_figheight(), finding(figures), va="top", weight="bold", size=11)
    grid = figure.subplots(lines, _COLUMNS, sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=0.07, right=0.985, top=1 - 0.75 / figure.get_figheight(), bottom=0.48 / figure.get_figheight(),
        hspace=0.42, wspace=0.1,
    )  # fmt: skip
    first = figures.variants[0]
    for place, axes in enumerate(grid.flat):
        if place < len(order):
            _draw_panel(figures, axes, order[place])
        else:
            axes.set_axis_off()
    bottom = (
        f"seconds since the start, to the deadline ({moment_label(figures, figures.deadline_s)}); stations complete"
    )
    figure.text(0.07, 0.06 / figure.get_figheight(), f"{bottom}; dashed: “{first.name}”", size=9, color=palette.MUTED)
    return figure


def _draw_panel(figures: ExperimentFigures, axes: Axes, variant: VariantFigures) -> None:
    first = figures.variants[0]
    if first.cells:
        seconds, _, median, _ = completion_band(first.cells, figures.deadline_s)
        axes.plot(seconds, median, color=palette.GREY, linewidth=1.2, linestyle=(0, (4, 2)), gid="first")
    seconds, least, median, most = completion_band(variant.cells, figures.deadline_s)
    axes.fill_between(seconds, least, most, color=palette.SKY, alpha=0.25, linewidth=0)
    axes.plot(seconds, median, color=palette.GOODPUT, linewidth=2.0, gid=variant.name)
    axes.set_title(variant.name, loc="left", size=9.5, color=palette.INK, pad=4)
    axes.text(
        0.98, 0.06, number_format.format_ratio(float(median[-1])), transform=axes.transAxes, ha="right", size=9.5,
        color=palette.GOODPUT, weight="bold",
    )  # fmt: skip
    axes.set_ylim(0, 1.03)
    axes.set_xlim(0, figures.deadline_s)
    axes.set_yticks([0, 0.5, 1])
    axes.yaxis.set_major_formatter(_PERCENT)


def draw_rank(figures: ExperimentFigures) -> Figure:
    """Variants by the share of stations complete by the deadline: a dot a seed, a bar at the mean."""
    order = [variant for variant in ranked(figures) if variant.mean["completed_by_deadline_ratio"] is not None]
    if not order:
        return _empty_chart(figures)
    drawn = titled_figure(finding(figures), [Panel("stations complete by the deadline", 0.3 * len(order) + 0.1)])
    axes = drawn.panels[0]
    box = axes.get_position()
    axes.set_position((0.27, box.y0, 0.62, box.height))
    drawn.back.set_position((0.27, box.y0, 0.62, box.height))
    for place, variant in enumerate(reversed(order)):
        _draw_variant(figures, axes, place, variant)
    axes.set_yticks(range(len(order)), [variant.name for variant in reversed(order)])
    axes.tick_params(axis="y", labelcolor=palette.INK)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(_PERCENT)
    return drawn.figure


def _draw_variant(figures: ExperimentFigures, axes: Axes, place: int, variant: VariantFigures) -> None:
    shares = [cell.completed_by_deadline_ratio or 0.0 for cell in variant.cells]
    mean = sum(shares) / len(shares)
    colour = palette.GREY if variant.name == figures.variants[0].name else palette.GOODPUT
    axes.plot(shares, [place] * len(shares), "o", color=colour, markersize=4, alpha=0.6, gid=variant.name)
    axes.plot([mean, mean], [place - 0.3, place + 0.3], color=colour, linewidth=2.4)
    axes.annotate(
        number_format.format_ratio(mean), (1.0, place), (12, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
        va="center", size=9, color=colour, weight="bold",
    )  # fmt: skip


def _empty_chart(figures: ExperimentFigures) -> Figure:
    drawn = titled_figure(finding(figures), [Panel("", 1.0)])
    drawn.panels[0].set_axis_off()
    return drawn.figure
