"""A page about simulations: a finding, completion curves and tables; and the chart of curves that such pages share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from harness.analysis.chart_types import ChartLine
from harness.analysis.run_figures import FIGURES
from reports import palette, svg
from reports.charts.labels import EndLabel, draw_end_labels, end_label
from reports.charts.style import Panel, draw_line, titled_figure
from reports.drawing import drawing_into
from reports.html import chart_script, stylesheet, template_environment
from reports.key_figures import SIMULATED
from reports.number_format import format_quantity, format_ratio

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

NEVER = "never"
"""Stands for a value that never came."""
CHART_NAME, CHART_QUESTION = "completion", "When are the stations complete?"


@dataclass(frozen=True, slots=True)
class SimulationTable:
    """A table of the page; the first cell of a row is its heading."""

    anchor: str
    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class SimulationPage:
    """What a page says besides its chart."""

    heading: str
    finding: str
    note: str
    tables: Sequence[SimulationTable]
    badge: str = SIMULATED
    """The word above the finding."""


@dataclass(frozen=True, slots=True)
class CurveBand:
    """A share over time: its middle, and a band around it where there is one. Shapes (n,)."""

    label: str
    t_s: FloatArray
    middle: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None
    colour: str = palette.GOODPUT
    dashed: bool = False


def format_figure(key: str, value: float | None) -> str:
    """A value of `FIGURES` with its unit; "never" for None."""
    return NEVER if value is None else format_quantity(value, FIGURES[key].unit)


def draw_bands(finding: str, bands: Sequence[CurveBand], deadline_s: float) -> Figure:
    """The chart of curves: each with its band, named at its end with the share that it reaches by the deadline."""
    drawn = titled_figure(finding, [Panel("stations complete", 3.0)])
    axes = drawn.panels[0]
    labels: list[EndLabel | None] = []
    for band in bands:
        if band.low is not None and band.high is not None:
            axes.fill_between(band.t_s, band.low, band.high, color=band.colour, alpha=0.2, linewidth=0, gid="band")
        line = ChartLine(band.label, band.t_s, band.middle)
        draw_line(axes, line, band.colour, width=2.2, dashed=band.dashed)
        reached = float(np.interp(deadline_s, band.t_s, band.middle))
        labels.append(end_label(line, f"{band.label} {format_ratio(reached)}", band.colour, bold=True))
    axes.set_xlim(0, max(float(band.t_s[-1]) for band in bands))
    axes.axvline(deadline_s, color=palette.INK, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_xlabel("seconds since the start; dotted: the deadline", loc="left")
    draw_end_labels(axes, labels)
    return drawn.figure


class PageChart(NamedTuple):
    """A chart of the page: the name of its files, the question it answers, its answer, and how it is drawn."""

    name: str
    question: str
    finding: str
    draw: Callable[[], Figure]


def render_simulation_page(folder: Path, page: SimulationPage, draw: Callable[[], Figure]) -> Path:
    """Write report/index.html with the chart of curves, also as SVG and PNG, into the folder; the page's path."""
    return render_page_with_charts(folder, page, [PageChart(CHART_NAME, CHART_QUESTION, page.finding, draw)])


def render_page_with_charts(folder: Path, page: SimulationPage, charts: Sequence[PageChart]) -> Path:
    """Write report/index.html and its charts as SVG and PNG into the folder; the page's path."""
    into = folder / "report"
    into.mkdir(parents=True, exist_ok=True)
    pictures = []
    with drawing_into(into) as draw_chart:
        for chart in charts:
            drawings = draw_chart(chart.name, chart.draw)
            embedded = svg.embed_drawings(chart.name, chart.finding, drawings.wide, drawings.narrow, drawings.values)
            pictures.append({"name": chart.name, "question": chart.question, "svg": embedded})
    environment = template_environment()
    path = into / "index.html"
    path.write_text(
        environment.get_template("simulation.html.j2").render(
            heading=page.heading,
            finding=page.finding,
            note=page.note,
            badge=page.badge,
            tables=page.tables,
            charts=pictures,
            css=stylesheet(environment),
            script=chart_script(environment),
        ),
        encoding="utf-8",
    )
    return path
