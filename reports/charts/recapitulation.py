"""Recapitulation: when each kelurahan could begin, was worked on and ended, and the deadline of it all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.analysis.chart_types import ChartData
from harness.analysis.summary import KelurahanRecapitulation, RecapitulationFigures, Summary
from reports import number_format, palette
from reports.charts.labels import CHARACTER_IN
from reports.charts.layout import current_layout
from reports.charts.style import Chart, Panel, titled_figure, write_placeholder
from reports.key_figures import describe_delay, describe_spare

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DAY_S = 86_400.0
MAX_BARS = 40
"""Of more kelurahan than this, only those that end last have a bar."""
MIN_LATE_S = 60.0
"""A kelurahan is called late from a minute on: less is a matter of rounding."""
_ROW_IN, _NARROW_ROW_IN = 0.34, 0.5
"""Height of a bar with its label beside it, or above it in a narrow chart."""


def finding(summary: Summary) -> str:
    """When the recapitulation ends, how much later than without late uploads, and how long before its deadline."""
    figures = summary.recapitulation
    if figures is None or not figures.kelurahan:
        return "No recapitulation follows from this run"
    ends = number_format.format_day_time(figures.ended_s + figures.t0_s)
    sentence = f"The recapitulation ends on {ends}, {describe_delay(figures)}, {describe_spare(figures)}"
    if figures.by_hand:
        share = number_format.format_ratio(figures.by_hand / figures.stations)
        sentence += f"; {number_format.plural(figures.by_hand, 'station')} ({share}) are entered by hand"
    return sentence


def draw(_chart_data: ChartData, summary: Summary) -> Figure:
    """A bar per kelurahan from beginning to end, the first to end at the top; outlined what it would have been."""
    figures, sentence = summary.recapitulation, finding(summary)
    if figures is None or not figures.kelurahan:
        drawn = titled_figure(sentence, [Panel("", 1.2)], below_in=-0.35)
        write_placeholder(drawn.panels[0], "no recapitulation in this scenario")
        drawn.panels[0].set_xticks([])
        return drawn.figure
    places = sorted(figures.kelurahan, key=lambda place: (place.ended_s, place.began_s, place.code))[-MAX_BARS:]
    heading = "thin: until it could begin; solid: worked on; outlined: if every upload had been there at once"
    layout = current_layout()
    row_in = _NARROW_ROW_IN if layout.narrow else _ROW_IN
    if len(places) < len(figures.kelurahan):
        heading = f"the {len(places)} of {len(figures.kelurahan)} kelurahan that end last; {heading}"
    drawn = titled_figure(sentence, [Panel(heading, row_in * len(places) + 0.35)], below_in=0.05)
    axes = drawn.panels[0]
    last_s = max(figures.deadline_s, *(max(place.ended_s, place.undelayed_ended_s) for place in places))
    axes.set_xlim(0, (last_s + figures.t0_s) / DAY_S * 1.03)
    axes.set_ylim(len(places) - 0.4, -1.1)
    for row, place in enumerate(places):
        _draw_place(axes, row, place, figures)
    _draw_deadline(axes, figures, len(places))
    several = len(figures.kecamatan) > 1
    names = [f"{place.code[:6]}/{place.panel}" if several else f"panel {place.panel}" for place in places]
    if layout.narrow:  # the labels above the bars name the panels
        names = [""] * len(places)
    axes.set_yticks(range(len(places)), names, size=9 if several else None)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(8 if layout.narrow else 18, steps=[1, 2, 5, 10], integer=True))
    axes.set_xlabel("day of the election at midnight, day 0 is the start", loc="left")
    return drawn.figure


def _draw_place(axes: Axes, row: int, place: KelurahanRecapitulation, figures: RecapitulationFigures) -> None:
    """One kelurahan: the time until it could begin, its work, and an outline of what its work would have been."""
    # a narrow chart has the label above the bars
    scale, down = (0.66, 0.2) if current_layout().narrow else (1.0, 0.0)

    def bar(from_s: float, to_s: float, height: float, **style: Any) -> None:
        left = (from_s + figures.t0_s) / DAY_S
        height *= scale
        axes.barh(row + down, (to_s - from_s) / DAY_S, left=left, height=height, **style)

    in_time = place.ended_s <= figures.deadline_s
    colour = palette.GOODPUT if in_time else palette.VERMILION
    bar(0.0, place.could_begin_s, 0.1, color=palette.GREY, linewidth=0, gid=f"waiting {place.code}")
    bar(place.began_s, place.ended_s, 0.46, color=colour, linewidth=0, gid=f"work {place.code}")
    undelayed = (place.undelayed_began_s, place.undelayed_ended_s)
    bar(*undelayed, 0.74, fill=False, edgecolor=palette.GREY, linewidth=0.9, gid=f"undelayed {place.code}")
    _label_place(axes, row, place, figures.t0_s, colour)


def _label_place(axes: Axes, row: int, place: KelurahanRecapitulation, t0_s: float, colour: str) -> None:
    """Name and lateness right of the bars, or left of them where a long name has more room there; above in a narrow chart."""
    late = f"{number_format.format_duration(place.late_s)} late" if place.late_s >= MIN_LATE_S else "not late"
    name = number_format.format_place_name(place.name)
    layout = current_layout()
    if layout.narrow:
        axes.annotate(
            f"{name}, panel {place.panel}: {late}",
            (0, row - 0.42),
            (2, 0),
            "data",
            "offset points",
            color=colour,
            va="top",
            size=9,
        )
        return
    begin, end = (
        (pick(moments) + t0_s) / DAY_S
        for pick, moments in (
            (min, (place.began_s, place.undelayed_began_s)),
            (max, (place.ended_s, place.undelayed_ended_s)),
        )
    )
    day_in = layout.panel_in / axes.get_xlim()[1]
    right_in = day_in * (axes.get_xlim()[1] - end) + layout.right_in - 0.2
    left_in = day_in * begin - 0.1
    on_left = CHARACTER_IN * len(f"{name}: {late}") > right_in and left_in > right_in
    letters = int((left_in if on_left else right_in) / CHARACTER_IN) - len(f": {late}")
    text = f"{name if len(name) <= letters else name[: max(1, letters - 1)] + '…'}: {late}"
    at, aside, align = (begin, -6, "right") if on_left else (end, 6, "left")
    # the deadline, and the line until it could begin, pass behind the label
    box = {"facecolor": palette.PAPER, "edgecolor": "none", "pad": 0.5}
    axes.annotate(
        text, (at, row), (aside, 0), "data", "offset points", color=colour, va="center", ha=align, size=9, bbox=box
    )


def _draw_deadline(axes: Axes, figures: RecapitulationFigures, rows: int) -> None:
    at = (figures.deadline_s + figures.t0_s) / DAY_S
    axes.plot([at, at], [-0.6, rows - 0.4], color=palette.INK, linewidth=1, linestyle=(0, (1, 2)), gid="due")
    layout = current_layout()
    half = 0.45 / layout.panel_in * axes.get_xlim()[1]
    # a deadline near the edge has its name left of it
    centre = min(at, axes.get_xlim()[1] + layout.right_in / layout.panel_in * axes.get_xlim()[1] - half)
    axes.text(centre, -0.65, "its deadline", ha="center", va="bottom", size=9, color=palette.MUTED)


CHART = Chart(
    "recapitulation",
    "Recapitulation",
    "What do late uploads do to the recapitulation?",
    lambda _, summary: finding(summary),
    draw,
    over_time=False,
    applies=lambda summary: summary.recapitulation is not None,
)
