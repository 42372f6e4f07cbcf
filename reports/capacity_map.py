"""A map as text and as a chart: where a scenario recovers from its faults, where it stays down, where it is overloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from harness.analysis.capacity_map import MapAxis, MapCell, MapFigures, boundary_pairs
from reports import palette
from reports.charts.layout import current_layout
from reports.charts.style import Panel, titled_figure
from reports.key_figures import SIMULATED
from reports.markdown import escape_markdown, markdown_table
from reports.number_format import format_ratio, join_phrases, plural
from reports.simulation_page import PageChart, SimulationPage, SimulationTable, render_page_with_charts

STATES = {
    "recovers": "recovers",
    "stays_down": "stays down",
    "overloaded": "is overloaded",
    "unknown": "was not played",
}
COLOURS = {
    "recovers": palette.BLUE,
    "stays_down": palette.VERMILION,
    "overloaded": palette.RULE,
    "unknown": palette.PAPER,
}
_TEXT = {"recovers": palette.PAPER, "stays_down": palette.PAPER, "overloaded": palette.INK, "unknown": palette.MUTED}
_SHORT = {"recovers": "", "stays_down": "down", "overloaded": "over", "unknown": "?"}
_ROW_IN = 0.3
_NAMES_IN = {False: 1.55, True: 1.3}
"""Room for the names of the rows, in a wide and in a narrow chart."""


def map_badge(figures: MapFigures) -> str:
    """The result in capitals."""
    label = "MAP" if figures.exit_code == 0 else "NOBODY CAN TELL"
    return label if figures.confirmed else f"{SIMULATED} {label}"


def map_finding(figures: MapFigures) -> str:
    """What recovers and what does not, in one to three sentences, the last one without a full stop."""
    counts = {state: sum(cell.state == state for cell in figures.cells) for state in STATES}
    first = figures.axes[0]
    always = [value for value in first.values if _recovers_wherever_borne(figures, value)]
    sentences = [
        (
            f"Of {len(figures.cells)} combinations {counts['recovers']} recover from {join_phrases(figures.faults)}, "
            f"{counts['stays_down']} bear the load but stay down, and {counts['overloaded']} do not even bear the load"
        )
    ]
    if counts["unknown"]:
        sentences[0] += f"; {counts['unknown']} are unknown"
    if always and counts["stays_down"]:
        sentences.append(f"Wherever the load is borne, it recovers with {first.key} = {join_phrases(always)}")
    if figures.confirmed:
        agree = sum(cell.agrees is True for cell in figures.confirmed)
        sentences.append(
            f"{agree} of {plural(len(figures.confirmed), 'measured point')} at the boundary came out as simulated"
        )
    if figures.why_unknown:
        sentences.append(f"Nobody can tell: {figures.why_unknown}")
    return ". ".join(sentences)


def _recovers_wherever_borne(figures: MapFigures, value: str) -> bool:
    states = [cell.state for cell in figures.cells if cell.at[0] == value]
    return "recovers" in states and not {"stays_down", "unknown"} & set(states)


def map_rows(figures: MapFigures) -> list[list[str]]:
    """One row per cell."""
    return [
        [
            *cell.at,
            STATES[cell.state],
            f"{cell.bears_met} of {cell.bears_seeds}",
            f"{cell.recovers_met} of {cell.recovers_seeds}" if cell.recovers_seeds else "",
            "" if cell.completed_ratio is None else format_ratio(cell.completed_ratio),
            _measured(cell),
        ]
        for cell in figures.cells
    ]


def map_headers(figures: MapFigures) -> list[str]:
    """The headers of `map_rows`."""
    return [
        *(axis.key for axis in figures.axes),
        "",
        "goal met without faults",
        "with them",
        "stations complete",
        "measured",
    ]


def _measured(cell: MapCell) -> str:
    if cell.agrees is None:
        return "INVALID" if cell.measured else ""
    met = next(run.met for run in cell.measured if run.met is not None)
    return f"goal {'met' if met else 'not met'}: {'as' if cell.agrees else 'not as'} simulated"


def map_markdown(figures: MapFigures) -> str:
    """The text of summary.md."""
    rows = [[escape_markdown(text) for text in row] for row in map_rows(figures)]
    lines = [
        f"# {map_badge(figures)}: {escape_markdown(figures.title or figures.name)}", "",
        f"{escape_markdown(map_finding(figures))}.", "", f"Goal: {escape_markdown(_goal_text(figures))}.", "",
        *markdown_table(map_headers(figures), rows),
    ]  # fmt: skip
    return "\n".join(lines)


def _goal_text(figures: MapFigures) -> str:
    goal = join_phrases([*figures.goal, "no acknowledged page is lost"])
    return goal if not figures.left_out else f"{goal}; without the faults without {join_phrases(figures.left_out)}"


def render_map(folder: Path, figures: MapFigures, column: int) -> Path:
    """Write report/index.html and the chart as SVG and PNG into the folder; the page's path. `column` runs to the right."""
    keys = ", ".join(axis.key for axis in figures.axes)
    table = SimulationTable(
        "cells", "Every combination", map_headers(figures), map_rows(figures), f"Goal: {_goal_text(figures)}."
    )
    page = SimulationPage(
        f"Map of {figures.name}: {keys}", map_finding(figures), _note(figures), [table], map_badge(figures)
    )
    question = "Where does it recover, and where does it stay down?"
    chart = PageChart("map", question, map_finding(figures), lambda: draw_map(figures, column))
    return render_page_with_charts(folder, page, [chart])


