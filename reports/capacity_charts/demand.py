"""The staircase of a capacity search: how much of the resource each load takes, over what arithmetic asks for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.analysis.capacity import CapacityCondition, CapacityFigures
from reports import palette
from reports.capacity import amount
from reports.capacity_charts.axes import (
    COLOURS,
    KEY_IN,
    CapacityChart,
    condition_key,
    level_number,
    unit_scale,
    write_key,
)
from reports.charts.style import Panel, titled_figure
from reports.number_format import join_phrases, plural


def demand_finding(figures: CapacityFigures) -> str:
    """What the demand does as the load grows."""
    condition = figures.conditions[0]
    if len(condition.loads) == 1:
        return _one_load_finding(figures)
    parts = [
        f"{one.load:g}x takes {one.found_passes}"
        if one.found_passes
        else f"{one.load:g}x more than {figures.vary.strongest}"
        for one in condition.loads
    ]
    return f"{figures.vary.key}: {', '.join(parts)}"


def _one_load_finding(figures: CapacityFigures) -> str:
    parts = []
    for condition in figures.conditions:
        (demand,) = condition.loads
        takes = (
            f"takes {amount(figures, demand.found_passes)}"
            if demand.found_passes
            else f"takes more than {figures.vary.strongest}"
        )
        parts.append(f"with {join_phrases(condition.faults)} it {takes}" if condition.faults else takes)
    return f"{plural(figures.conditions[0].loads[0].stations, 'station')}: {', '.join(parts)}"


def draw_demand(figures: CapacityFigures) -> Figure:
    """The demand as a staircase over the loads, with the band down to what fails, above the arithmetic's bound."""
    drawn = titled_figure(demand_finding(figures), [Panel(f"{figures.vary.key} that suffices", 3.0)], above_in=KEY_IN)
    axes = drawn.panels[0]
    loads = [one.load for one in figures.conditions[0].loads]
    edges = _edges(loads)
    for condition in figures.conditions:
        _draw_staircase(axes, figures, condition, edges)
    bounds = [one.least_by_arithmetic for one in figures.conditions[0].loads]
    if None not in bounds:
        heights = np.array([bound or 0.0 for bound in bounds]) / unit_scale(figures)
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
    bound = [("by arithmetic", palette.MUTED)] if None not in bounds else []
    write_key(axes, [*condition_key(figures), *bound])
    return drawn.figure


def _draw_staircase(axes: Axes, figures: CapacityFigures, condition: CapacityCondition, edges: Sequence[float]) -> None:
    colour, strongest = COLOURS[condition.name], level_number(figures.vary.strongest, figures)
    passes = [level_number(one.found_passes, figures) for one in condition.loads]
    fails = [level_number(one.found_fails, figures) if one.found_fails else 0.0 for one in condition.loads]
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


DEMAND = CapacityChart("demand", "How does the demand grow with the load?", demand_finding, draw_demand)
