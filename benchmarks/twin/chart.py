"""Predicted against measured, a panel per figure: on the diagonal both are the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.twin.fidelity import GOALS, FidelityCell, FidelityResults, is_within
from reports import palette
from reports.number_format import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE_IN = (9.0, 6.4)
_TITLE_IN = 0.62
_COLUMNS = 3
_LOGARITHMIC = frozenset({"finished_s", "delivery_p50_s", "delivery_p95_s", "amplification"})

_LINEAR_UP_TO = 10.0
"""Counts are drawn on a logarithmic scale above this."""


def draw(results: FidelityResults) -> Figure:
    """The chart. Draw it within `rc_context(palette.STYLE)`."""
    figure = Figure(figsize=_SIZE_IN)
    met = [is_within(GOALS[key], cell.pair.figure(key)) for key in GOALS for cell in results.valid]
    counted = [one for one in met if one is not None]
    finding = f"{sum(counted)} of {len(counted)} predictions are within their goals"
    figure.text(0.01, 1 - 0.1 / _SIZE_IN[1], finding, va="top", weight="bold", size=11)
    note = "Filled: held-out cells. Shaded: the goal. Red: outside of it. Across: measured; up: predicted."
    figure.text(0.01, 1 - 0.36 / _SIZE_IN[1], note, va="top", color=palette.MUTED, size=9)
    rows = (len(GOALS) + _COLUMNS - 1) // _COLUMNS
    grid = figure.add_gridspec(
        rows,
        _COLUMNS,
        left=0.08,
        right=0.985,
        bottom=0.07,
        top=1 - (_TITLE_IN + 0.25) / _SIZE_IN[1],
        hspace=0.4,
        wspace=0.32,
    )
    for number, key in enumerate(GOALS):
        _panel(figure.add_subplot(grid[divmod(number, _COLUMNS)]), key, results.valid)
    return figure


def _panel(axes: Axes, key: str, cells: Sequence[FidelityCell]) -> None:
    goal, pairs = GOALS[key], [(cell, cell.pair.figure(key)) for cell in cells]
    # What only one side has can't be drawn; the tables have it.
    known = [
        (cell, pair, pair.measured, pair.predicted)
        for cell, pair in pairs
        if pair.measured is not None and pair.predicted is not None
    ]
    axes.set_title(f"{goal.title} ({goal.text})", loc="left", size=9, color=palette.INK)
    axes.grid(visible=True, axis="both")
    if not known:
        axes.text(0.5, 0.5, "no cell has this figure", ha="center", color=palette.MUTED, transform=axes.transAxes)
        return
    unit = known[0][1].unit
    low, high = _limits(key, [value for *_, measured, predicted in known for value in (measured, predicted)])
    steps = [low + (high - low) * step / 100 for step in range(101)]
    margins = [goal.error if unit == "ratio" else max(value * goal.error, goal.least_difference) for value in steps]
    lower, upper = ([value + sign * margin for value, margin in zip(steps, margins, strict=True)] for sign in (-1, 1))
    axes.fill_between(steps, lower, upper, color=palette.SHADE, linewidth=0)
    axes.plot([low, high], [low, high], color=palette.MUTED, linewidth=0.8)
    for cell, pair, measured, predicted in known:
        colour = palette.BLUE if is_within(goal, pair) else palette.BAD
        face = colour if cell.group == "held out" else palette.PAPER
        axes.scatter(
            [measured], [predicted], s=26, color=face, edgecolors=colour, linewidths=1.3, zorder=3, clip_on=False
        )
    _scale(axes, key, (low, high), unit)


def _scale(axes: Axes, key: str, limits: tuple[float, float], unit: str) -> None:
    if key in _LOGARITHMIC:
        axes.set_xscale("log")
        axes.set_yscale("log")
    elif limits[1] > _LINEAR_UP_TO:
        axes.set_xscale("symlog", linthresh=_LINEAR_UP_TO)
        axes.set_yscale("symlog", linthresh=_LINEAR_UP_TO)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: format_quantity(value, unit)))
        axis.set_minor_formatter(NullFormatter())
        if key in _LOGARITHMIC:
            # names of times are wide: fewer of them below the axis
            crowded = axis is axes.xaxis and key.startswith("delivery")
            axis.set_major_locator(LogLocator(subs=(1.0, 3.0) if crowded else (1.0, 2.0, 5.0)))


def _limits(key: str, values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if key in _LOGARITHMIC:
        return low / 1.15, high * 1.15
    return (0.0, 1.0) if key == "completed_by_deadline_ratio" else (0.0, 1.05 * high or 1.0)
