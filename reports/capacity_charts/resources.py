"""What binds at each level of a capacity search: the share of each resource that the plan needs, by arithmetic."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from harness.analysis.capacity import CapacityFigures, CapacityLevel
from reports import palette
from reports.capacity import amount, main_demand
from reports.capacity_charts.axes import KEY_IN, CapacityChart, label_levels, write_key
from reports.charts.style import Panel, titled_figure
from reports.number_format import format_ratio

_COLOURS = {"workers": palette.BLUE, "ingress": palette.ORANGE, "connections": palette.PURPLE, "commits": palette.GREEN}
_MARKS = {"workers": "o", "ingress": "s", "connections": "D", "commits": "v"}
_MARKS_TEXT = {
    "workers": "\N{BLACK CIRCLE}",
    "ingress": "\N{BLACK SQUARE}",
    "connections": "\N{BLACK DIAMOND}",
    "commits": "\N{BLACK DOWN-POINTING TRIANGLE}",
}


def _levels(figures: CapacityFigures) -> list[CapacityLevel]:
    """The levels of the condition with the faults: they take capacity away, which the arithmetic counts."""
    return main_demand(figures.conditions[-1]).levels


def binds_finding(figures: CapacityFigures) -> str:
    """What binds at the least level that suffices, and how much of it is used."""
    demand = main_demand(figures.conditions[-1])
    level = next((one for one in demand.levels if one.value == demand.found_passes), None)
    if level is None:
        level = max(demand.levels, key=lambda one: min(one.used.values(), default=0.0), default=None)
    if level is None or level.binds is None:
        return "The scenario limits no resource that arithmetic knows"
    used = format_ratio(level.used_ratio or 0.0)
    most = "" if len(level.used) == 1 else ", more than of any other resource"
    return f"With {amount(figures, level.value)} the plan alone needs {used} of the {level.binds}{most}"


def draw_binds(figures: CapacityFigures) -> Figure:
    """One line per resource over the levels; above 100 % no server of that level can meet the deadline."""
    drawn = titled_figure(
        binds_finding(figures),
        [Panel("share that the plan needs at least; above the dotted line no server of that level is in time", 2.2)],
        above_in=KEY_IN,
    )
    axes, levels = drawn.panels[0], _levels(figures)
    resources = [name for name in _COLOURS if any(name in level.used for level in levels)]
    for name in resources:
        places = [place for place, level in enumerate(levels) if name in level.used]
        shares = [levels[place].used[name] for place in places]
        axes.plot(
            places,
            shares,
            color=_COLOURS[name],
            marker=_MARKS[name],
            markersize=5,
            linewidth=1.6,
            gid=name,
            clip_on=False,
        )
    axes.axhline(1.0, color=palette.INK, linewidth=1, linestyle=(0, (1, 2)), gid="all of it")
    axes.set_ylim(0, max(1.1, 1.05 * max((share for level in levels for share in level.used.values()), default=1.0)))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
    label_levels(axes, figures, [level.value for level in levels])
    write_key(axes, [(f"{_MARKS_TEXT[name]} {name}", _COLOURS[name]) for name in resources])
    return drawn.figure


BINDS = CapacityChart(
    "binds", "What binds at each level?", binds_finding, draw_binds,
    lambda figures: any(level.used for level in _levels(figures)),
)  # fmt: skip
