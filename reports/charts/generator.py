"""Generator: its lateness, CPU, memory and requests in flight. If it was overloaded, no other chart can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from harness.analysis.chart_types import ChartData, ChartLine
from harness.analysis.summary import Summary
from reports import number_format, palette
from reports.charts.labels import EndLabel, draw_end_labels, end_label
from reports.charts.style import Chart, Panel, downsample_means, draw_line, empty_chart, time_figure, write_placeholder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"p50": palette.SKY, "p99": palette.BLUE, "max": palette.VERMILION}
WORKERS = (palette.BLUE, palette.GREEN, palette.ORANGE, palette.PURPLE, palette.BROWN, palette.OLIVE)
FLOOR_S = 1e-5
"""Smaller lateness (an attempt may be 0 s late) is drawn at 10 µs: a logarithmic axis has no zero."""


def finding(summary: Summary) -> str:
    """How late attempts left, and how near the generator came to the limit of one core."""
    late, own = summary.lateness_seconds, summary.generator
    parts = []
    # a lost worker comes first: without its stations every other figure is about less load than planned
    if own.workers_lost:
        parts.append(
            f"{number_format.plural(own.workers_lost, 'worker')} of the generator {'was' if own.workers_lost == 1 else 'were'} lost"
        )
    if late.p99 is not None:
        parts.append(
            f"99 % of attempts were sent within {number_format.format_duration(max(late.p99, 0.0))} of their due time"
        )
    # too few attempts for a p99: then the maximum is a statement about all of them
    elif late.max is not None:
        parts.append(
            f"every attempt was sent within {number_format.format_duration(max(late.max, 0.0))} of its due time"
        )
    if own.cpu_max_ratio is not None:
        who = "the busiest worker" if own.workers > 1 else "the generator"
        parts.append(f"{who} used at most {number_format.format_ratio(own.cpu_max_ratio)} of a core")
    sentence = "; ".join(parts) or "the health of the generator is not known"
    return sentence[0].upper() + sentence[1:]


def draw(chart_data: ChartData, summary: Summary) -> Figure:
    """Lateness on a logarithmic scale, CPU with its limit, memory, requests in flight."""
    sentence, health = finding(summary), chart_data.generator
    cpu = [line for line in health.cpu if np.isfinite(line.value).any()]
    late = [line for line in health.lateness if np.isfinite(line.value).any()]
    in_flight = bool(np.isfinite(health.in_flight.value).any())
    if not cpu and not late and not in_flight:
        return empty_chart(chart_data, sentence, "no attempts and no scrapes of the generator")
    drawn = time_figure(
        chart_data,
        sentence,
        [
            Panel("lateness: from due to sent", 1.5),
            Panel("CPU, share of one core", 1.1),
            Panel("memory", 0.8),
            Panel("requests in flight", 0.8),
        ],
    )
    _lateness(drawn.panels[0], late)
    _cpu(drawn.panels[1], cpu)
    _amount(drawn.panels[2], health.memory, number_format.format_bytes)
    _amount(drawn.panels[3], [health.in_flight], number_format.format_count)
    return drawn.figure


def _amount(axes: Axes, lines: list[ChartLine], show: Callable[[float], str]) -> None:
    """Draw lines from zero, each labelled with its peak."""
    lines = [line for line in lines if np.isfinite(line.value).any()]
    if not lines:
        write_placeholder(axes, "no scrapes of the generator")
        return
    labels = []
    for number, line in enumerate(lines):
        colour = WORKERS[number % len(WORKERS)]
        draw_line(axes, downsample_means(line), colour, width=1.5)
        labels.append(_peak_label(line, line.label if len(lines) > 1 else "", show, colour))
    axes.set_ylim(0, max(1.0, max(label.value for label in labels) * 1.08))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: show(value)))
    # with more workers than colours, labels could not be matched to lines
    draw_end_labels(axes, labels if len(lines) <= len(WORKERS) else [], beside=True)


def _peak_label(line: ChartLine, name: str, show: Callable[[float], str], colour: str) -> EndLabel:
    """A label of a line's peak, which points there and not to the line's end: that has another value."""
    at = int(np.nanargmax(line.value))
    peak = float(line.value[at])
    return EndLabel(float(line.t_s[at]), peak, f"{name}, peak {show(peak)}" if name else f"peak {show(peak)}", colour)


def _lateness(axes: Axes, lines: list[ChartLine]) -> None:
    if not lines:
        write_placeholder(axes, "no attempt was sent")
        return
    # an attempt that left early by clock resolution has a lateness of 0 or below
    drawn = [ChartLine(line.label, line.t_s, np.maximum(line.value, FLOOR_S)) for line in lines]
    for line in drawn:
        draw_line(axes, line, COLOURS.get(line.label, palette.GREY), width=1.5)
    top = max(float(np.nanmax(line.value)) for line in drawn)
    low = min(float(np.nanmin(line.value)) for line in drawn)
    axes.set_yscale("log")
    # at least 100 µs to 10 ms, or the noise of an idle generator would fill the panel and look alarming
    axes.set_ylim(min(low, 1e-4) * 0.8, max(top, 1e-2) * 1.3)
    axes.yaxis.set_major_locator(LogLocator(10))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number_format.format_duration(value)))
    draw_end_labels(axes, [end_label(line, line.label, COLOURS.get(line.label, palette.GREY)) for line in drawn])


def _cpu(axes: Axes, lines: list[ChartLine]) -> None:
    if not lines:
        write_placeholder(axes, "no scrapes of the generator")
        return
    labels = []
    for number, line in enumerate(lines):
        colour = WORKERS[number % len(WORKERS)]
        draw_line(axes, downsample_means(line), colour, width=1.5)
        labels.append(_peak_label(line, line.label, lambda peak: f"{peak:.0%}".replace("%", " %"), colour))
    # above 90 % of a core an event loop starts to queue: validity.py counts the time spent there
    axes.axhline(0.9, color=palette.MUTED, linewidth=0.9, linestyle=(0, (1, 2)), gid="limit")
    axes.set_ylim(0, max(1.0, *(float(np.nanmax(line.value)) for line in lines)))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    few = labels if len(lines) <= len(WORKERS) else []
    draw_end_labels(axes, [*few, EndLabel(axes.get_xlim()[1], 0.9, "limit 90 %", palette.MUTED)], beside=True)


CHART = Chart(
    "generator",
    "Generator",
    "Can these figures be trusted?",
    lambda _, summary: finding(summary),
    draw,
    # A simulation has no generator that could have been late.
    applies=lambda summary: not summary.simulated,
)
