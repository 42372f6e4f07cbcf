"""Server: queue, busy workers, open requests, shed uploads and wasted work, from the server's own scrapes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from harness.analysis.chart_types import ChartData, ChartLine, FaultWindow
from harness.analysis.summary import Summary
from reports import number_format, palette
from reports.charts.labels import EndLabel, draw_end_labels
from reports.charts.style import (
    Chart,
    Panel,
    TimeSpan,
    downsample_means,
    draw_line,
    empty_chart,
    time_figure,
    time_span,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FULL_RATIO, MIN_FULL_S = 0.95, 3.0
"""A queue counts as full from this part of its capacity on, and it is worth saying from this time on."""
PLATEAU_RATIO = 0.01
"""A queue that rose by more than this while it was near its peak did not stay there: it passed."""
DRAIN_GRACE_S = 0.5
"""The last scrape comes a moment after the end of the run; a later one shows how the harness drained the server."""
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
            f"the queue reached {number_format.format_count(server.queue_depth_max)}{_described_peak(chart_data)}"
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


def _described_peak(chart_data: ChartData) -> str:
    """How the queue was at its peak: full, still growing when the attempts stopped, or as long for some time; else empty."""
    queue = chart_data.server.queue_depth
    t_s, value = queue.t_s, np.nan_to_num(queue.value)
    # a queue of a few uploads is at its "peak" all the time
    if len(value) < 3 or value.max() < 8:
        return ""
    capacity = chart_data.server_limits.queue_capacity
    steps = np.diff(t_s)
    if capacity:
        full_s = float(steps[value[1:] >= FULL_RATIO * capacity].sum())
        return f" (full for {number_format.format_duration(full_s)})" if full_s >= MIN_FULL_S else ""
    stop_s = min(chart_data.end_s, chart_data.deadline_s)
    # after the deadline nothing is sent any more: how the queue empties then says nothing about how it stayed
    near = (value >= FULL_RATIO * value.max()) & (t_s <= stop_s)
    first, second = np.array_split(value[near], 2)
    growing = len(second) > 0 and second.mean() - first.mean() > PLATEAU_RATIO * value.max()
    if growing and t_s[int(value.argmax())] >= stop_s - MIN_FULL_S:
        return f" (still growing at the {'deadline' if stop_s == chart_data.deadline_s else 'end'})"
    stayed_s = float(steps[near[1:]].sum())
    return (
        f" (and stayed there for {number_format.format_duration(stayed_s)})"
        if not growing and stayed_s >= MIN_FULL_S
        else ""
    )


@dataclass(frozen=True, slots=True)
class _Quantity:
    """One panel: its line, its heading, its name, its colour, and the limit that the server has for it."""

    line: ChartLine
    heading: str
    name: str
    colour: str
    limit: int | None = None
    limit_name: str = ""


def _quantities(chart_data: ChartData) -> list[_Quantity]:
    """What has a panel: not what the server does not publish, nor counts that stay 0, of which the finding tells."""
    health, limits = chart_data.server, chart_data.server_limits
    found = [
        _Quantity(
            health.queue_depth,
            "uploads waiting in the queue",
            "waiting",
            palette.PURPLE,
            limits.queue_capacity,
            "its capacity",
        ),
        _Quantity(health.workers_busy, "workers busy", "busy", palette.BLUE, limits.workers, "all of them"),
        _Quantity(health.active_requests, "requests open", "open", palette.SKY),
        _Quantity(health.shed, "uploads shed per second", "shed", palette.ORANGE),
        _Quantity(health.wasted, "jobs finished after their client had left, per second", "wasted", palette.VERMILION),
    ]
    return [
        quantity
        for quantity in found
        if np.isfinite(quantity.line.value).any() and (quantity.name not in COUNTS or np.nansum(quantity.line.value))
    ]


def draw(chart_data: ChartData, summary: Summary) -> Figure:
    """One panel per quantity, each on its own scale, with its limit or its peak marked."""
    sentence, found = finding(chart_data, summary), _quantities(chart_data)
    if not found:
        return empty_chart(chart_data, sentence, "no scrapes of the server, or none with these series")
    # totals come from the summary: the integral of a downsampled line would differ from the figure that is judged
    totals = {"shed": summary.server.shed, "wasted": summary.server.wasted_work}
    panels = [Panel(_heading(quantity, totals.get(quantity.name)), 0.85) for quantity in found]
    drawn = time_figure(chart_data, sentence, panels, span=_span(chart_data, found))
    if not _has_drain(chart_data, found):
        found = [replace(quantity, line=_until(quantity.line, chart_data.end_s)) for quantity in found]
    for axes, quantity in zip(drawn.panels, found, strict=True):
        _draw_quantity(axes, quantity)
    return drawn.figure


def _heading(quantity: _Quantity, total: int | None) -> str:
    """The quantity's heading with its total, or with the limit that is drawn as a dotted line."""
    if total is not None:
        return f"{quantity.heading}; {number_format.format_count(total)} in all"
    if quantity.limit is not None:
        return f"{quantity.heading}; dotted: {number_format.format_count(quantity.limit)}, {quantity.limit_name}"
    return quantity.heading


def _span(chart_data: ChartData, found: list[_Quantity]) -> TimeSpan:
    """The run's span, and after its end the time in which the harness drained the server, named as such."""
    span = time_span(chart_data)
    if not _has_drain(chart_data, found):
        return span
    last_s = _last_scrape_s(found)
    drain = FaultWindow("drained after the end", chart_data.end_s, last_s)
    return replace(span, end_s=max(span.end_s, last_s), windows=(*span.windows, drain))


def _has_drain(chart_data: ChartData, found: list[_Quantity]) -> bool:
    """Whether the drain after the end took so long that it is shown."""
    return chart_data.end_s > 0 and _last_scrape_s(found) >= chart_data.end_s + DRAIN_GRACE_S


def _last_scrape_s(found: list[_Quantity]) -> float:
    return max(float(quantity.line.t_s[-1]) for quantity in found)


def _until(line: ChartLine, end_s: float) -> ChartLine:
    """The line without the scrapes after the end, if there are others: there the harness has emptied the queue at once."""
    kept = line.t_s <= end_s
    return replace(line, t_s=line.t_s[kept], value=line.value[kept]) if np.isfinite(line.value[kept]).any() else line


def _draw_quantity(axes: Axes, quantity: _Quantity) -> None:
    shown, colour, limit = downsample_means(quantity.line), quantity.colour, quantity.limit
    axes.fill_between(shown.t_s, shown.value, color=colour, alpha=0.2, linewidth=0)
    draw_line(axes, shown, colour, width=1.5)
    at = int(np.nanargmax(quantity.line.value))
    peak_s, peak = float(quantity.line.t_s[at]), float(quantity.line.value[at])
    # at least up to 1, or a flat zero line would be drawn in the middle of the panel
    axes.set_ylim(0, max(peak, float(limit or 0), 1.0) * 1.08)
    if quantity.name in COUNTS:
        return
    # the label belongs to the peak and not to the end of the line, which is mostly 0
    axes.plot([peak_s], [peak], "o", color=colour, markersize=4, clip_on=False)
    text = f"at most {number_format.format_quantity(round(peak, 1), '')}"
    if limit is not None:
        axes.axhline(limit, color=palette.MUTED, linewidth=0.9, linestyle=(0, (1, 2)), gid="limit")
    draw_end_labels(axes, [EndLabel(peak_s, peak, text, colour)], beside=True)


CHART = Chart("server", "Server", "What did the server do with the load?", finding, draw)
