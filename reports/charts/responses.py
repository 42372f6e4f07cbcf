"""Responses: percentiles over time above a heat map of every response, both on one logarithmic scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from harness.analysis.chart_types import ChartData, ResponseCharts
from harness.analysis.summary import DistributionByOutcome, PhaseFigures, Summary
from harness.base.model import Outcome
from reports import number_format, palette
from reports.charts.failures import failure_counts
from reports.charts.labels import EndLabel, draw_end_labels, draw_shades, end_label
from reports.charts.layout import current_layout
from reports.charts.style import Chart, Panel, draw_line, empty_chart, time_figure, write_placeholder

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

LINES = {"p50": (palette.SKY, 1.4), "p95": (palette.BLUE, 2.2), "p99": (palette.VERMILION, 1.4)}


MIXED_FAILURE_RATIO = 0.1
"""From this ratio of failures on, percentiles over all responses describe quick refusals more than waiting times."""


def finding(summary: Summary) -> str:
    """How much longer responses took during the worst fault than without one.

    Where many attempts fail, accepted responses and failures are described separately.
    """
    whole = summary.response_seconds
    if not whole.count:
        return "There were no responses"
    if failure_ratio(whole) >= MIXED_FAILURE_RATIO:
        return _compare_failures(whole)
    # small samples have no p95, still smaller ones no p50: take the highest that is known
    for name, share in (("p95", "95 % of responses"), ("p50", "Half of the responses")):
        compared = _compared(summary, name)
        if compared:
            return f"{share} came within {compared}"
    for name, share in (("p95", "95 % of responses"), ("p50", "Half of the responses")):
        if getattr(whole, name) is not None:
            return f"{share} came within {number_format.format_percentile(whole, name)}, over the whole run"
    longest = number_format.format_quantity(whole.max, "s")
    return f"{number_format.plural(whole.count, 'response')}: too few for percentiles; the longest took {longest}"


def failure_ratio(whole: DistributionByOutcome) -> float:
    """Ratio of the responses that were failures."""
    return sum(
        failure_counts({name: distribution.count for name, distribution in whole.by_outcome.items()}).values()
    ) / max(whole.count, 1)


def _compare_failures(whole: DistributionByOutcome) -> str:
    """The most frequent failure and the accepted responses, each with its own percentile.

    A refusal takes milliseconds: mixed in, it would make an overloaded server look fast.
    """
    counts = failure_counts({name: distribution.count for name, distribution in whole.by_outcome.items()})
    # failures are ordered, so this is the most frequent one
    often, number = next(iter(counts.items()))
    sentence = f"{number_format.format_ratio(number / whole.count)} of responses: {palette.outcome_label(often)}"
    refused, accepted = whole.by_outcome[often], whole.by_outcome.get(Outcome.ACCEPTED)
    if refused.p50 is not None:
        sentence += f", half of them within {number_format.format_duration(refused.p50)}"
    if accepted is None or not accepted.count:
        return f"{sentence}; none was accepted"
    for name, share in (("p95", "95 %"), ("p50", "half")):
        if getattr(accepted, name) is not None:
            return f"{sentence}; {share} of the accepted came within {number_format.format_percentile(accepted, name)}"
    return f"{sentence}; {number_format.format_count(accepted.count)} were accepted"


def _compared(summary: Summary, name: str) -> str:
    """A percentile without faults and during the worst fault, as text; empty if either is not known."""

    def of(phase: PhaseFigures) -> float:
        value: float | None = getattr(phase.response_seconds, name)
        return -1.0 if value is None else value

    clear = next((phase for phase in summary.phases if phase.name == "clear" and of(phase) >= 0), None)
    faulty = [phase for phase in summary.phases if phase.name not in {"clear", "warm_up"} and of(phase) >= 0]
    if clear is None or not faulty:
        return ""
    worst = max(faulty, key=of)
    before, during = (number_format.format_duration(of(phase)) for phase in (clear, worst))
    # a refusal is faster than an upload: a fault can make responses quicker
    if of(worst) < of(clear) / 1.2:
        return f"{before} before, and even within {during} during the {worst.name}"
    # percentiles of a few hundred responses vary by 10 % from run to run
    if of(worst) < 1.2 * of(clear):
        return f"{before}, and the {worst.name} hardly changed that ({during})"
    return f"{before} before, but {during} during the {worst.name}"


def shade_levels(counts: IntArray) -> list[int]:
    """The smallest count of each shade of the heat map: a geometric series up to the fullest cell.

    Counts in the cells of a heavy-tailed distribution span orders of magnitude: on a linear scale the tail would be blank.
    """
    fullest = int(counts.max(initial=0))
    shades = len(palette.HEAT)
    # with few counts every count gets a shade of its own
    if fullest <= shades:
        return list(range(1, fullest + 1))
    step = fullest ** (1 / shades)
    return sorted({max(1, round(step**power)) for power in range(shades)})


def draw(chart_data: ChartData, summary: Summary) -> Figure:
    """Two panels on the same scale: percentiles over time, and a heat map of every response."""
    sentence, responses = finding(summary), chart_data.responses
    if not responses.counts.size or not responses.counts.any():
        return empty_chart(chart_data, sentence, "no responses")
    drawn = time_figure(
        chart_data, sentence, [Panel("response: from due to the end of the answer", 1.9), Panel("all responses", 2.3)]
    )
    above, below = drawn.panels
    # cut the scale to the bins in use: they cover far more decades than a run has
    rows = np.flatnonzero(responses.counts.any(axis=1))
    low, high = responses.edges_response_s[rows[0]], responses.edges_response_s[rows[-1] + 1]
    for axes in drawn.panels:
        _scale(axes, float(low), float(high))
    drawn_any = False
    for line in responses.percentiles:
        colour, width = LINES.get(line.label, (palette.MUTED, 1.2))
        draw_line(above, line, colour, width=width)
        drawn_any = drawn_any or bool(np.isfinite(line.value).any())
    draw_end_labels(above, [_label(responses, index, summary) for index in range(len(responses.percentiles))])
    if not drawn_any:
        write_placeholder(above, "too few responses in each interval for percentiles over time")
    _heat(below, responses)
    return drawn.figure


def _label(responses: ResponseCharts, index: int, summary: Summary) -> EndLabel | None:
    line = responses.percentiles[index]
    colour, _ = LINES.get(line.label, (palette.MUTED, 1.2))
    overall = number_format.format_percentile(summary.response_seconds, line.label)
    return end_label(line, f"{line.label}, overall {overall}", colour, bold=line.label == "p95")


def _scale(axes: Axes, low: float, high: float) -> None:
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    # over many decades a tick at each 3 would crowd the axis
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0,) if high / low > 10_000 else (1.0, 3.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number_format.format_duration(value)))


def _heat(axes: Axes, responses: ResponseCharts) -> None:
    """Draw one path per shade. An image would be blurred, and pages under Jenkins' policy may not embed one."""
    response_s = responses.edges_response_s
    t_s, counts = _merged_columns(responses.edges_t_s, responses.counts, current_layout().max_points)
    least = shade_levels(counts)
    # few shades: take the darkest, which differ most from the background
    shades = palette.HEAT[-len(least) :] if len(least) < len(palette.HEAT) else palette.HEAT
    bounds = [*least, int(counts.max()) + 1]
    for number, shade in enumerate(shades):
        row, first, last = _horizontal_runs((counts >= bounds[number]) & (counts < bounds[number + 1]))
        if len(row):
            left, right, low, high = t_s[first], t_s[last], response_s[row], response_s[row + 1]
            corners = np.stack([left, low, right, low, right, high, left, high, left, low], axis=1).reshape(-1, 2)
            codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(row)
            # all cells of a shade in one path: thousands of single patches take seconds to draw and megabytes in SVG
            axes.add_patch(PathPatch(Path(corners, codes), facecolor=shade, edgecolor=shade, linewidth=0.2))
    entries = []
    for number, shade in enumerate(shades):
        fewest, most = bounds[number], bounds[number + 1] - 1
        text = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
        entries.append((text, shade))
    draw_shades(axes, "responses per cell", entries)


def _merged_columns(edges_t_s: FloatArray, counts: IntArray, at_most: int) -> tuple[FloatArray, IntArray]:
    """The heat map with neighbouring columns added up, so that at most so many remain."""
    each = -(-counts.shape[1] // at_most)
    starts = np.arange(0, counts.shape[1], each)
    return np.append(edges_t_s[starts], edges_t_s[-1]), np.add.reduceat(counts, starts, axis=1)


def _horizontal_runs(cells: BoolArray) -> tuple[IntArray, IntArray, IntArray]:
    """Runs of neighbouring cells: the row, the first column and the column after the last of each."""
    edge = np.zeros((len(cells), 1), dtype=np.int8)
    steps = np.diff(np.hstack([edge, cells.astype(np.int8), edge]), axis=1)
    row, first = np.nonzero(steps == 1)
    return row, first, np.nonzero(steps == -1)[1]


CHART = Chart(
    "responses", "Responses", "How long did an officer wait for an answer?", lambda _, summary: finding(summary), draw
)
