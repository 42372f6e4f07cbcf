"""A comparison of runs: its table, chart, HTML page, junit.xml, Markdown and GitHub annotation."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.analysis.comparable import JUDGED_FIGURES
from harness.judge.compare.noise import ALPHA, Noise
from harness.judge.compare.results import Comparison, FigureComparison, format_percent, format_signed_percent
from reports import palette, svg
from reports.charts.layout import current_layout
from reports.charts.style import Panel, titled_figure, write_placeholder
from reports.ci import add_result, add_testcase, append_job_summary, serialise_suites, workflow_command
from reports.comparison_charts import ComparedSide, draw_sides
from reports.drawing import drawing_into
from reports.html import chart_script, stylesheet, template_environment
from reports.markdown import escape_markdown, markdown_table
from reports.number_format import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEADERS = ("", "figure", "base", "run", "change", "95 % interval", "may be worse by", "why")
RESULT_LABELS = {
    "pass": "held",
    "fail": "WORSE",
    "inconclusive": "inconclusive",
    "not compared": "not compared",
    "not judged": "not judged",
}
COMPARISON_LABELS = {"pass": "PASS", "fail": "FAIL", "inconclusive": "INCONCLUSIVE"}
UNBOUNDED = "unbounded"
"""A change from 0, or to a percentile that is never reached: no ratio expresses it."""
NOISE_HEADERS = ("figure", "run-to-run noise", "1 run per side", "3 runs per side", "5 runs per side")
_COLOURS = {"pass": palette.GOOD, "fail": palette.BAD, "inconclusive": palette.UNSURE}
_LEFT_IN, _ROW_IN, _NARROW_ROW_IN = 2.9, 0.34, 0.55
_MIN_REACH = 0.02
_MAX_REACH = 3.0
"""Changes beyond 300 % become arrows at the edge, or they would squeeze all others into a dot."""
TONES = {"pass": ("good", "✓"), "fail": ("bad", "✗"), "inconclusive": ("unsure", "?")}
CHART = "changes"
MARKS = {"pass": "✅", "fail": "❌", "inconclusive": "⚠️"}
SUITE = "harness.compare"
VALID = "the runs are measurements, and the server is safe"
_LEVELS = {"pass": "notice", "fail": "error", "inconclusive": "warning"}


def noise_rows(noise: Noise) -> list[list[str]]:
    """One row per judged figure: its noise from run to run, and the smallest change detectable with 1, 3 and 5 runs per side."""
    return [
        [
            key,
            format_percent(found.log_sd),
            *(format_percent(found.detectable(ALPHA, runs, runs)) for runs in (1, 3, 5)),
        ]
        for key in JUDGED_FIGURES
        if (found := noise.figures.get(key)) is not None
    ]


def rows_of(comparison: Comparison) -> list[list[str]]:
    """One row of `HEADERS` per figure that is judged or could be compared, in the comparison's order."""
    return [_row(figure) for figure in comparison.figures if figure.tolerance is not None or figure.change is not None]


def format_change(figure: FigureComparison) -> str:
    """The change in percent with its sign, or `UNBOUNDED`; empty if there is none."""
    if figure.change is None:
        return ""
    return UNBOUNDED if figure.change.change is None else format_signed_percent(figure.change.change)


def _row(figure: FigureComparison) -> list[str]:
    return [
        RESULT_LABELS[figure.verdict],
        figure.key,
        _value(figure.base, figure),
        _value(figure.run, figure),
        format_change(figure),
        _interval(figure),
        "" if figure.tolerance is None else format_percent(figure.tolerance),
        "" if figure.verdict == "fail" else figure.reason,
    ]


def _value(value: float | None, figure: FigureComparison) -> str:
    if (
        value is None and figure.change is not None
    ):  # compared all the same: the percentile lies among pages that were never acknowledged
        return "never"
    return format_quantity(value, figure.unit)


def _interval(figure: FigureComparison) -> str:
    if figure.change is None or not figure.change.how:
        return ""
    # a bound so far out that it would only pretend to be informative is None
    low, high = figure.change.informative_bounds
    least = "?" if low is None else format_signed_percent(low).removesuffix(" %")
    most = "?" if high is None else format_signed_percent(high)
    return f"{least} to {most}"


