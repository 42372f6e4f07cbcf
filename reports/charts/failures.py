"""Failures: failed attempts per second, one panel per outcome, from the generator's scrapes."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from harness.analysis.chart_types import ChartData, ChartLine
from harness.analysis.summary import QUIET_PHASES, Summary
from harness.base.model import NOT_FAILURES, Outcome
from reports import number_format, palette
from reports.charts.labels import draw_end_labels, end_label
from reports.charts.style import Chart, Panel, downsample_means, draw_line, empty_chart, time_figure

MAX_PANELS = 6
OTHER_FAILURES = "other failures"


def failure_counts(by_outcome: dict[str, int]) -> dict[str, int]:
    """The failures among counts by outcome, the most frequent first."""
    # sums of several counts may lack an outcome or have it with 0
    kept = {name: number for name, number in by_outcome.items() if number and name not in NOT_FAILURES}
    return dict(sorted(kept.items(), key=lambda item: -item[1]))


def finding(summary: Summary) -> str:
    """The ratio of attempts that failed, the most frequent outcome among them, and the fault with most of them."""
    by_outcome = summary.attempts.by_outcome
    # a withheld attempt is one that the retry strategy did not send
    sent = sum(by_outcome.values()) - by_outcome.get(Outcome.WITHHELD, 0)
    failures = failure_counts(by_outcome)
    total = sum(failures.values())
    if not sent:
        return "No attempt was made"
    if not total:
        return f"None of {number_format.plural(sent, 'attempt')} failed"
    worst, number = next(iter(failures.items()))
    sentence = f"{number_format.format_ratio(total / sent)} of {number_format.plural(sent, 'attempt')} failed"
    words = palette.outcome_label(worst)
    sentence += (
        f", all of them: {words}"
        if len(failures) == 1
        else f", {number_format.format_ratio(number / total)} of them: {words}"
    )
    # phases repeat (a fault may come twice): add up by name
    during: dict[str, int] = {}
    for phase in summary.phases:
        if phase.name not in QUIET_PHASES:
            during[phase.name] = during.get(phase.name, 0) + sum(failure_counts(phase.by_outcome).values())
    name = max(during, key=lambda phase: during[phase], default="")
    if name and during[name]:
        sentence += f"; {number_format.format_ratio(min(during[name] / total, 1.0))} fell due during the {name}"
    return sentence


def failure_panels(outcomes: list[ChartLine]) -> list[ChartLine]:
    """The lines of the failures, one per panel; if there are more than `MAX_PANELS`, the last one is the sum of the rest."""
    lines = [
        downsample_means(line) for line in outcomes if line.label not in NOT_FAILURES and np.nansum(line.value) > 0
    ]
    if len(lines) <= MAX_PANELS:
        return lines
    # lines may have different times of scraping, so they are interpolated to those of the first
    rest = lines[MAX_PANELS - 1 :]
    t_s = rest[0].t_s
    value = np.sum([np.interp(t_s, line.t_s, np.nan_to_num(line.value)) for line in rest], axis=0)
    return [*lines[: MAX_PANELS - 1], ChartLine(OTHER_FAILURES, t_s, value)]


def draw(chart_data: ChartData, summary: Summary) -> Figure:
    """Small multiples on one scale, so that their heights can be compared."""
    sentence = finding(summary)
    lines = failure_panels(chart_data.rates.outcomes)
    if not lines:
        scraped = bool(chart_data.rates.outcomes)
        return empty_chart(chart_data, sentence, "no failures" if scraped else "no scrapes of the generator")
    # fewer panels may be higher, so that charts of different runs take about the same room
    heights = {1: 2.6, 2: 1.6, 3: 1.2}
    height = heights.get(len(lines), 0.8)
    drawn = time_figure(
        chart_data, sentence, [Panel("failed attempts per second" if not n else "", height) for n in range(len(lines))]
    )
    # one y scale for all panels: with a scale each, 2 resets would look like 200 timeouts
    top = max(float(np.nanmax(line.value)) for line in lines) * 1.05
    counts = failure_counts(summary.attempts.by_outcome)
    named = {line.label for line in lines}
    counts[OTHER_FAILURES] = sum(number for name, number in counts.items() if name not in named)
    for axes, line in zip(drawn.panels, lines, strict=True):
        colour = palette.outcome_colour(line.label)
        axes.fill_between(line.t_s, line.value, color=colour, alpha=0.25, linewidth=0)
        draw_line(axes, line, colour, width=1.4)
        axes.set_ylim(0, top)
        text = f"{palette.outcome_label(line.label)}\n{number_format.format_count(counts.get(line.label, 0))} in all"
        draw_end_labels(axes, [end_label(line, text, colour)])
    return drawn.figure


CHART = Chart("failures", "Failures", "How did attempts fail, and when?", lambda _, summary: finding(summary), draw)
