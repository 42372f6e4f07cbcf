"""Small multiples: the same little chart for each of several lines, where together they would be a tangle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.chart_types import ChartData, ChartLine
from reports import palette
from reports.charts.style import LEFT_IN, WIDTH_IN, ChartFigure, draw_line

ACROSS, HIGH_IN, NAME_IN, ASIDE_IN, HEAD_IN, FOOT_IN = 4, 0.72, 0.24, 0.22, 0.3, 0.12


@dataclass(frozen=True, slots=True)
class SmallMultiple:
    """One of them: its line, what stands above it, its colour."""

    line: ChartLine
    name: str
    colour: str


def multiples_height_in(count: int) -> float:
    """Inches that so many take at the foot of a chart."""
    return HEAD_IN + -(-count // ACROSS) * (HIGH_IN + NAME_IN) + FOOT_IN


def draw_multiples(
    drawn: ChartFigure, series: ChartData, multiples: Sequence[SmallMultiple], beside: ChartLine, heading: str
) -> None:
    """Draw shares at the foot of a chart over its elapsed time, each beside one and the same line; four in a row."""
    height = drawn.figure.get_figheight()
    wide = (WIDTH_IN - LEFT_IN - 0.3 - (ACROSS - 1) * ASIDE_IN) / ACROSS
    top = multiples_height_in(len(multiples)) - HEAD_IN
    drawn.figure.text(LEFT_IN / WIDTH_IN, (top + 0.08) / height, heading, color=palette.INK, size=9.5, va="bottom")
    end_s = max(series.end_s, series.deadline_s, 1e-9)
    for number, one in enumerate(multiples):
        row, column = divmod(number, ACROSS)
        low = top - (row + 1) * (HIGH_IN + NAME_IN)
        left = LEFT_IN + column * (wide + ASIDE_IN)
        axes = drawn.figure.add_axes((left / WIDTH_IN, low / height, wide / WIDTH_IN, HIGH_IN / height))
        for window in series.windows:
            axes.axvspan(window.start_s, min(window.end_s, end_s), color=palette.SHADE, linewidth=0)
        axes.axvline(series.deadline_s, color=palette.INK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.plot(beside.t_s, beside.value, color=palette.GOODPUT, linewidth=0.8)
        draw_line(axes, one.line, one.colour, width=1.8)
        axes.set_xlim(0, end_s)
        axes.set_ylim(0, 1.04)
        axes.set_xticks([])
        axes.set_yticks([0.5, 1.0], labels=[])
        axes.annotate(one.name, (0, 1), (0, 4), "axes fraction", "offset points", color=one.colour, size=8.5)
