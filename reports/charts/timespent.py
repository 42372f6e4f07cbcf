"""Time spent: the parts of a delivered attempt, from connecting to the end of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from harness.analysis.chart_types import ChartData, ChartLine, TimeBreakdown
from harness.analysis.summary import Summary
from reports import number_format, palette
from reports.charts.labels import EndLabel, draw_end_labels
from reports.charts.style import Chart, Panel, TimeSpan, draw_line, empty_chart, time_figure, time_span

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]

BUSY_PART_RATIO = 0.6
"""If all deliveries fell due in less than this part of the run, the axis ends with the last: the rest would be empty."""
PART_PHRASES = {
    "connect": "connecting",
    "log in": "logging in",
    "send": "sending",
    "queue": "in the queue",
    "service": "being served",
    "answer": "on the way back",
}
UNTIMED_ANSWER = "waiting for the answer"
"""What the answer is called where the server doesn't say which part of it was its own."""
NO_SERVER_TIMING = "; the server sends no Server-Timing, so its own time is part of the answer"


def shares(spent: TimeBreakdown, chosen: BoolArray | None = None) -> dict[str, float]:
    """Each part's ratio of all the time that attempts spent, the greatest first; of the chosen bins only, if given."""
    # bins hold means: weighted by attempts they add up to the time really spent
    weights = spent.attempts if chosen is None else np.where(chosen, spent.attempts, 0)
    sums = {line.label: float(np.nansum(line.value * weights)) for line in spent.parts}
    whole = sum(sums.values())
    found = {name: value / whole for name, value in sums.items()} if whole > 0 else {}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def finding(chart_data: ChartData) -> str:
    """Where most of the time went, overall and during the fault with the slowest attempts."""
    spent = chart_data.time_spent
    overall = shares(spent) if spent else {}
    if spent is None or not overall:
        return "No attempt was delivered, so it is not known where the time went"
    phrases = PART_PHRASES if spent.has_server_timing else PART_PHRASES | {"answer": UNTIMED_ANSWER}
    parts = [f"{number_format.format_ratio(share)} {phrases[name]}" for name, share in overall.items() if share >= 0.1][
        :2
    ]
    first, *second = parts
    sentence = f"Delivered attempts spent {first.replace(' % ', ' % of their time ', 1)}" + "".join(
        f" and {part}" for part in second
    )
    untimed = "" if spent.has_server_timing else NO_SERVER_TIMING
    t_s, whole = spent.parts[0].t_s, np.sum([line.value for line in spent.parts], axis=0)
    costs = []
    for window in chart_data.windows:
        chosen = (t_s >= window.start_s) & (t_s < window.end_s) & (spent.attempts > 0)
        if chosen.any():
            # the cost of a fault is the mean time of its attempts, not their sum: a long fault is not a slow one
            costs.append((float(np.average(whole[chosen], weights=spent.attempts[chosen])), window.label, chosen))
    if not costs:
        return sentence + untimed
    _, name, chosen = max(costs, key=lambda cost: cost[0])
    part, share = next(iter(shares(spent, chosen).items()))
    return f"{sentence}; during the {name} {number_format.format_ratio(share)} {phrases[part]}{untimed}"


def draw(chart_data: ChartData, _: Summary) -> Figure:
    """The mean time of the delivered attempts that fell due in each interval, and below it the parts of that time.

    Two panels: in one stack on a linear scale a single slow second would press all the others flat.
    """
    sentence, spent = finding(chart_data), chart_data.time_spent
    if spent is None or not spent.attempts.any():
        return empty_chart(chart_data, sentence, "no attempt was delivered")
    # NaN where nothing was delivered: 0 would mean "no time at all"
    whole = np.where(spent.attempts > 0, np.sum([line.value for line in spent.parts], axis=0), np.nan)
    mean = float(np.nansum(whole * spent.attempts) / spent.attempts.sum())
    heading = f"time of a delivered attempt, {number_format.format_duration(mean)} in the mean"
    panels = [Panel(heading, 1.0), Panel("where that time went", 2.0)]
    drawn = time_figure(chart_data, sentence, panels, span=_span(chart_data, spent))
    _draw_whole(drawn.panels[0], spent, whole)
    _draw_parts(drawn.panels[1], spent, whole)
    return drawn.figure


def _edges(spent: TimeBreakdown) -> FloatArray:
    t_s = spent.parts[0].t_s
    # bins are equally wide and start at 0, so a single bin is twice as wide as its centre
    width_s = t_s[1] - t_s[0] if len(t_s) > 1 else 2 * t_s[0]
    return np.append(t_s - width_s / 2, t_s[-1] + width_s / 2)


def _span(chart_data: ChartData, spent: TimeBreakdown) -> TimeSpan:
    """The run's span, or only the part of it with deliveries, if the rest would be a large empty area."""
    span = time_span(chart_data)
    last_s = float(_edges(spent)[int(np.flatnonzero(spent.attempts)[-1]) + 1])
    if last_s >= BUSY_PART_RATIO * span.end_s:
        return span
    text = f"nothing due after {number_format.format_duration(last_s)} was delivered \N{RIGHTWARDS ARROW}"
    return TimeSpan(last_s, text)


def _draw_whole(axes: Axes, spent: TimeBreakdown, whole: FloatArray) -> None:
    draw_line(axes, ChartLine("whole", spent.parts[0].t_s, whole), palette.INK, width=1.5)
    low, high = float(np.nanmin(whole)), float(np.nanmax(whole))
    axes.set_yscale("log")
    # half a decade at least, or the noise of an idle server would look like a mountain range
    axes.set_ylim(min(low / 1.3, high / 3), high * 1.3)
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0,) if high / low > 100 else (1.0, 3.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number_format.format_duration(value)))


def _draw_parts(axes: Axes, spent: TimeBreakdown, whole: FloatArray) -> None:
    """Draw the parts as a stack of ratios, each labelled with its ratio of all the time."""
    low = np.where(spent.attempts > 0, 0.0, np.nan)
    last, overall, edges, labels = int(np.flatnonzero(spent.attempts)[-1]), shares(spent), _edges(spent), []
    for line in spent.parts:
        high = low + line.value / np.where(whole > 0, whole, np.nan)
        colour = palette.TIME_PART_COLOURS[line.label]
        axes.stairs(high, edges, baseline=low, fill=True, color=colour, alpha=0.6, linewidth=0, gid=line.label)
        # a band below half a percent is thinner than a line
        if overall[line.label] >= 0.005:
            text = f"{line.label} {number_format.format_ratio(overall[line.label])}"
            labels.append(EndLabel(float(line.t_s[last]), float(low[last] + high[last]) / 2, text, colour))
        low = high
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    draw_end_labels(axes, labels)


CHART = Chart("timespent", "Time spent", "Where did the time go?", lambda chart_data, _: finding(chart_data), draw)
