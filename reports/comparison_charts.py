"""Two runs' charts side by side, on the same axes: completion, throughput and responses of base and run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from markupsafe import Markup
from matplotlib import rc_context

from harness.analysis.chart_types import ChartData
from harness.analysis.summary import Summary
from reports import svg
from reports.charts import completion, responses, throughput
from reports.charts.layout import BACK, NARROW

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE_CHARTS = (completion.CHART, throughput.CHART, responses.CHART)


@dataclass(frozen=True, slots=True)
class ComparedSide:
    """One side of a comparison: its first run, as the charts need it."""

    name: str
    """"base" or "run"."""
    summary: Summary
    chart_data: ChartData
    runs: int = 1
    """How many runs the side has; the first is drawn."""

    @property
    def caption(self) -> str:
        """Which run is drawn."""
        which = f", the first of {self.runs}" if self.runs > 1 else ""
        return f"{self.name.capitalize()}: {self.summary.run}{which}"


@dataclass(frozen=True, slots=True)
class PairedDrawings:
    """A chart of both sides, each as an element of the page with its caption."""

    name: str
    question: str
    drawings: list[tuple[str, Markup]]


def draw_sides(sides: Sequence[ComparedSide]) -> list[PairedDrawings]:
    """Each of `SIDE_CHARTS` for every side, over the same time and on the same scales."""
    end_s = max((side.chart_data.end_s for side in sides), default=0.0)
    same_time = [replace(side.chart_data, end_s=end_s) for side in sides]
    found = []
    for chart in SIDE_CHARTS:
        with rc_context(NARROW.style):
            figures = [chart.draw(data, side.summary) for data, side in zip(same_time, sides, strict=True)]
            align_scales(figures)
            texts = [svg.to_svg(figure) for figure in figures]
        drawings = []
        for side, text in zip(sides, texts, strict=True):
            finding = f"{side.caption}. {chart.finding(side.chart_data, side.summary)}"
            inline = svg.inline_svg(text, f"{chart.name}-{side.name}", finding)
            drawings.append((side.caption, Markup(inline)))  # noqa: S704 - matplotlib escapes its texts
        found.append(PairedDrawings(chart.name, chart.question, drawings))
    return found


def align_scales(figures: Sequence[Figure]) -> None:
    """Give the panels at the same place in each figure the same axes; figures of different panels are left as they are."""
    if len({len(figure.axes) for figure in figures}) > 1:
        return
    for panels in zip(*(figure.axes for figure in figures), strict=True):
        if len({panel.get_yscale() for panel in panels}) > 1:
            continue
        lows, highs = zip(*(panel.get_xlim() for panel in panels), strict=True)
        for panel in panels:
            panel.set_xlim(min(lows), max(highs))
        # the y axis behind the panels counts inches
        if panels[0].get_gid() != BACK:
            lows, highs = zip(*(panel.get_ylim() for panel in panels), strict=True)
            for panel in panels:
                panel.set_ylim(min(lows), max(highs))