def _note(figures: MapFigures) -> str:
    measured = (
        "A few points on both sides of the boundary were then run for real, with other seeds."
        if figures.confirmed
        else "Nothing was measured: it is a model of a server, not yours."
    )
    return (
        f"Every combination was played in virtual time without the faults and with them, with seeds from {figures.first_seed} on, until most "
        f"of up to five agreed. It recovers if the goal is met with the faults, stays down if it is met only without them. {measured}"
    )


def draw_map(figures: MapFigures, column: int) -> Figure:
    """A grid of cells in the colour of their state, with the share of stations that are complete; diamonds: measured runs."""
    across = figures.axes[column]
    rows, panels = _rows_and_panels(figures.axes, column)
    names = [f"{panels.key} = {value}" for value in panels.values] if panels else [""]
    title = _title(figures, column)
    height = max(_ROW_IN * len(rows.values), 0.6)
    headings = [f"{name}; {rows.key}" if name else rows.key for name in names]
    drawn = titled_figure(title, [Panel(heading, height) for heading in headings], above_in=0.22)
    for number, axes in enumerate(drawn.panels):
        _make_room_for_names(axes)
        chosen = panels.values[number] if panels else None
        cells = [cell for cell in figures.cells if panels is None or cell.at[figures.axes.index(panels)] == chosen]
        for cell in cells:
            place = across.values.index(cell.at[column]), rows.values.index(cell.at[figures.axes.index(rows)])
            _draw_cell(axes, cell, *place)
        axes.set_xlim(-0.5, len(across.values) - 0.5)
        axes.set_ylim(len(rows.values) - 0.5, -0.5)
        axes.set_yticks(range(len(rows.values)), rows.values)
        is_last = axes is drawn.panels[-1]
        axes.set_xticks(range(len(across.values)), across.values if is_last else [""] * len(across.values))
        axes.tick_params(length=0)
        axes.grid(visible=False)
    drawn.panels[-1].set_xlabel(f"{across.key}; number: % of the stations complete", loc="left")
    _write_states(drawn.panels[0])
    return drawn.figure


def _rows_and_panels(axes: Sequence[MapAxis], column: int) -> tuple[MapAxis, MapAxis | None]:
    """The axis that runs down, and the one of which each value has a panel: the first one, if there are three."""
    others = [axis for number, axis in enumerate(axes) if number != column]
    return (others[0], None) if len(others) == 1 else (others[1], others[0])


def _title(figures: MapFigures, column: int) -> str:
    down = sum(cell.state == "stays_down" for cell in figures.cells)
    if not down:
        return f"Whatever bears the load also recovers from {join_phrases(figures.faults)}"
    crossed = len(list(boundary_pairs(figures.cells, figures.axes, column)))
    return (
        f"{plural(down, 'combination')} of {len(figures.cells)} bear the load, but stay down after {join_phrases(figures.faults)}; "
        f"the boundary is crossed {plural(crossed, 'time')}"
    )


def _make_room_for_names(axes: Axes) -> None:
    layout, box = current_layout(), axes.get_position()
    left = _NAMES_IN[layout.narrow] / layout.width_in
    axes.set_position((left, box.y0, box.x1 - left, box.height))


def _draw_cell(axes: Axes, cell: MapCell, x: int, y: int) -> None:
    colour, narrow = COLOURS[cell.state], current_layout().narrow
    axes.add_patch(
        Rectangle(
            (x - 0.48, y - 0.45),
            0.96,
            0.9,
            facecolor=colour,
            edgecolor=palette.RULE,
            linewidth=0.4,
            gid=" ".join(cell.at),
        )
    )
    if cell.completed_ratio is not None:
        shares = f"{100 * cell.completed_ratio:.0f}"
        text = shares if narrow or not _SHORT[cell.state] else f"{shares} {_SHORT[cell.state]}"
        axes.text(x, y, text, ha="center", va="center", size=7 if narrow else 8, color=_TEXT[cell.state])
    if cell.agrees is not None:
        met = cell.agrees == (cell.state == "recovers")
        fill = COLOURS["recovers" if met else "stays_down"]
        axes.plot(
            [x + 0.36], [y], "D", color=palette.PAPER, markerfacecolor=fill, markeredgewidth=1.6, markersize=6,
            gid=f"measured {' '.join(cell.at)}",
        )  # fmt: skip


def _write_states(axes: Axes) -> None:
    """The key of the colours, above the first panel."""
    x_pt = -60.0 if current_layout().narrow else 0.0  # beside the names of the rows there is no room for four entries
    for state, text in (("recovers", "recovers"), ("stays_down", "stays down"), ("overloaded", "overloaded")):
        mark = palette.MUTED if state == "overloaded" else COLOURS[state]
        axes.annotate(
            f"\N{BLACK SQUARE} {text}",
            (0, 1),
            (x_pt, 20),
            xycoords="axes fraction",
            textcoords="offset points",
            color=mark,
            size=8.5,
        )
        x_pt += 5.2 * (len(text) + 2) + 10
    axes.annotate(
        "\N{BLACK DIAMOND} measured",
        (0, 1),
        (x_pt, 20),
        xycoords="axes fraction",
        textcoords="offset points",
        color=palette.INK,
        size=8.5,
    )
