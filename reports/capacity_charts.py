"""The charts of a capacity search: demand against load, the goal's probability and the time of completion against the level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from harness.analysis.capacity import CapacityCondition, CapacityFigures, CapacityLevel
from reports import palette
from reports.capacity import MEANINGS, amount, is_measured, main_demand
from reports.charts.layout import current_layout
from reports.charts.style import Panel, titled_figure
from reports.number_format import format_duration, format_ratio, join_phrases

COLOURS = {"bears": palette.GOODPUT, "recovers": palette.ORANGE}
MARKERS = {"bears": "o", "recovers": "s"}
MARKERS_TEXT = {"bears": "\N{BLACK CIRCLE}", "recovers": "\N{BLACK SQUARE}"}
_SIDE = 0.16
"""How far the two conditions stand apart at a level, in levels."""
_FAN = (0.05, 0.95)
_CHARACTER_PT, _BETWEEN_PT = 5.2, 8.0
"""About the width of a character in the key, and the room between two entries: all of it must fit a narrow chart."""


class CapacityChart(NamedTuple):
    """One chart of the page."""

    name: str
    question: str
    finding: Callable[[CapacityFigures], str]
    draw: Callable[[CapacityFigures], Figure]
    applies: Callable[[CapacityFigures], bool] = lambda _: True


def demand_finding(figures: CapacityFigures) -> str:
    """What the demand does as the load grows."""
    condition = figures.conditions[0]
    parts = [
        f"{one.load:g}x takes {one.found_passes}"
        if one.found_passes
        else f"{one.load:g}x more than {figures.vary.strongest}"
        for one in condition.loads
    ]
    return f"{figures.vary.key}: {', '.join(parts)}"


def draw_demand(figures: CapacityFigures) -> Figure:
    """The demand as a staircase over the loads, with the band down to what fails, above the arithmetic's bound."""
    drawn = titled_figure(demand_finding(figures), [Panel(f"{figures.vary.key} that suffices", 3.0)], above_in=0.22)
    axes = drawn.panels[0]
    loads = [one.load for one in figures.conditions[0].loads]
    edges = _edges(loads)
    for condition in figures.conditions:
        _draw_staircase(axes, figures, condition, edges)
    bounds = [one.least_by_arithmetic for one in figures.conditions[0].loads]
    if None not in bounds:
        heights = np.array([bound or 0.0 for bound in bounds]) / _unit_scale(figures)
        axes.stairs(
            heights, edges, color=palette.MUTED, linestyle=(0, (4, 2)), linewidth=1.2, gid="arithmetic", baseline=None
        )
    axes.set_xscale("log")
    axes.set_xticks(loads, [f"{load:g}x" for load in loads])
    axes.minorticks_off()
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    if figures.vary.step.isdigit():
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
    axes.set_xlabel("load: factor on the scenario's stations", loc="left")
    _write_key(axes, figures, [("by arithmetic", palette.MUTED)] if None not in bounds else [])
    return drawn.figure


def _draw_staircase(axes: Axes, figures: CapacityFigures, condition: CapacityCondition, edges: Sequence[float]) -> None:
    colour, strongest = COLOURS[condition.name], _number(figures.vary.strongest, figures)
    passes = [_number(one.found_passes, figures) for one in condition.loads]
    fails = [_number(one.found_fails, figures) if one.found_fails else 0.0 for one in condition.loads]
    top = np.array([np.nan if value is None else value for value in passes], dtype=np.float64)
    axes.stairs(top, list(edges), color=colour, linewidth=2.2, gid=condition.name, baseline=None)
    for place, (high, low) in enumerate(zip(passes, fails, strict=True)):
        left, right = edges[place], edges[place + 1]
        if high is None:  # nothing in the range suffices: the demand lies beyond it
            axes.plot([(left * right) ** 0.5], [strongest or 0.0], "^", color=colour, markersize=9, clip_on=False)
        else:
            axes.fill_between([left, right], low or 0.0, high, color=colour, alpha=0.18, linewidth=0)