def draw_changes(comparison: Comparison) -> Figure:
    """One row per figure: a dot at its change, a bar over its interval, shade up to its tolerance; right is worse.

    Rows read in one direction although a higher goodput is better and a longer delivery worse: `_interval_towards_worse`
    turns the sign of the figures that should be high.
    """
    known = [figure for figure in comparison.figures if figure.change is not None]
    narrow = current_layout().narrow
    row_in = _NARROW_ROW_IN if narrow else _ROW_IN
    panel = Panel("how much worse the run is", row_in * max(len(known), 2))
    drawn = titled_figure(comparison.finding, [panel], below_in=0.16 if narrow else 0.0)
    axes = drawn.panels[0]
    if not known:
        write_placeholder(axes, "No figure could be compared.")
        return drawn.figure
    if not narrow:
        box = axes.get_position()
        left = _LEFT_IN / drawn.figure.get_figwidth()
        axes.set_position((left, box.y0, box.x1 - left, box.height))
    reach = _reach(known)
    for place, figure in enumerate(reversed(known)):
        _draw_figure(axes, place, figure, reach)
    axes.axvline(0, color=palette.INK, linewidth=1)
    # a narrow chart has the names above the bars
    axes.set_yticks(range(len(known)), ["" if narrow else figure.key for figure in reversed(known)])
    axes.tick_params(axis="y", labelcolor=palette.INK)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-0.6, len(known) - 0.4)
    if narrow:  # there is no margin for a label of the edge
        axes.xaxis.set_major_locator(MaxNLocator(5, prune="both"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda change, _: format_signed_percent(change)))
    meaning = "further right is worse; bar: interval; shaded: within tolerance"
    axes.set_xlabel("\n".join(textwrap.wrap(meaning, current_layout().heading_characters)), loc="left")
    return drawn.figure


def _reach(figures: Sequence[FigureComparison]) -> float:
    """Half the width of the axis: it covers every finite bound and tolerance."""
    # infinite ends are drawn as arrows and must not stretch the axis
    ends = [abs(end) for figure in figures for end in _interval_towards_worse(figure) if math.isfinite(end)]
    ends += [figure.tolerance for figure in figures if figure.tolerance is not None]
    return min(_MAX_REACH, max([_MIN_REACH, *ends]) * 1.08)


def _draw_figure(axes: Axes, place: int, figure: FigureComparison, reach: float) -> None:
    # figures that are only shown, not judged, stay grey
    colour = _COLOURS.get(figure.verdict, palette.GREY)
    low, middle, high = (max(-reach, min(reach, end)) for end in _interval_towards_worse(figure))
    if figure.tolerance is not None:
        axes.fill_between(
            [-reach, min(figure.tolerance, reach)], place - 0.4, place + 0.4, color=palette.SHADE, linewidth=0
        )
        axes.plot([figure.tolerance] * 2, [place - 0.4, place + 0.4], color=palette.MUTED, linewidth=1)
    axes.plot([low, high], [place, place], color=colour, linewidth=2.4, gid=f"{figure.key} interval")
    axes.plot([middle], [place], "o", color=colour, markersize=6, gid=figure.key)
    # an end at the edge of the axis lies beyond it
    for end, marker in ((low, "<"), (high, ">")):
        if abs(end) >= reach:
            axes.plot([end], [place], marker, color=colour, markersize=6, clip_on=False)
    result = f"{format_change(figure)}  {RESULT_LABELS[figure.verdict]}"
    at: tuple[float, float] = (1.0, place)
    offset_pt, across, up = (10.0, 0.0), "left", "center"
    if current_layout().narrow:
        result = f"{figure.key}  {result}"
        at, offset_pt, across, up = (0.0, place + 0.4), (2.0, -1.0), "left", "top"
    axes.annotate(
        result, at, offset_pt, xycoords=("axes fraction", "data"), textcoords="offset points", va=up, ha=across, size=9,
        color=colour, weight="bold" if figure.verdict == "fail" else "normal",
    )  # fmt: skip


def _interval_towards_worse(figure: FigureComparison) -> tuple[float, float, float]:
    """Low end, change and high end, rising towards worse; infinite where there is no bound."""
    change = figure.change
    if change is None:
        return (0.0, 0.0, 0.0)
    low = -math.inf if change.low is None else change.low
    high = math.inf if change.high is None else change.high
    middle = math.inf if change.change is None else change.change
    return (low, middle, high) if figure.better == "lower" else (-high, -middle, -low)


