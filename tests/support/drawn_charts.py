"""Charts of the made-up run, and what can be read back from a figure."""

from __future__ import annotations

from functools import cache

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from harness.analysis.chart_types import ChartData
from harness.analysis.summary import Summary
from reports import palette, svg
from reports.charts import CHARTS
from reports.charts.layout import NARROW
from tests.support import made_up_run

BY_NAME = {chart.name: chart for chart in CHARTS}


@cache
def usual(name: str) -> Figure:
    """The chart of the made-up run, drawn once for all tests that only read it."""
    with rc_context(palette.STYLE):
        return BY_NAME[name].draw(made_up_run.series(), made_up_run.summary())


def draw(name: str, series: ChartData | None = None, summary: Summary | None = None) -> Figure:
    if series is None and summary is None:
        return usual(name)
    with rc_context(palette.STYLE):
        return BY_NAME[name].draw(series or made_up_run.series(), summary or made_up_run.summary())


def lines(figure: Figure) -> dict[str, list[tuple[np.ndarray, np.ndarray, str]]]:
    """Every named line that a figure draws: times, values, colour."""
    found: dict[str, list[tuple[np.ndarray, np.ndarray, str]]] = {}
    for axes in figure.axes:
        for line in axes.lines:
            if line.get_gid():
                x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
                found.setdefault(str(line.get_gid()), []).append((x, y, to_hex(line.get_color())))
    return found


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@cache
def once_saved(name: str) -> str:
    """The chart of the made-up run as an SVG file, drawn once for all tests that only read it."""
    return saved(name)


def saved(name: str) -> str:
    """The chart of the made-up run as an SVG file, drawn anew."""
    with rc_context(palette.STYLE):
        return svg.to_svg(BY_NAME[name].draw(made_up_run.series(), made_up_run.summary()))


@cache
def narrow(name: str) -> Figure:
    """The chart of the made-up run as phones and print show it."""
    with rc_context(NARROW.style):
        return BY_NAME[name].draw(made_up_run.series(), made_up_run.summary())


def shown_texts(figure: Figure) -> list[Text]:
    """Every text that is drawn: not those of ticks beyond an axis."""
    figure.draw_without_rendering()
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            hidden |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    found = [text for text in figure.findobj(Text) if isinstance(text, Text) and text not in hidden]
    return [text for text in found if text.get_text() and text.get_visible()]
