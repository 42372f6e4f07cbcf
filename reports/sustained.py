"""What an external target bears, as text and as a chart: the rate at which what is in flight begins to grow."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from harness.analysis.sustained import GROWTH_RATIO, SustainedFigures, SustainedLevel
from reports import palette
from reports.charts.style import Panel, titled_figure
from reports.ci import add_result, add_testcase, serialise_suites
from reports.markdown import escape_markdown, markdown_table
from reports.number_format import format_count, format_duration, format_ratio
from reports.simulation_page import PageChart, SimulationPage, SimulationTable, render_page_with_charts

HEADERS = ("pages/s", "", "left over of what arrives", "L ÷ λW", "in flight", "p95 delivery", "looked at", "why")
_LABELS = {0: "BEARS IT", 99: "NOT ENOUGH", 3: "NOBODY CAN TELL"}
_COLOURS = {"sustained": palette.BLUE, "grows": palette.VERMILION, "undecided": palette.MUTED}
_MARKS = {"sustained": "o", "grows": "s", "undecided": "D"}


def sustained_badge(figures: SustainedFigures) -> str:
    """The result in capitals; INTERRUPTED for any other exit code."""
    return _LABELS.get(figures.exit_code, "INTERRUPTED")


def sustained_finding(figures: SustainedFigures) -> str:
    """The answer: "The target bears 13/s (13.4/s it does not); your plan's busiest minute asks 27/s"."""
    return f"{_bears(figures)}; {_asks(figures)}{_doubt(figures)}"


def _bears(figures: SustainedFigures) -> str:
    bears, fails = figures.bears_per_s, figures.fails_per_s
    if bears is None:
        return "The target bears no rate that was tried" if figures.levels else "No rate could be decided"
    if fails is None:
        why = f", and no greater rate was tried, because {figures.limit}" if figures.limit else ""
        return f"The target bears at least {_rate(bears)}{why}"
    state = next(level.state for level in figures.levels if level.pages_per_s == fails)
    return f"The target bears {_rate(bears)} ({_rate(fails)} {'it does not' if state == 'grows' else 'is undecided'})"


def _asks(figures: SustainedFigures) -> str:
    window = "minute" if figures.asks_window_s == 60 else format_duration(figures.asks_window_s)
    return f"your plan's busiest {window} asks {_rate(figures.asks_per_s)}"


def _doubt(figures: SustainedFigures) -> str:
    if not figures.why_unknown:
        return ""
    return f". {'Nobody can tell' if figures.exit_code == 3 else 'It fails'}: {figures.why_unknown}"


def _rate(pages_per_s: float) -> str:
    return f"{pages_per_s:.3g}/s" if pages_per_s < 1000 else f"{format_count(pages_per_s)}/s"


def sustained_rows(figures: SustainedFigures) -> list[list[str]]:
    """One row per rate that was tried, ascending."""
    return [
        [
            f"{level.pages_per_s:.3g}",
            level.state,
            _growth(level),
            "" if level.little_ratio is None else f"{level.little_ratio:.2f}",
            "" if level.in_flight is None else f"{level.in_flight:.3g}",
            "n/a" if level.p95_delivery_s is None else format_duration(level.p95_delivery_s),
            format_duration(level.seconds),
            level.why,
        ]
        for level in figures.levels
    ]


def _growth(level: SustainedLevel) -> str:
    if level.growth_ratio is None or level.growth_low is None or level.growth_high is None:
        return ""
    low, high = 100 * level.growth_low, 100 * level.growth_high
    return f"{100 * level.growth_ratio:.1f} % ({low:.1f} to {high:.1f})"


def sustained_markdown(figures: SustainedFigures) -> str:
    """The text of summary.md."""
    rows = [[escape_markdown(text) for text in row] for row in sustained_rows(figures)]
    lines = [
        f"# {sustained_badge(figures)}: {escape_markdown(figures.title or figures.name)}", "",
        f"{escape_markdown(sustained_finding(figures))}.", "", *markdown_table(HEADERS, rows),
    ]  # fmt: skip
    return "\n".join(lines)


def sustained_junit(figures: SustainedFigures) -> str:
    """The text of junit.xml: one testcase, failed if the target bears less than is asked, an error if nobody can tell."""
    suites = Element("testsuites", name="harness")
    suite = SubElement(suites, "testsuite", name=f"harness.capacity.{figures.name}", time="0")
    case = add_testcase(suite, figures.name, f"bears {_rate(figures.asks_per_s)}")
    rows = "\n".join("  ".join(row) for row in sustained_rows(figures))
    if figures.exit_code == 99:
        add_result(case, "failure", sustained_finding(figures), rows)
    elif figures.exit_code != 0:
        add_result(case, "error", figures.why_unknown or "interrupted", rows)
    return serialise_suites(suites, suite)


def render_sustained(folder: Path, figures: SustainedFigures) -> Path:
    """Write report/index.html and the chart as SVG and PNG into the folder; the page's path."""
    table = SimulationTable("rates", "Every rate that was tried", HEADERS, sustained_rows(figures))
    note = (
        "Every rate was offered by real runs of 10 s to 160 s, each only if the one before did not decide. A rate is sustained if what is in "
        f"flight does not grow by more than {format_ratio(GROWTH_RATIO)} of what arrives, with 95 % confidence, and is steady (Little's law within 5 %)."
    )
    page = SimulationPage(
        f"What {figures.target} bears: {figures.name}",
        sustained_finding(figures),
        note,
        [table],
        sustained_badge(figures),
    )
    chart = PageChart(
        "growth",
        "From which rate on does what is in flight grow?",
        sustained_finding(figures),
        lambda: draw_growth(figures),
    )
    return render_page_with_charts(folder, page, [chart])


def draw_growth(figures: SustainedFigures) -> Figure:
    """For each rate the part of what arrives that is left over, with its interval; dashed: what the plan asks."""
    panel = Panel(
        "left over of what arrives; bar: 95 % interval; dotted: sustained up to here; dashed: what the plan asks", 2.8
    )
    drawn = titled_figure(f"{_bears(figures)}; {_asks(figures)}", [panel])
    axes = drawn.panels[0]
    for level in figures.levels:
        if level.growth_ratio is None or level.growth_low is None or level.growth_high is None:
            continue
        colour = _COLOURS[level.state]
        bounds = [max(level.growth_low, -0.2), min(level.growth_high, 1.0)]
        axes.plot([level.pages_per_s] * 2, bounds, color=colour, linewidth=5, alpha=0.3, solid_capstyle="butt")
        axes.plot(
            [level.pages_per_s], [level.growth_ratio], _MARKS[level.state], color=colour, markersize=6, clip_on=False,
            gid=f"rate {level.pages_per_s:.3g}",
        )  # fmt: skip
    axes.axhline(GROWTH_RATIO, color=palette.INK, linewidth=1, linestyle=(0, (1, 2)), gid="sustained")
    axes.axvline(figures.asks_per_s, color=palette.MUTED, linewidth=1.2, linestyle=(0, (4, 2)), gid="asked")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in "25" else ""))
    axes.set_ylim(-0.2, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
    axes.set_xlabel("pages per second that are offered", loc="left")
    return drawn.figure
