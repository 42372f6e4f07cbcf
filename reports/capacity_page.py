"""The page of a capacity search: the sentence that answers it, its charts, and every level with its evidence."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from harness.analysis.capacity import CapacityCondition, CapacityFigures
from reports.capacity import (
    DEMAND_HEADERS,
    LEVEL_HEADERS,
    capacity_badge,
    capacity_finding,
    condition_title,
    demand_rows,
    format_level,
    goal_text,
    is_measured,
    level_rows,
    main_demand,
)
from reports.capacity_charts import CAPACITY_CHARTS
from reports.number_format import format_ratio
from reports.simulation_page import PageChart, SimulationPage, SimulationTable, render_page_with_charts


def render_capacity(folder: Path, figures: CapacityFigures) -> Path:
    """Write report/index.html and the charts as SVG and PNG into the folder; the page's path."""
    vary = figures.vary
    heading = f"Capacity search: {figures.name}, {vary.key} = {vary.weakest} to {vary.strongest}"
    tables = [table for condition in figures.conditions for table in _tables(figures, condition)]
    page = SimulationPage(heading, capacity_finding(figures), _note(figures), tables, capacity_badge(figures))
    charts = [
        PageChart(chart.name, chart.question, chart.finding(figures), partial(chart.draw, figures))
        for chart in CAPACITY_CHARTS
        if chart.applies(figures)
    ]
    return render_page_with_charts(folder, page, charts)


def _note(figures: CapacityFigures) -> str:
    """How the answer was found, and what it does not say."""
    least = main_demand(figures.conditions[0]).least_by_arithmetic
    bound = (
        ""
        if least is None
        else f" By arithmetic no less than {format_level(figures, least)} can complete every station."
    )
    measured = (
        "The level that passes and the one below it were then run for real, with other seeds."
        if is_measured(figures)
        else "Nothing was measured: it is a model of a server, not yours."
    )
    return (
        f"Every level was played in virtual time with the same seeds, from {figures.first_seed} on, until they decided: it passes if the "
        f"goal is met in at least {format_ratio(figures.probability)} of runs, and fails if not, each with "
        f"{format_ratio(figures.confidence)} confidence.{bound} {measured}"
    )


def _tables(figures: CapacityFigures, condition: CapacityCondition) -> list[SimulationTable]:
    title, goal = condition_title(condition), f"Goal: {goal_text(condition)}."
    headers = (figures.vary.key, *LEVEL_HEADERS[1:])
    levels = [
        SimulationTable(
            f"{condition.name}-{number}",
            title if len(condition.loads) == 1 else f"{title}, {demand.load:g}x",
            headers,
            level_rows(demand),
            goal,
        )
        for number, demand in enumerate(condition.loads)
    ]
    if len(condition.loads) == 1:
        return levels
    return [
        SimulationTable(condition.name, title, DEMAND_HEADERS, demand_rows(figures, condition)),
        *levels,
    ]
