"""Tries: how many attempts pages needed, and how many of them were delivered."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from harness.analysis.chart_types import AttemptsPerPage, ChartData
from harness.analysis.summary import Summary
from reports import number_format, palette
from reports.charts.labels import CHARACTER_IN
from reports.charts.layout import current_layout
from reports.charts.style import Chart, Panel, titled_figure, write_placeholder

MAX_ROWS = 10


def finding(chart_data: ChartData) -> str:
    """How many pages were delivered at the first attempt, and the most attempts that any page took."""
    tries = chart_data.tries
    pages = int(tries.delivered.sum() + tries.not_delivered.sum()) if tries else 0
    if tries is None or not pages:
        return "No page was planned"
    # index 0 counts pages that were not attempted
    most = int(np.flatnonzero(tries.delivered + tries.not_delivered)[-1])
    # every page is at index 0
    if not most:
        return f"None of {number_format.plural(pages, 'page')} was attempted"
    first = int(tries.delivered[1])
    if first == pages:
        return f"All {number_format.plural(pages, 'page')} were delivered at the first attempt"
    sentence = f"{number_format.format_ratio(first / pages)} of {number_format.plural(pages, 'page')} were delivered at the first attempt"
    if most > 1:
        took = int(tries.delivered[most] + tries.not_delivered[most])
        sentence += f"; {'one page' if took == 1 else number_format.plural(took, 'page')} took {most:,} attempts"
    never = int(tries.not_delivered[0])
    return f"{sentence}; {never:,} {'was' if never == 1 else 'were'} not attempted" if never else sentence


def attempt_bars(tries: AttemptsPerPage) -> list[tuple[str, int, int]]:
    """One bar each: number of attempts as text, pages delivered, pages not acknowledged; none for numbers that no page took.

    From `MAX_ROWS` on, numbers of attempts share one bar: a strategy without a limit may try a page hundreds of times.
    """
    most = len(tries.delivered) - 1
    # a combined bar for exactly one number of attempts would need a misleading name
    last = most if most < MAX_ROWS else MAX_ROWS - 1
    found = [
        ("none" if not number else f"{number}", int(tries.delivered[number]), int(tries.not_delivered[number]))
        for number in range(last + 1)
    ]
    if most > last:
        beyond = slice(last + 1, None)
        # from the first number that a page took: "10 to 40" of pages that took 38 to 40 would mislead
        least = last + 1 + int(np.flatnonzero(tries.delivered[beyond] + tries.not_delivered[beyond])[0])
        name = f"{least} to {most}" if most > least else f"{most}"
        found.append((name, int(tries.delivered[beyond].sum()), int(tries.not_delivered[beyond].sum())))
    return [bar for bar in found if bar[1] + bar[2]]


def draw(chart_data: ChartData, _summary: Summary) -> Figure:
    """Bars with their numbers beside them: pages delivered, then pages not acknowledged."""
    tries, sentence = chart_data.tries, finding(chart_data)
    found = attempt_bars(tries) if tries else []
    if not sum(delivered + missing for _, delivered, missing in found):
        drawn = titled_figure(sentence, [Panel("", 1.2)], below_in=-0.35)
        write_placeholder(drawn.panels[0], "no page was planned")
        drawn.panels[0].set_xticks([])
        return drawn.figure
    drawn = titled_figure(sentence, [Panel("pages by number of attempts", 0.27 * len(found))], below_in=-0.35)
    axes = drawn.panels[0]
    places = np.arange(len(found))[::-1]
    delivered, missing = (np.array([row[number] for row in found]) for number in (1, 2))
    axes.barh(places, delivered, height=0.7, color=palette.GOODPUT, label="delivered")
    axes.barh(places, missing, left=delivered, height=0.7, color=palette.VERMILION, label="not acknowledged")
    panel_in, furthest = current_layout().panel_in, 0.0
    for place, (_, arrived, not_arrived) in zip(places, found, strict=True):
        text = [(f"{arrived:,} delivered", palette.GOODPUT)] if arrived else []
        text += [(f"{not_arrived:,} not acknowledged", palette.VERMILION)] if not_arrived else []
        right_pt = 6.0
        for words, colour in text:
            point = (float(arrived + not_arrived), float(place))
            axes.annotate(words, point, (right_pt, 0), "data", "offset points", color=colour, va="center", size=9)
            right_pt += 72 * CHARACTER_IN * len(words) + 8
        # the axis must be so long that this bar leaves room for its numbers
        furthest = max(furthest, (arrived + not_arrived) * panel_in / max(panel_in - right_pt / 72, 0.5))
    axes.set_yticks(places, [name for name, _, _ in found])
    axes.set_xlim(0, furthest)
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    return drawn.figure


CHART = Chart(
    "tries",
    "Tries",
    "How often did a page have to be sent?",
    lambda chart_data, _: finding(chart_data),
    draw,
    over_time=False,
)
