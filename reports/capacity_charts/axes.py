"""What the charts of a capacity search share: colours and marks of the two conditions, the axis of levels, the key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.analysis.capacity import CapacityCondition, CapacityFigures
from reports import palette
from reports.capacity import MEANINGS, main_demand
from reports.charts.labels import HEADING
from reports.charts.layout import current_layout
from reports.charts.style import HEADING_LINE_IN

COLOURS = {"bears": palette.GOODPUT, "recovers": palette.ORANGE}
MARKERS = {"bears": "o", "recovers": "s"}
MARKERS_TEXT = {"bears": "\N{BLACK CIRCLE}", "recovers": "\N{BLACK SQUARE}"}
MEASURED_KEY = ("\N{WHITE DIAMOND} measured", palette.INK)
SIDE = 0.16
"""How far the two conditions stand apart at a level, in levels."""
KEY_IN = 0.22
"""Height of the key above a panel."""
_CHARACTER_PT, _BETWEEN_PT = 5.2, 8.0
"""About the width of a character in the key, and the room between two entries: all of it must fit a narrow chart."""


class CapacityChart(NamedTuple):
    """One chart of the page."""

    name: str
    question: str
    finding: Callable[[CapacityFigures], str]
    draw: Callable[[CapacityFigures], Figure]
    applies: Callable[[CapacityFigures], bool] = lambda _: True


def level_number(value: str | None, figures: CapacityFigures) -> float | None:
    """The number of a value that is written with its unit."""
    return None if value is None else float(value.removesuffix(figures.vary.unit))


def unit_scale(figures: CapacityFigures) -> float:
    """Base units per unit of the key, for the arithmetic's bound; bytes per second are the only ones that have another."""
    scale = {"KB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9, "Mbit/s": 125e3, "Gbit/s": 125e6, "kbit/s": 125.0}
    return scale.get(figures.vary.unit, 1.0)


def tried_values(figures: CapacityFigures) -> list[str]:
    """Every value that was tried under the main load, from the weakest to the strongest."""
    levels = {one.value: one.level for condition in figures.conditions for one in main_demand(condition).levels}
    weakest, strongest = level_number(figures.vary.weakest, figures), level_number(figures.vary.strongest, figures)
    return sorted(levels, key=lambda value: levels[value], reverse=(weakest or 0.0) > (strongest or 0.0))


def beside(figures: CapacityFigures) -> list[tuple[CapacityCondition, float]]:
    """The conditions with the place of each beside its level."""
    if len(figures.conditions) == 1:
        return [(figures.conditions[0], 0.0)]
    return [(figures.conditions[0], -SIDE), (figures.conditions[1], SIDE)]


def label_levels(axes: Axes, figures: CapacityFigures, values: Sequence[str]) -> None:
    """Label the x axis with the levels, as many as there is room for."""
    every = max(1, -(-len(values) // (2 * current_layout().max_ticks)))
    axes.set_xticks(range(0, len(values), every), list(values)[::every])
    axes.set_xlim(-0.6, max(len(values), 1) - 0.4)
    axes.set_xlabel(figures.vary.key, loc="left")


def write_key(axes: Axes, entries: Sequence[tuple[str, str]]) -> None:
    """Names in their colours, above the panel and its heading."""
    heading = next(text for text in axes.texts if text.get_gid() == HEADING)
    y_pt = 20 + HEADING_LINE_IN * 72 * heading.get_text().count("\n")
    x_pt = 0.0
    for text, colour in entries:
        axes.annotate(
            text, (0, 1), (x_pt, y_pt), xycoords="axes fraction", textcoords="offset points", color=colour, size=8.5
        )
        x_pt += _CHARACTER_PT * len(text) + _BETWEEN_PT


def condition_key(figures: CapacityFigures) -> list[tuple[str, str]]:
    """The conditions as entries of the key."""
    return [(f"{MARKERS_TEXT[one.name]} {MEANINGS[one.name]}", COLOURS[one.name]) for one in figures.conditions]
