"""What the faults cost: the resource that bears each load beside the resource that also recovers from the faults."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.analysis.capacity import CapacityFigures
from reports import palette
from reports.capacity import amount, main_demand, spell
from reports.capacity_charts.axes import (
    COLOURS,
    KEY_IN,
    MARKERS,
    CapacityChart,
    condition_key,
    level_number,
    write_key,
)
from reports.charts.style import Panel, titled_figure
from reports.number_format import join_phrases

_ROW_IN = 0.42


def conditions_finding(figures: CapacityFigures) -> str:
    """How far what recovers lies above what bears, under the main load."""
    bears, recovers = (main_demand(one).found_passes for one in figures.conditions)
    faults = join_phrases(figures.conditions[1].faults)
    if bears is None:
        return f"Nothing that was tried up to {amount(figures, figures.vary.strongest)} bears the load, even without {faults}"
    subject = amount(figures, bears)
    begins = f"{subject if '=' in subject else subject.capitalize()} {_verb(figures, bears)} the load"
    if recovers is None:
        return f"{begins}; nothing that was tried recovers from {faults}"
    if recovers == bears:
        return f"{begins}, also with {faults}"
    takes = spell(figures, recovers)
    return f"{begins}; with {faults} it takes {takes}: what lies between stays down after the fault"


def _verb(figures: CapacityFigures, value: str) -> str:
    return "bear" if figures.vary.key == "server.workers" and value != "1" else "bears"


def draw_conditions(figures: CapacityFigures) -> Figure:
    """One row per load: the mark of what bears, that of what recovers, and between them what stays down."""
    loads = [one.load for one in figures.conditions[0].loads]
    panel = Panel(
        "by load; bar: bears it, but stays down after the faults; triangle: more than the range has",
        max(1.0, _ROW_IN * len(loads) + 0.3),
    )
    drawn = titled_figure(conditions_finding(figures), [panel], above_in=KEY_IN)
    axes = drawn.panels[0]
    for row, load in enumerate(loads):
        _draw_row(axes, figures, load, row)
    axes.set_ylim(len(loads) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_yticks(range(len(loads)), [f"{load:g}x" for load in loads])
    if figures.vary.step.isdigit():
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axes.set_xlabel(f"{figures.vary.key} that suffices", loc="left")
    write_key(axes, condition_key(figures))
    return drawn.figure


def _draw_row(axes: Axes, figures: CapacityFigures, load: float, row: int) -> None:
    strongest = level_number(figures.vary.strongest, figures) or 0.0
    at: list[float] = []
    for condition in figures.conditions:
        demand = next(one for one in condition.loads if one.load == load)
        found = level_number(demand.found_passes, figures)
        mark = MARKERS[condition.name] if found is not None else ">"
        at.append(strongest if found is None else found)
        axes.plot(
            at[-1:], [row], mark, color=COLOURS[condition.name], markersize=8, clip_on=False, zorder=3,
            gid=f"{condition.name} {load:g}x",
        )  # fmt: skip
    axes.plot(
        at, [row, row], color=palette.BAD, linewidth=6, alpha=0.25, solid_capstyle="butt", gid=f"between {load:g}x"
    )


CONDITIONS = CapacityChart(
    "conditions", "Does what bears the load also recover?", conditions_finding, draw_conditions,
    lambda figures: len(figures.conditions) > 1,
)  # fmt: skip
