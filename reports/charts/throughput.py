"""Throughput: pages due, pages delivered and answers per second from the generator's scrapes; the backlog, and the title, from the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from harness.analysis.chart_types import BacklogLines, ChartData, ChartLine
from harness.analysis.shortfalls import SMOOTHING_S, Shortfall, find_shortfalls
from harness.analysis.summary import Recovery, Summary
from reports import number_format, palette
from reports.charts.labels import EndLabel, draw_end_labels, end_label
from reports.charts.style import Chart, Panel, downsample_means, draw_line, empty_chart, time_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FROM_START_S = 1.0
"""A shortfall that begins within the first second began with the run: scrapes are a second apart."""
NAMED_SILENCE_S = 5.0
"""From this long on, a finding says since when nothing was delivered."""


def finding(chart_data: ChartData, summary: Summary) -> str:
    """How far goodput fell below what was due, for how long, how it recovered, and what was left in the end."""
    backlog = chart_data.backlog
    if backlog is None or not len(backlog.due.t_s):
        return "There are no rows, so the rates over time are not known"
    if not summary.pages.delivered_by_deadline:
        return _describe_nothing(backlog)
    falls = find_shortfalls(backlog)
    if not falls:
        pages = summary.pages
        delivered = f"{number_format.format_count(pages.delivered)} of {number_format.plural(pages.planned, 'page')} were delivered"
        return f"Goodput kept up with the offered load; {delivered}{_given_up(backlog)}"
    # what was never made up for matters most; then a shortfall with a cause explains more than a deeper one without
    unmade = next((fall for fall in falls if not fall.caught_up), None)
    fall = unmade or next((fall for fall in falls if _causes(chart_data, fall)), falls[0])
    return _describe_fall(chart_data, summary, fall) + _outcome(chart_data, backlog, fall) + _given_up(backlog)


def _describe_nothing(backlog: BacklogLines) -> str:
    due = float(backlog.outstanding.value[-1] + backlog.given_up.value[-1])
    if not due:
        return "No page fell due"
    return f"Nothing was delivered: none of the {number_format.plural(round(due), 'page')} that fell due was acknowledged in time"


def _causes(chart_data: ChartData, fall: Shortfall) -> set[str]:
    """Names of the faults that were active when a shortfall began, or had just ended; later ones cannot have caused it."""
    near = [
        w
        for w in chart_data.windows
        if w.end_s > fall.start_s - SMOOTHING_S and w.start_s < fall.start_s + SMOOTHING_S / 2
    ]
    return {window.label for window in near}


def _describe_fall(chart_data: ChartData, summary: Summary, fall: Shortfall) -> str:
    ratio = number_format.format_ratio(fall.ratio)
    start, end = (number_format.format_duration(at_s) for at_s in (fall.start_s, fall.end_s))
    causes = _causes(chart_data, fall)
    if causes:
        when = (
            f"for {number_format.format_duration(fall.end_s - fall.start_s)}" if fall.caught_up else f"from {start} on"
        )
        recoveries = [recovery for recovery in summary.recovery if recovery.fault in causes]
        return f"Goodput fell to {ratio} of what was due {when}{_recovered(recoveries)}"
    begins = "From the start" if fall.start_s < FROM_START_S else f"From {start}"
    when = f"{begins} to {end}" if fall.caught_up else begins if fall.start_s < FROM_START_S else f"{begins} on"
    sentence = f"{when} the server delivered {ratio} of what was due"
    later = next((window.label for window in chart_data.windows if fall.start_s < window.start_s < fall.end_s), None)
    if later:
        return f"{sentence}; the {later} is not the cause"
    # without any fault in the scenario nobody asks which one it was
    return f"{sentence}, while no fault was active" if chart_data.windows else sentence


def _outcome(chart_data: ChartData, backlog: BacklogLines, fall: Shortfall) -> str:
    """What was outstanding at most, or in the end with when it would have been worked off."""
    left, end_s = round(float(backlog.outstanding.value[-1])), float(backlog.outstanding.t_s[-1])
    peak = round(float(backlog.outstanding.value.max()))
    moment = "deadline" if end_s >= chart_data.deadline_s else "end"
    pages, last_s = number_format.plural(left, "page"), backlog.last_delivery_s
    reached = f"; the backlog reached {number_format.plural(peak, 'page')}" if fall.caught_up and peak else ""
    if not left:
        return reached
    if not fall.caught_up and last_s is not None and end_s - last_s >= NAMED_SILENCE_S:
        after = number_format.format_duration(last_s)
        return f"; nothing was delivered after {after}, with {pages} outstanding at the {moment}"
    later = "" if fall.caught_up else _worked_off(backlog, left)
    return f"{reached}; {pages} {'was' if left == 1 else 'were'} outstanding at the {moment}{later}"


def _worked_off(backlog: BacklogLines, left: int) -> str:
    """When the rest would have been delivered at the rate of the last quarter of the run."""
    rate = backlog.last_rate_per_s
    if not rate:
        return ""
    later, pages = number_format.format_duration(left / rate), "it" if left == 1 else "they"
    return f"; at the last {number_format.format_rate(rate)} {pages} would have been worked off {later} later"


def _given_up(backlog: BacklogLines) -> str:
    number = round(float(backlog.given_up.value[-1]))
    return f"; {number_format.plural(number, 'page')} {'was' if number == 1 else 'were'} given up" if number else ""


def _recovered(recoveries: list[Recovery]) -> str:
    """How goodput recovered from the last of these faults; empty if that is not known."""
    if not recoveries:
        return ""
    last = max(recoveries, key=lambda recovery: recovery.ended_s)
    if last.recovered_after_s is None:
        return f" and never recovered after the {last.fault} ended" + (": metastable" if last.metastable else "")
    # scrapes are a second apart: below half of that there was no delay
    if last.recovered_after_s < 0.5:
        return f" and was back as soon as the {last.fault} ended"
    return f" and recovered {number_format.format_duration(last.recovered_after_s)} after the {last.fault} ended"


def draw(chart_data: ChartData, summary: Summary) -> Figure:
    """Three rates above the backlog; the shaded gap between offered and goodput is what the backlog grows by."""
    rates, backlog, sentence = chart_data.rates, chart_data.backlog, finding(chart_data, summary)
    scraped = bool(np.isfinite(rates.offered.value).any())
    if backlog is None and not scraped:
        return empty_chart(chart_data, sentence, "no rows, and no scrapes of the generator")
    panels = [Panel("pages due, pages delivered and all answers, per second", 2.4)]
    if backlog is not None:
        panels.append(Panel("backlog: pages due and not acknowledged", 1.2))
    drawn = time_figure(chart_data, sentence, panels)
    axes = drawn.panels[0]
    # without scrapes the rows have the same rates, but for answers
    lines = (rates.offered, rates.goodput) if scraped or backlog is None else (backlog.due, backlog.delivered)
    offered, goodput, answers = (downsample_means(line) for line in (*lines, rates.throughput))
    _gap(axes, offered, goodput)
    # wider and paler than goodput, which would hide it where every answer is a delivery
    draw_line(axes, answers, palette.THROUGHPUT, width=4.4, alpha=0.55)
    draw_line(axes, offered, palette.OFFERED, width=1.4, dashed=True)
    draw_line(axes, goodput, palette.GOODPUT, width=2.2)
    axes.set_ylim(bottom=0)
    mean = summary.rates

    def named(name: str, value: float | None) -> str:
        return name if value is None else f"{name}, mean {number_format.format_rate(value)}"

    draw_end_labels(
        axes,
        [
            end_label(goodput, named("goodput", mean.goodput_per_s), palette.GOODPUT, bold=True),
            end_label(offered, named("offered", mean.offered_per_s), palette.OFFERED),
            end_label(answers, named("all answers", mean.throughput_per_s), palette.THROUGHPUT),
        ],
    )
    if backlog is not None:
        _backlog(drawn.panels[1], chart_data, backlog)
    return drawn.figure


def _backlog(axes: Axes, chart_data: ChartData, backlog: BacklogLines) -> None:
    """The pages outstanding, and those given up if there are any: they are not waiting any more, and not delivered."""
    line, given_up = backlog.outstanding, backlog.given_up
    shown = downsample_means(line)
    axes.fill_between(shown.t_s, shown.value, color=palette.VERMILION, alpha=0.16, linewidth=0)
    draw_line(axes, shown, palette.VERMILION, width=1.8)
    left = round(float(line.value[-1]))
    moment = "deadline" if line.t_s[-1] >= chart_data.deadline_s else "end"
    labels = [end_label(shown, f"{number_format.format_count(left)} at the {moment}", palette.VERMILION)]
    if not left:  # then the peak is what matters, and its label stands there
        at = int(line.value.argmax())
        peak = f"at most {number_format.format_count(float(line.value[at]))}"
        labels = [EndLabel(float(line.t_s[at]), float(line.value[at]), peak, palette.VERMILION)]
    if given_up.value[-1]:
        draw_line(axes, downsample_means(given_up), palette.MUTED, width=1.4, dashed=True)
        labels.append(end_label(given_up, f"given up {number_format.format_count(given_up.value[-1])}", palette.MUTED))
    axes.set_ylim(0, max(1.0, 1.08 * float(max(line.value.max(), given_up.value.max()))))
    draw_end_labels(axes, labels, beside=True)


def _gap(axes: Axes, offered: ChartLine, goodput: ChartLine) -> None:
    """Shade the time in which fewer pages were delivered than fell due: the backlog grows."""
    if not len(goodput.t_s):
        return
    goodput_per_s = np.interp(offered.t_s, goodput.t_s, goodput.value)
    short = goodput_per_s < offered.value
    axes.fill_between(
        offered.t_s,
        goodput_per_s,
        offered.value,
        where=short,
        interpolate=True,
        color=palette.VERMILION,
        alpha=0.16,
        linewidth=0,
    )


CHART = Chart("throughput", "Throughput", "Did the server deliver as many pages as fell due?", finding, draw)
