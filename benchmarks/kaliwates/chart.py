"""Every remedy as a row: what was measured as dots, what was simulated as a band."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator, PercentFormatter

from benchmarks.kaliwates.remedies import FIGURES, Remedy, RemedyResults
from benchmarks.kaliwates.remedies import Figure as Quantity
from benchmarks.kaliwates.tables import FORMATS
from reports import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH_IN, _ROW_IN = 9.0, 0.3
_TOP_IN, _BOTTOM_IN = 1.0, 0.42
_DAY_S = 86_400
_AT_NEWS, _, _LATE, _AMPLIFICATION, _ = FIGURES


def draw(results: RemedyResults) -> Figure:
    """The chart. Draw it within `rc_context(palette.STYLE)`."""
    order = results.ranked
    height_in = _TOP_IN + _BOTTOM_IN + _ROW_IN * len(order)
    figure = Figure(figsize=(_WIDTH_IN, height_in))
    figure.text(0.012, 1 - 0.1 / height_in, finding(results), va="top", weight="bold", size=11.5, color=palette.INK)
    note = (
        "A model of the run. Dots: runs that were measured; bands: nine of ten simulated runs. Red: the run as it was."
    )
    figure.text(0.012, 1 - 0.38 / height_in, note, va="top", size=9, color=palette.MUTED)
    grid = figure.add_gridspec(
        1,
        2,
        width_ratios=(5, 4),
        left=0.285,
        right=0.965,
        bottom=_BOTTOM_IN / height_in,
        top=1 - _TOP_IN / height_in,
        wspace=0.14,
    )
    news, late = (figure.add_subplot(grid[0, column]) for column in range(2))
    _panel(news, _AT_NEWS, order, results.remedies[0])
    _panel(late, _LATE, order, results.remedies[0])
    news.set_yticks(range(len(order)), [remedy.name for remedy in reversed(order)])
    news.tick_params(axis="y", labelcolor=palette.INK)
    news.set_xlim(-0.02, 1.14)
    news.set_xticks([0, 0.25, 0.5, 0.75, 1])
    news.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    late.tick_params(axis="y", labelleft=False)
    late.xaxis.set_major_locator(MultipleLocator(_DAY_S))
    late.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / _DAY_S:g} d"))
    most = max(_LATE.band(remedy.simulated)[1] for remedy in order)
    late.set_xlim(-0.04 * most, 1.25 * most)
    return figure


def finding(results: RemedyResults) -> str:
    """The sentence above the chart: how many remedies brought nearly every station through by 48 hours."""
    first, others = results.remedies[0], results.remedies[1:]
    saved = sum(_AT_NEWS.average(remedy.measured) >= 0.95 for remedy in others)
    before = FORMATS[_AT_NEWS.key](_AT_NEWS.average(first.measured))
    return (
        f"As it was, {before} of stations were complete at 48 h; {saved} of {len(others)} changes make it 95 % or more"
    )


def _panel(axes: Axes, quantity: Quantity, order: list[Remedy], first: Remedy) -> None:
    axes.set_title(quantity.title, loc="left", size=9.5, color=palette.INK)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.set_ylim(-0.6, len(order) - 0.4)
    for place, remedy in enumerate(reversed(order)):
        colour = palette.BAD if remedy is first else palette.BLUE
        low, high = quantity.band(remedy.simulated)
        axes.plot([low, high], [place, place], color=colour, linewidth=8, alpha=0.25, solid_capstyle="butt")
        measured = [quantity.value(run) for run in remedy.measured]
        axes.plot(measured, [place] * len(measured), "o", color=colour, markersize=4.5, alpha=0.75, clip_on=False)
        axes.annotate(
            FORMATS[quantity.key](quantity.average(remedy.measured)), (max(high, *measured), place), (9, 0),
            textcoords="offset points", va="center", size=9, color=colour, weight="bold",
        )  # fmt: skip
