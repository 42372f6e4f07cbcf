"""The chart of CPU per upload: a bar per tool at the median, with the range over the rounds."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from benchmarks.peers.cost import COST_CASES, CostCase, CostSummary, summarise_costs
from benchmarks.peers.results import Results
from reports import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH_IN, _BAR_IN, _HEADING_IN, _FOOT_IN, _TITLE_IN = 9.0, 0.34, 0.62, 0.25, 0.3
_NAME_LETTERS = 13
"""Characters of a tool's name that fit beside its bar."""


def draw(results: Results) -> Figure:
    """One panel per case that all tools take part in. Draw it within `rc_context(palette.STYLE)`."""
    lines = summarise_costs(results.cost)
    # the saturation case has only ours and the floor: there is nothing to compare
    panels = [(case, of_case) for case in COST_CASES if (of_case := _of(case, lines))]
    heights = [_BAR_IN * len(of_case) for _, of_case in panels]
    height = _TITLE_IN + _FOOT_IN + sum(heights) + _HEADING_IN * len(panels)
    figure = Figure(figsize=(_WIDTH_IN, height))
    figure.text(0.12 / _WIDTH_IN, 1 - 0.1 / height, _finding(lines), va="top", weight="bold", size=11)
    top = height - _TITLE_IN
    for (case, of_case), panel_in in zip(panels, heights, strict=True):
        top -= _HEADING_IN
        axes = figure.add_axes((1.2 / _WIDTH_IN, (top - panel_in + 0.15) / height, 5.4 / _WIDTH_IN, panel_in / height))
        _panel(axes, case, of_case)
        top -= panel_in
    return figure


def _of(case: CostCase, lines: Sequence[CostSummary]) -> list[CostSummary]:
    return [] if case.ours_only else [line for line in lines if line.case == case.name]


def _finding(lines: Sequence[CostSummary]) -> str:
    k6 = [line for line in lines if line.tool == "k6" and line.ratio is not None]
    titles = {case.name: case.title for case in COST_CASES}
    ratios = [f"{line.ratio.median:.2f} of k6's ({titles[line.case]})" for line in k6 if line.ratio is not None]
    return "Our CPU per upload: " + ", ".join(ratios) if ratios else "CPU per upload"


def _panel(axes: Axes, case: CostCase, lines: Sequence[CostSummary]) -> None:
    places = list(range(len(lines)))[::-1]
    medians = [line.cpu_us.median for line in lines]
    colours = [palette.BLUE if line.tool == "ours" else palette.GREY for line in lines]
    axes.barh(places, medians, height=0.62, color=colours)
    # a single round has no range
    if lines[0].cpu_us.rounds > 1:
        _whiskers(axes, places, lines)
    for place, line in zip(places, lines, strict=True):
        text = f"{line.cpu_us.median:,.0f} µs"
        text += "" if line.ratio is None else f" · ours ÷ this: {line.ratio.median:.2f}"
        text += f" · {line.peak_mb.median:,.0f} MB"
        weight = "bold" if line.tool == "ours" else "normal"
        beyond = (line.cpu_us.greatest, place)
        axes.annotate(text, beyond, (7, 0), textcoords="offset points", va="center", size=9, weight=weight)
    names = [textwrap.fill(line.tool, _NAME_LETTERS) + _pace(case, line) for line in lines]
    axes.set_yticks(places, names, color=palette.INK)
    axes.set_xlim(0, max(line.cpu_us.greatest for line in lines))
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.set_title(f"CPU per upload, µs: {case.title}", loc="left", size=9.5, color=palette.INK)


def _whiskers(axes: Axes, places: Sequence[int], lines: Sequence[CostSummary]) -> None:
    medians = [line.cpu_us.median for line in lines]
    below = [line.cpu_us.median - line.cpu_us.least for line in lines]
    above = [line.cpu_us.greatest - line.cpu_us.median for line in lines]
    axes.errorbar(medians, places, xerr=[below, above], fmt="none", ecolor=palette.INK, elinewidth=1.2, capsize=3)


def _pace(case: CostCase, line: CostSummary) -> str:
    """The rate of a tool that cannot keep one: its cost is that of a far higher load."""
    far = case.rate_per_s is not None and line.per_s.median > 1.2 * case.rate_per_s
    return f"\n({line.per_s.median:,.0f}/s)" if far else ""
