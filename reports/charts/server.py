"""Server: queue, busy workers, refusals and wasted work, small multiples from the server's own scrapes."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from harness.analysis.chart_types import ChartData, ChartLine
from harness.analysis.summary import Summary
from reports import number_format, palette
from reports.charts.style import (
    Chart,
    Panel,
    downsample_means,
    draw_end_labels,
    draw_line,
    empty_chart,
    end_label,
    time_figure,
)

COUNTS = {"shed", "wasted"}
"""What hopefully never happens; the finding says so in words when it did not."""


def finding(series: ChartData, summary: Summary) -> str:
    """How long the queue grew, how much was refused and how much work was in vain."""
    server = summary.server
    if server.queue_depth_max is None and server.shed is None and server.wasted_work is None:
        return "The server publishes no queue, shedding or wasted work"
    parts = []
    if server.queue_depth_max is not None:
        parts.append(
            f"the queue reached {number_format.format_count(server.queue_depth_max)}{_full_for(series.server.queue_depth)}"
        )
    if server.shed is not None:
        parts.append(
            f"{number_format.plural(server.shed, 'upload')} {'was' if server.shed == 1 else 'were'} shed"
            if server.shed
            else "nothing was shed"
        )
    if server.wasted_work is not None:
        wasted = server.wasted_work
        parts.append(
            f"{number_format.plural(wasted, 'job')} ran for clients that had gone" if wasted else "no work was wasted"
        )
    said = ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
    return said[0].upper() + said[1:]


def _full_for(queue: ChartLine) -> str:
    """How long the queue stayed within 5 % of its peak, in brackets; empty if it was only passing by."""
    value = np.nan_to_num(queue.value)
    if len(value) < 3 or value.max() < 8:
        return ""
    held = float(np.diff(queue.t_s)[value[1:] >= 0.95 * value.max()].sum())
    return f" (and stayed there for {number_format.format_duration(held)})" if held >= 3 else ""


def draw(series: ChartData, summary: Summary) -> Figure:
    """One quantity a panel, each on its own scale; without a series, or nothing to count, there is none."""
    said, health = finding(series, summary), series.server
    rows = [
        (health.queue_depth, "uploads waiting in the queue", "waiting", palette.PURPLE),
        (health.workers_busy, "workers busy", "busy", palette.BLUE),
        (health.active_requests, "requests open", "open", palette.SKY),
        (health.shed, "uploads shed per second", "shed", palette.ORANGE),
        (health.wasted, "jobs finished after their client had left, per second", "wasted", palette.VERMILION),
    ]
    rows = [
        row for row in rows if np.isfinite(row[0].value).any() and (row[2] not in COUNTS or np.nansum(row[0].value))
    ]
    if not rows:
        return empty_chart(series, said, "no scrapes of the server, or none with these series")
    drawn = time_figure(series, said, [Panel(heading, 0.85) for _, heading, _, _ in rows])
    totals = {"shed": summary.server.shed, "wasted": summary.server.wasted_work}
    for axes, (line, _, name, colour) in zip(drawn.panels, rows, strict=True):
        shown, peak = downsample_means(line), float(np.nanmax(line.value))
        axes.fill_between(shown.t_s, shown.value, color=colour, alpha=0.2, linewidth=0)
        draw_line(axes, shown, colour, width=1.5)
        axes.set_ylim(0, max(float(np.nanmax(shown.value)) * 1.08, 1.0))
        total = totals.get(name)
        text = (
            f"at most {number_format.format_quantity(round(peak, 1), '')}"
            if total is None
            else f"{number_format.format_count(total)} {name}"
        )
        draw_end_labels(axes, [end_label(shown, text, colour)])
    return drawn.figure


CHART = Chart("server", "Server", "What did the server do with the load?", finding, draw)
