"""What happens at each level of a capacity search: how often the goal is met, and when the stations are complete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from harness.analysis.capacity import CapacityFigures, CapacityLevel
from reports import palette
from reports.capacity import amount, asks_for_all_stations, is_measured, main_demand
from reports.capacity_charts.axes import (
    COLOURS,
    KEY_IN,
    MARKERS,
    MEASURED_KEY,
    SIDE,
    CapacityChart,
    beside,
    condition_key,
    label_levels,
    tried_values,
    write_key,
)
from reports.charts.style import Panel, titled_figure
from reports.number_format import format_duration, format_ratio, join_phrases

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

_FAN = ((0.05, 0.95, 0.25), (0.25, 0.75, 0.35))
"""The bands of the fan: from and to which quantile of the runs, and how opaque."""


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
    heading = f"runs that meet the goal; bar: {format_ratio(figures.confidence)} bounds; dotted: the wanted {format_ratio(figures.probability)}"
    drawn = titled_figure(probability_finding(figures), [Panel(heading, 2.6)], above_in=KEY_IN)
    axes, values = drawn.panels[0], tried_values(figures)
    for condition, offset in beside(figures):
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
            _draw_measured(axes, level, x + SIDE / 2, colour, f"measured {condition.name} {level.value}")
    axes.axhline(figures.probability, color=palette.INK, linewidth=1, linestyle=(0, (1, 2)), gid="wanted")
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    label_levels(axes, figures, values)
    measured = [MEASURED_KEY] if is_measured(figures) else []
    write_key(axes, [*condition_key(figures), *measured])
    return drawn.figure


def _draw_measured(axes: Axes, level: CapacityLevel, x: float, colour: str, gid: str) -> None:
    """The share of the valid measured runs beside the simulated ones."""
    votes = [run.met for run in level.measured if run.met is not None]
    if votes:
        share = sum(votes) / len(votes)
        axes.plot([x], [share], "D", color=colour, markerfacecolor="none", markersize=7, clip_on=False, gid=gid)


def finish_finding(figures: CapacityFigures) -> str:
    """How early the stations are complete at the least level that passes."""
    demand = main_demand(figures.conditions[0])
    level = next((one for one in demand.levels if one.value == demand.found_passes), None)
    if level is None or not level.seeds:
        return "At no level that was tried were the stations complete early enough"
    median = float(_quantiles(level, figures, (0.5,))[0])
    when = "never" if not np.isfinite(median) else f"after {format_duration(median)}"
    who = "all stations" if _counts_all(figures) else "95 % of the stations"
    return (
        f"With {amount(figures, level.value)} {who} are complete {when} in the median run; "
        f"the deadline is {format_duration(figures.deadline_s)}"
    )


def draw_finish(figures: CapacityFigures) -> Figure:
    """When the stations are complete at each level: the median, and the middle half and nine tenths of the runs as bars."""
    who = "all stations" if _counts_all(figures) else "95 %"
    heading = f"seconds until {who} complete; bars: 50 and 90 % of runs; dotted: the deadline; at the top: never"
    drawn = titled_figure(finish_finding(figures), [Panel(heading, 2.6)], above_in=KEY_IN)
    axes, values, top = drawn.panels[0], tried_values(figures), figures.deadline_s * 1.15
    for condition, offset in beside(figures):
        levels = [level for level in main_demand(condition).levels if level.seeds]
        _draw_fan(axes, figures, levels, [values.index(level.value) + offset for level in levels], condition.name, top)
    axes.axhline(figures.deadline_s, color=palette.INK, linewidth=1, linestyle=(0, (1, 2)), gid="deadline")
    axes.set_ylim(0, 1.03 * top)
    label_levels(axes, figures, values)
    write_key(axes, condition_key(figures))
    return drawn.figure


def _draw_fan(
    axes: Axes, figures: CapacityFigures, levels: Sequence[CapacityLevel], at: Sequence[float], name: str, top: float
) -> None:
    """Bars between quantiles of each level's runs around their medians, which a thin line joins."""
    medians = []
    for level, x in zip(levels, at, strict=True):
        for low, high, alpha in _FAN:
            ends = np.minimum(_quantiles(level, figures, (low, high)), top)
            axes.plot([x, x], ends, color=COLOURS[name], linewidth=6, alpha=alpha, solid_capstyle="butt")
        median = min(float(_quantiles(level, figures, (0.5,))[0]), top)
        mark = "^" if median >= top else MARKERS[name]
        axes.plot([x], [median], mark, color=COLOURS[name], markersize=6, clip_on=False, gid=f"{name} {level.value}")
        medians.append(median)
    axes.plot(at, medians, color=COLOURS[name], linewidth=0.8, alpha=0.6)


def _counts_all(figures: CapacityFigures) -> bool:
    """Whether the goal asks for all stations; otherwise the last few of them say little."""
    return any(asks_for_all_stations(condition.goal) for condition in figures.conditions)


def _quantiles(level: CapacityLevel, figures: CapacityFigures, shares: Sequence[float]) -> FloatArray:
    """Quantiles over the seeds of when the stations were complete; infinite is never."""
    times = [seed.finish_s if _counts_all(figures) else seed.complete_95_s for seed in level.seeds]
    ordered = np.sort([np.inf if value is None else value for value in times])
    return ordered[[round(share * (len(ordered) - 1)) for share in shares]]


PROBABILITY = CapacityChart(
    "probability", "From which level on is the goal met?", probability_finding, draw_probability
)
FINISH = CapacityChart("finish", "When are the stations complete?", finish_finding, draw_finish)
