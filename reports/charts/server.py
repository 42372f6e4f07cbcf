"""Server: queue, busy workers, open requests, shed uploads and wasted work, from the server's own scrapes."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from harness.analysis.chart_types import ChartData, ChartLine
from harness.analysis.summary import Summary
from reports import number_format, palette
from reports.charts.labels import draw_end_labels, end_label
from reports.charts.style import Chart, Panel, downsample_means, draw_line, empty_chart, time_figure

COUNTS = {"shed", "wasted"}
"""Series without a panel if they are zero throughout; the finding states that nothing was shed or wasted."""


def finding(chart_data: ChartData, summary: Summary) -> str:
    """How long the queue grew, how many uploads were shed and how much work was wasted."""
    server = summary.server
    # an external server may publish none of these series
    if server.queue_depth_max is None and server.shed is None and server.wasted_work is None:
        return "The server publishes no queue, shedding or wasted work"
    parts = []
    if server.queue_depth_max is not None:
        parts.append(
            f"the queue reached {number_format.format_count(server.queue_depth_max)}{_full_for(chart_data.server.queue_depth)}"
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
            f"{number_format.plural(wasted, 'job')} ran for clients that had already left"
            if wasted
            else "no work was wasted"
        )
    sentence = ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
    return sentence[0].upper() + sentence[1:]


def _full_for(queue: ChartLine) -> str:
    """The time that the queue stayed within 5 % of its peak, in brackets; empty below 3 s."""
    value = np.nan_to_num(queue.value)
    # a queue of a few uploads is at its "peak" all the time
    if len(value) < 3 or value.max() < 8:
        return ""
    stayed_s = float(np.diff(queue.t_s)[value[1:] >= 0.95 * value.max()].sum())
    return f" (and stayed there for {number_format.format_duration(stayed_s)})" if stayed_s >= 3 else ""


def draw(chart_data: ChartData, summary: Summary) -> Figure:
    """One panel per quantity, each on its own scale; quantities that the server does not publish, and counts that stay 0, have none."""
    sentence, health = finding(chart_data, summary), chart_data.server
    rows = [
        (health.queue_depth, "uploads waiting in the queue", "waiting", palette.PURPLE),
        (health.workers_busy, "workers busy", "busy", palette.BLUE),
        (health.active_requests, "requests open", "open", palette.SKY),
        (health.shed, "uploads shed per second", "shed", palette.ORANGE),
        (health.wasted, "jobs finished after their client had left, per second", "wasted", palette.VERMILION),
    ]
    rows = [
        # a panel of zeros would say less than the finding does
        row
        for row in rows
        if np.isfinite(row[0].value).any() and (row[2] not in COUNTS or np.nansum(row[0].value))
    ]
    if not rows:
        return empty_chart(chart_data, sentence, "no scrapes of the server, or none with these series")
    drawn = time_figure(chart_data, sentence, [Panel(heading, 0.85) for _, heading, _, _ in rows])
    # totals come from the summary: the integral of a downsampled line would differ from the figure that is judged
    totals = {"shed": summary.server.shed, "wasted": summary.server.wasted_work}
    for axes, (line, _, name, colour) in zip(drawn.panels, rows, strict=True):
        shown, peak = downsample_means(line), float(np.nanmax(line.value))
        axes.fill_between(shown.t_s, shown.value, color=colour, alpha=0.2, linewidth=0)
        draw_line(axes, shown, colour, width=1.5)
        # at least up to 1, or a flat zero line would be drawn in the middle of the panel
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