def _edges(loads: Sequence[float]) -> list[float]:
    """The edges of the steps on a logarithmic axis: halfway between neighbours."""
    if len(loads) == 1:
        return [loads[0] / 2**0.5, loads[0] * 2**0.5]
    inner = [(one * other) ** 0.5 for one, other in pairwise(loads)]
    return [loads[0] ** 2 / inner[0], *inner, loads[-1] ** 2 / inner[-1]]


def _number(value: str | None, figures: CapacityFigures) -> float | None:
    return None if value is None else float(value.removesuffix(figures.vary.unit))


def _unit_scale(figures: CapacityFigures) -> float:
    """Base units per unit of the key, for the arithmetic's bound; bytes per second are the only ones that have another."""
    scale = {"KB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9, "Mbit/s": 125e3, "Gbit/s": 125e6, "kbit/s": 125.0}
    return scale.get(figures.vary.unit, 1.0)


def probability_finding(figures: CapacityFigures) -> str:
    """From which level on the goal is met often enough, under each condition."""
    parts = []
    for condition in figures.conditions:
        passes = main_demand(condition).found_passes
        where = f"with {join_phrases(condition.faults)}" if condition.faults else "without faults"
        found = f"from {amount(figures, passes)} on" if passes else f"at no level up to {figures.vary.strongest}"
        parts.append(f"{where} {found}")
    return f"The goal is met in {format_ratio(figures.probability)} of runs {join_phrases(parts)}"


def draw_probability(figures: CapacityFigures) -> Figure:
    """How often the goal was met at each level, with Clopper and Pearson's bounds."""
    heading = f"runs that meet the goal; bar: {format_ratio(figures.confidence)} bounds"
    drawn = titled_figure(probability_finding(figures), [Panel(heading, 2.6)], above_in=0.22)
    axes, values = drawn.panels[0], tried_values(figures)
    for condition, offset in _beside(figures):
        for level in main_demand(condition).levels:
            seeds = level.passed + level.failed
            if not seeds:
                continue
            x, share, colour = values.index(level.value) + offset, level.passed / seeds, COLOURS[condition.name]
            axes.plot(
                [x, x],
                [level.probability_low, level.probability_high],
                color=colour,
                linewidth=5,
                alpha=0.3,
                solid_capstyle="butt",
            )
            axes.plot(
                [x],
                [share],
                MARKERS[condition.name],
                color=colour,
                markersize=6,
                clip_on=False,
                gid=f"{condition.name} {level.value}",
            )
            _draw_measured(axes, level, x + _SIDE / 2, colour, f"measured {condition.name} {level.value}")
    axes.axhline(figures.probability, color=palette.INK, linewidth=1, linestyle=(0, (1, 2)), gid="wanted")
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    _level_axis(axes, figures, values, f"dotted: {format_ratio(figures.probability)}")
    measured = [("\N{WHITE DIAMOND} measured", palette.INK)] if is_measured(figures) else []
    _write_key(axes, figures, measured)
    return drawn.figure


def _draw_measured(axes: Axes, level: CapacityLevel, x: float, colour: str, gid: str) -> None:
    """The share of the valid measured runs beside the simulated ones."""
    votes = [run.met for run in level.measured if run.met is not None]
    if votes:
        share = sum(votes) / len(votes)
        axes.plot([x], [share], "D", color=colour, markerfacecolor="none", markersize=7, clip_on=False, gid=gid)


def finish_finding(figures: CapacityFigures) -> str:
    """How early most stations are complete at the least level that passes."""
    demand = main_demand(figures.conditions[0])
    level = next((one for one in demand.levels if one.value == demand.found_passes), None)
    if level is None:
        return "At no level that was tried were the stations complete early enough"
    median = _fan(level)[1]
    when = "never" if not np.isfinite(median) else f"after {format_duration(median)}"
    return (
        f"With {amount(figures, level.value)} 95 % of the stations are complete {when} in the median run; "
        f"the deadline is {format_duration(figures.deadline_s)}"
    )


def draw_finish(figures: CapacityFigures) -> Figure:
    """When 95 % of the stations are complete at each level: the median, and the middle 90 % of the runs as a bar."""
    heading = "seconds until 95 % complete; bar: 90 % of runs"
    drawn = titled_figure(finish_finding(figures), [Panel(heading, 2.6)], above_in=0.22)
    axes, values, top = drawn.panels[0], tried_values(figures), figures.deadline_s * 1.15
    for condition, offset in _beside(figures):
        for level in main_demand(condition).levels:
            if not level.seeds:
                continue
            low, median, high = (min(value, top) for value in _fan(level))
            x, colour = values.index(level.value) + offset, COLOURS[condition.name]
            axes.plot([x, x], [low, high], color=colour, linewidth=5, alpha=0.3, solid_capstyle="butt")
            never = median >= top
            axes.plot(
                [x],
                [median],
                "^" if never else MARKERS[condition.name],
                color=colour,
                markersize=6,
                clip_on=False,
                gid=f"{condition.name} {level.value}",
            )
    axes.axhline(figures.deadline_s, color=palette.INK, linewidth=1, linestyle=(0, (1, 2)), gid="deadline")
    axes.set_ylim(0, top)
    _level_axis(axes, figures, values, "dotted: the deadline; at the top: never")
    _write_key(axes, figures, [])
    return drawn.figure


def _fan(level: CapacityLevel) -> tuple[float, float, float]:
    """The 5 %, 50 % and 95 % quantiles over the seeds of when 95 % of the stations were complete; infinite is never."""
    times = np.sort([np.inf if seed.complete_95_s is None else seed.complete_95_s for seed in level.seeds])
    low, median, high = (float(times[round(share * (len(times) - 1))]) for share in (_FAN[0], 0.5, _FAN[1]))
    return low, median, high


def tried_values(figures: CapacityFigures) -> list[str]:
    """Every value that was tried under the main load, from the weakest to the strongest."""
    levels = {one.value: one.level for condition in figures.conditions for one in main_demand(condition).levels}
    weakest, strongest = _number(figures.vary.weakest, figures), _number(figures.vary.strongest, figures)
    return sorted(levels, key=lambda value: levels[value], reverse=(weakest or 0.0) > (strongest or 0.0))


def _beside(figures: CapacityFigures) -> list[tuple[CapacityCondition, float]]:
    """The conditions with the place of each beside its level."""
    if len(figures.conditions) == 1:
        return [(figures.conditions[0], 0.0)]
    return [(figures.conditions[0], -_SIDE), (figures.conditions[1], _SIDE)]


def _level_axis(axes: Axes, figures: CapacityFigures, values: Sequence[str], note: str) -> None:
    every = max(1, -(-len(values) // (2 * current_layout().max_ticks)))
    axes.set_xticks(range(0, len(values), every), list(values)[::every])
    axes.set_xlim(-0.6, max(len(values), 1) - 0.4)
    axes.set_xlabel(f"{figures.vary.key}; {note}", loc="left")


def _write_key(axes: Axes, figures: CapacityFigures, more: Sequence[tuple[str, str]]) -> None:
    """The names of the conditions in their colours, above the panel."""
    entries = [(f"{MARKERS_TEXT[one.name]} {MEANINGS[one.name]}", COLOURS[one.name]) for one in figures.conditions]
    x_pt = 0.0
    for text, colour in [*entries, *more]:
        axes.annotate(
            text, (0, 1), (x_pt, 20), xycoords="axes fraction", textcoords="offset points", color=colour, size=8.5
        )
        x_pt += _CHARACTER_PT * len(text) + _BETWEEN_PT


CAPACITY_CHARTS = (
    CapacityChart("probability", "From which level on is the goal met?", probability_finding, draw_probability),
    CapacityChart("finish", "When are the stations complete?", finish_finding, draw_finish),
    CapacityChart(
        "demand", "How does the demand grow with the load?", demand_finding, draw_demand,
        lambda figures: len(figures.conditions[0].loads) > 1,
    ),
)  # fmt: skip
