"""The simulation against reality: what each measured run of a level came to, beside the simulated ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from harness.analysis.capacity import CapacityFigures, CapacityLevel, PlayedSeed
from reports import palette
from reports.capacity import is_measured, main_demand
from reports.capacity_charts.axes import (
    COLOURS,
    KEY_IN,
    MARKERS,
    MEASURED_KEY,
    CapacityChart,
    condition_key,
    write_key,
)
from reports.charts.layout import current_layout
from reports.charts.style import Panel, titled_figure
from reports.number_format import plural

_BESIDE = 0.14
_SPREAD = 0.05
"""How far simulated and measured runs stand from the middle of their level, and neighbours of them from each other."""


class MeasuredLevel(NamedTuple):
    """A level that was run for real under a condition."""

    condition: str
    level: CapacityLevel


def measured_levels(figures: CapacityFigures) -> list[MeasuredLevel]:
    """The levels of the main load that have a valid measured run."""
    return [
        MeasuredLevel(condition.name, level)
        for condition in figures.conditions
        for level in main_demand(condition).levels
        if any(run.met is not None for run in level.measured)
    ]


def measured_finding(figures: CapacityFigures) -> str:
    """How many measured runs lie among the simulated ones."""
    levels = measured_levels(figures)
    inside = total = 0
    for _, level in levels:
        low, high = _range(level)
        valid = [run for run in level.measured if run.met is not None]
        total += len(valid)
        inside += sum(low <= _finish(run) <= high for run in valid)
    if not total:
        return "No run was valid, so reality says nothing about the simulation"
    return f"{inside} of {plural(total, 'measured run')} have 95 % of the stations complete within the times of the simulated ones"


def draw_measured(figures: CapacityFigures) -> Figure:
    """Two panels over the measured levels: when 95 % were complete, and how many by the deadline."""
    panels = [
        Panel("seconds until 95 % complete; filled: simulated; dotted: the deadline; at the top: never", 2.2),
        Panel("stations complete by the deadline", 1.8),
    ]
    drawn = titled_figure(measured_finding(figures), panels, above_in=KEY_IN)
    levels, top = measured_levels(figures), figures.deadline_s * 1.15
    above, below = drawn.panels
    for place, (name, level) in enumerate(levels):
        finishes = [min(_finish(seed), top) for seed in level.seeds], [min(_finish(one), top) for one in _valid(level)]
        _draw_level(above, place, name, level, *finishes)
        ratios = (
            [one.completed_ratio or 0.0 for one in level.seeds],
            [one.completed_ratio or 0.0 for one in _valid(level)],
        )
        _draw_level(below, place, name, level, *ratios)
    above.axhline(figures.deadline_s, color=palette.INK, linewidth=1, linestyle=(0, (1, 2)), gid="deadline")
    above.set_ylim(0, 1.03 * top)
    below.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
    below.set_ylim(min(0.9, below.get_ylim()[0]), 1.01)
    for axes in drawn.panels:
        axes.set_xticks(range(len(levels)), [level.value for _, level in levels] if axes is below else [])
        axes.set_xlim(-0.6, max(len(levels), 1) - 0.4)
    below.set_xlabel(figures.vary.key, loc="left")
    write_key(above, [*condition_key(figures), MEASURED_KEY])
    return drawn.figure


def _draw_level(
    axes: Axes, place: int, name: str, level: CapacityLevel, simulated: list[float], measured: list[float]
) -> None:
    x = list(_scattered(place - _BESIDE, len(simulated)))
    size = 3 if current_layout().narrow else 4
    axes.plot(
        x,
        simulated,
        MARKERS[name],
        color=COLOURS[name],
        markersize=size,
        alpha=0.35,
        clip_on=False,
        gid=f"simulated {name} {level.value}",
    )
    axes.plot(
        list(_scattered(place + _BESIDE, len(measured))), measured, "D", color=COLOURS[name], markerfacecolor="none",
        markersize=7, clip_on=False, gid=f"measured {name} {level.value}",
    )  # fmt: skip


def _scattered(middle: float, count: int) -> Iterator[float]:
    """Places around the middle, so that equal values do not cover each other; the same in every drawing."""
    for number in range(count):
        yield middle + _SPREAD * ((number * 0.618_034) % 1.0 - 0.5) * 2


def _valid(level: CapacityLevel) -> list[PlayedSeed]:
    return [run for run in level.measured if run.met is not None]


def _finish(seed: PlayedSeed) -> float:
    return np.inf if seed.complete_95_s is None else seed.complete_95_s


def _range(level: CapacityLevel) -> tuple[float, float]:
    times = [_finish(seed) for seed in level.seeds]
    return (min(times), max(times)) if times else (np.inf, -np.inf)


MEASURED = CapacityChart(
    "measured", "Do real runs agree with the simulation?", measured_finding, draw_measured, is_measured
)