def render_comparison(page: Path, comparison: Comparison, sides: Sequence[ComparedSide] = ()) -> None:
    """Write the HTML page, and its chart beside it as SVG and PNG; the page has the charts of `sides`, too."""
    page.parent.mkdir(parents=True, exist_ok=True)
    with drawing_into(page.parent) as draw_chart:
        drawings = draw_chart(CHART, partial(draw_changes, comparison))
    environment = template_environment()
    tone, mark = TONES[comparison.verdict]
    page.write_text(
        environment.get_template("comparison.html.j2").render(
            comparison=comparison,
            headline=COMPARISON_LABELS[comparison.verdict],
            tone=tone,
            mark=mark,
            headers=HEADERS,
            rows=rows_of(comparison),
            chart=svg.embed_drawings(CHART, comparison.finding, drawings.wide, drawings.narrow, drawings.values),
            pairs=draw_sides(sides),
            css=stylesheet(environment),
            script=chart_script(environment),
        ),
        encoding="utf-8",
    )


def comparison_junit(comparison: Comparison) -> str:
    """The text of junit.xml: one testcase for the runs themselves and one for every judged figure.

    A figure without a clear result is skipped with its reason, never passed; an INVALID run is an error, as in its own file.
    """
    suites = Element("testsuites", name="harness")
    suite = SubElement(suites, "testsuite", name=SUITE, time="0")
    runs = add_testcase(suite, SUITE, VALID)
    if comparison.reasons:
        # a lost page is a failure of the server, an invalid run says nothing about it
        kind = "failure" if comparison.verdict == "fail" else "error"
        add_result(runs, kind, comparison.reasons[0], "\n".join(comparison.reasons))
    for figure in comparison.figures:
        if figure.tolerance is None:
            continue
        case = add_testcase(suite, SUITE, f"{figure.key} is no more than {format_percent(figure.tolerance)} worse")
        if figure.verdict == "fail":
            add_result(case, "failure", _describe_values(figure), f"{_describe_values(figure)}\n{figure.reason}")
        elif figure.verdict != "pass":
            add_result(
                case,
                "skipped",
                f"{RESULT_LABELS[figure.verdict]}: {figure.reason or _describe_values(figure)}",
                "",
            )
    return serialise_suites(suites, suite)


def comparison_markdown(comparison: Comparison) -> str:
    """Verdict, reasons and table, in the Markdown of GitHub and GitLab."""
    headline = COMPARISON_LABELS[comparison.verdict]
    lines = [
        f"## {MARKS[comparison.verdict]} {headline}: compared with the base",
        "",
        f"{escape_markdown(comparison.finding)}.",
        "",
    ]
    notes = [*comparison.reasons, *(f"differs, compared with --force: {line}" for line in comparison.unlike)]
    lines += [*(f"- {escape_markdown(line)}" for line in notes), ""] if notes else []
    lines += markdown_table(HEADERS, [[escape_markdown(cell) for cell in row] for row in rows_of(comparison)])
    for name, side in (("Base", comparison.base), ("Run", comparison.run)):
        lines.append(f"{name}: {', '.join(f'`{escape_markdown(run.id)}`' for run in side)}.  ")
    return "\n".join(lines) + "\n"


def publish_comparison(comparison: Comparison, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Append the Markdown to the GitHub job summary if there is one; return the annotation to print, if on GitHub."""
    append_job_summary(comparison_markdown(comparison), environment)
    if environment.get("GITHUB_ACTIONS") != "true":
        return []
    failed = [f"{figure.key}: {_describe_values(figure)}" for figure in comparison.figures if figure.verdict == "fail"]
    text = "\n".join([comparison.finding, *comparison.reasons, *failed])
    return [workflow_command(_LEVELS[comparison.verdict], f"{COMPARISON_LABELS[comparison.verdict]}: comparison", text)]


def _describe_values(figure: FigureComparison) -> str:
    base, run = format_quantity(figure.base, figure.unit), format_quantity(figure.run, figure.unit)
    change = format_change(figure)
    return f"base {base}, run {run}{f', change {change}' if change else ''}"
