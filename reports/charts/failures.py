"""Failures: attempts that failed, a panel an outcome, per second, from the generator's scrapes."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from harness.analysis.chart_types import Line, Series
from harness.analysis.summary import Summary
from harness.base.model import NOT_FAILURES, Outcome
from reports import number_format, palette
from reports.charts.style import Chart, Panel, draw_line, end_of, frame, label_ends, silent, thinned

MOST_PANELS = 6
OTHERS = "other failures"


def failed(by_outcome: dict[str, int]) -> dict[str, int]:
    """The failures among counted outcomes, most frequent first."""
    kept = {name: number for name, number in by_outcome.items() if number and name not in NOT_FAILURES}
    return dict(sorted(kept.items(), key=lambda item: -item[1]))


def finding(summary: Summary) -> str:
    """What share failed, how most of it failed, and how much of it fell into the faults."""
    by_outcome = summary.attempts.by_outcome
    sent = sum(by_outcome.values()) - by_outcome.get(Outcome.WITHHELD, 0)
    failures = failed(by_outcome)
    total = sum(failures.values())
    if not sent:
        return "No attempt was made"
    if not total:
        return f"None of {number_format.plural(sent, 'attempt')} failed"
    worst, number = next(iter(failures.items()))
    said = f"{number_format.share(total / sent)} of {number_format.plural(sent, 'attempt')} failed"
    words = palette.outcome_words(worst)
    said += (
        f", all of them: {words}" if len(failures) == 1 else f", {number_format.share(number / total)} of them: {words}"
    )
    during: dict[str, int] = {}
    for phase in summary.phases:
        if phase.name not in {"clear", "warm_up"}:
            during[phase.name] = during.get(phase.name, 0) + sum(failed(phase.by_outcome).values())
    name = max(during, key=lambda phase: during[phase], default="")
    if name and during[name]:
        said += f"; {number_format.share(min(during[name] / total, 1.0))} fell due during the {name}"
    return said


def panels(outcomes: list[Line]) -> list[Line]:
    """The failures' lines, one a panel; what doesn't fit is summed into a last one."""
    lines = [thinned(line) for line in outcomes if line.label not in NOT_FAILURES and np.nansum(line.value) > 0]
    if len(lines) <= MOST_PANELS:
        return lines
    rest = lines[MOST_PANELS - 1 :]
    t_s = rest[0].t_s
    value = np.sum([np.interp(t_s, line.t_s, np.nan_to_num(line.value)) for line in rest], axis=0)
    return [*lines[: MOST_PANELS - 1], Line(OTHERS, t_s, value)]


def draw(series: Series, summary: Summary) -> Figure:
    """Small multiples on one scale, so that heights compare."""
    said = finding(summary)
    lines = panels(series.rates.outcomes)
    if not lines:
        scraped = bool(series.rates.outcomes)
        return silent(series, said, "no failures" if scraped else "no scrapes of the generator")
    heights = {1: 2.6, 2: 1.6, 3: 1.2}
    height = heights.get(len(lines), 0.8)
    drawn = frame(
        series, said, [Panel("failed attempts per second" if not n else "", height) for n in range(len(lines))]
    )
    top = max(float(np.nanmax(line.value)) for line in lines) * 1.05
    counts = failed(summary.attempts.by_outcome)
    named = {line.label for line in lines}
    counts[OTHERS] = sum(number for name, number in counts.items() if name not in named)
    for axes, line in zip(drawn.panels, lines, strict=True):
        colour = palette.outcome_colour(line.label)
        axes.fill_between(line.t_s, line.value, color=colour, alpha=0.25, linewidth=0)
        draw_line(axes, line, colour, width=1.4)
        axes.set_ylim(0, top)
        text = f"{palette.outcome_words(line.label)}\n{number_format.count(counts.get(line.label, 0))}"
        label_ends(axes, [end_of(line, text, colour)])
    return drawn.figure


CHART = Chart("failures", "Failures", "How did attempts fail, and when?", lambda _, summary: finding(summary), draw)
