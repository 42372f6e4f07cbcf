"""Responses: percentiles of accepted uploads over time above a heat map of every response, on one logarithmic scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from harness.analysis.chart_types import ChartData, ResponseCharts
from harness.analysis.summary import NOTHING_MEASURED, QUIET_PHASES, DistributionByOutcome, PhaseFigures, Summary
from harness.base.model import ANSWERED, TIMED_OUT, Outcome
from reports import number_format, palette
from reports.charts.failures import failure_counts
from reports.charts.labels import EndLabel, draw_end_labels, draw_shades, end_label
from reports.charts.layout import current_layout
from reports.charts.style import (
    Chart,
    HeatCells,
    Panel,
    draw_line,
    empty_chart,
    note_cells,
    time_figure,
    write_placeholder,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

LINES = {"p50": (palette.SKY, 1.4), "p95": (palette.BLUE, 2.2), "p99": (palette.VERMILION, 1.4)}


MIXED_FAILURE_RATIO = 0.1
"""From this ratio of failures on, the title describes refusals and accepted uploads separately."""
MIN_SHOWN_S = 1e-5
"""Failures that took less are drawn at the lower edge of the scale."""
AT_ONCE_S = 0.1
"""A refusal that takes less is one at once: shorter than anything that a person notices."""
FEW_ACCEPTED_RATIO = 0.5
"""A fault during which less than this was accepted is named with the count: percentiles of the rest would flatter it."""
FAILURE_PHRASES = {
    Outcome.REJECTED: "{was} rejected",
    Outcome.UNREADABLE: "{was} called unreadable",
    Outcome.THROTTLED: "{was} throttled",
    Outcome.UNAVAILABLE: "{was} refused",
    Outcome.SERVER_ERROR: "{was} answered with a server error",
    Outcome.TIMEOUT_CONNECT: "timed out connecting",
    Outcome.TIMEOUT_SEND: "timed out sending",
    Outcome.TIMEOUT_RESPONSE: "timed out",
    Outcome.REFUSED: "found the connection refused",
    Outcome.RESET: "{was} cut off by a reset",
    Outcome.CLOSED: "{was} cut off by the server",
    Outcome.MALFORMED: "got a malformed answer",
    Outcome.TLS_FAILED: "failed to connect by TLS",
}
"""What happened to uploads that ended like this."""
NAMED_PERCENTILES = (("p95", "95 % of accepted uploads"), ("p50", "Half of the accepted uploads"))


def finding(summary: Summary) -> str:
    """How much longer accepted uploads took during the worst fault than without one.

    Where many attempts fail, refusals come first. Percentiles are those of accepted uploads: a refusal takes milliseconds,
    and mixed in it would make an overloaded server look fast.
    """
    whole = summary.response_seconds
    counts = {name: distribution.count for name, distribution in whole.by_outcome.items()}
    if not sum(counts.values()):
        return "There were no responses"
    if failure_ratio(whole) >= MIXED_FAILURE_RATIO:
        return _describe_failures(whole)
    return _describe_accepted(summary) + _describe_refusing_phase(summary)


def failure_ratio(whole: DistributionByOutcome) -> float:
    """Ratio of the uploads that failed, refused connections included."""
    counts = {name: distribution.count for name, distribution in whole.by_outcome.items()}
    return sum(failure_counts(counts).values()) / max(sum(counts.values()), 1)


def _describe_accepted(summary: Summary) -> str:
    # small samples have no p95, still smaller ones no p50: take the highest that is known
    for name, share in NAMED_PERCENTILES:
        compared = _compared(summary, name)
        if compared:
            return f"{share} took at most {compared}"
    accepted = summary.response_seconds.by_outcome.get(Outcome.ACCEPTED)
    if accepted is None or not accepted.count:
        return "No upload was accepted"
    for name, share in NAMED_PERCENTILES:
        if getattr(accepted, name) is not None:
            return f"{share} took at most {number_format.format_percentile(accepted, name)}, over the whole run"
    longest = number_format.format_quantity(accepted.max, "s")
    uploads = number_format.plural(accepted.count, "accepted upload")
    return f"{uploads}: too few for percentiles; the longest took {longest}"


def _describe_failures(whole: DistributionByOutcome) -> str:
    """The most frequent failure and the accepted uploads, each with its own time."""
    counts = {name: distribution.count for name, distribution in whole.by_outcome.items()}
    # failures are ordered, so this is the most frequent one
    often, number = next(iter(failure_counts(counts).items()))
    uploads, verb = number_format.format_share(number, sum(counts.values()), "upload")
    phrase = FAILURE_PHRASES.get(Outcome(often), f"ended as {palette.outcome_label(often)}").replace("{was}", verb)
    sentence = f"{uploads} {phrase}{_after(Outcome(often), whole.by_outcome[often].p50)}"
    accepted = whole.by_outcome.get(Outcome.ACCEPTED)
    if accepted is None or not accepted.count:
        return f"{sentence}; none was accepted"
    for name in ("p95", "p50"):
        if getattr(accepted, name) is not None:
            return f"{sentence}; accepted ones took up to {number_format.format_percentile(accepted, name)} ({name})"
    return (
        f"{sentence}; {number_format.format_count(accepted.count)} {'was' if accepted.count == 1 else 'were'} accepted"
    )


def _after(outcome: Outcome, median_s: float | None) -> str:
    """How long an upload took to fail; nothing for a broken connection, whose time says nothing about the server."""
    if median_s is None or outcome not in ANSWERED | TIMED_OUT:
        return ""
    if outcome in TIMED_OUT:
        return f" after {number_format.format_duration(median_s)}"
    return " at once" if median_s < AT_ONCE_S else f" after {number_format.format_duration(median_s)} (p50)"


def _describe_refusing_phase(summary: Summary) -> str:
    """The fault during which the smallest ratio of uploads was accepted; empty if most were in each."""
    faulty = [phase for phase in summary.phases if phase.name not in QUIET_PHASES and phase.attempts]
    worst = min(faulty, key=lambda phase: phase.accepted_seconds.count / phase.attempts, default=None)
    if worst is None or worst.accepted_seconds.count >= FEW_ACCEPTED_RATIO * worst.attempts:
        return ""
    accepted, uploads = (
        number_format.format_count(worst.accepted_seconds.count),
        number_format.plural(worst.attempts, "upload"),
    )
    return f"; during the {worst.name} {accepted} of {uploads} {'was' if accepted == '1' else 'were'} accepted"


def _compared(summary: Summary, name: str) -> str:
    """A percentile without faults and during the worst fault, as text; empty if either is not known."""

    def of(phase: PhaseFigures) -> float:
        value: float | None = getattr(phase.accepted_seconds, name)
        return -1.0 if value is None else value

    clear = next((phase for phase in summary.phases if phase.name == "clear" and of(phase) >= 0), None)
    faulty = [phase for phase in summary.phases if phase.name not in QUIET_PHASES and of(phase) >= 0]
    if clear is None or not faulty:
        return ""
    worst = max(faulty, key=of)
    before, during = (number_format.format_duration(of(phase)) for phase in (clear, worst))
    # a fault that turns most uploads away leaves the few that pass more room
    if of(worst) < of(clear) / 1.2:
        return f"{before} before, and only {during} during the {worst.name}"
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
    """Two panels on the same scale: accepted uploads over time with the failed beside them, and a heat map of everything."""
    sentence, responses = finding(summary), chart_data.responses
    if not responses.counts.size or not responses.counts.any():
        return empty_chart(chart_data, sentence, "no responses")
    drawn = time_figure(
        chart_data,
        sentence,
        [
            Panel("accepted uploads: from due to the end of the answer", 1.9),
            Panel("all responses, refusals and timeouts included", 2.3),
        ],
    )
    above, below = drawn.panels
    # cut the scale to the bins in use: they cover far more decades than a run has
    rows = np.flatnonzero(responses.counts.any(axis=1))
    low_s, high_s = float(responses.edges_response_s[rows[0]]), float(responses.edges_response_s[rows[-1] + 1])
    # a refused connection takes microseconds, and is not a response
    quickest_s = float(np.nanmin(responses.failed.value, initial=np.inf))
    for axes in drawn.panels:
        _scale(axes, min(low_s, max(0.9 * quickest_s, MIN_SHOWN_S)), high_s)
    drawn_any = False
    for line in responses.percentiles:
        colour, width = LINES.get(line.label, (palette.MUTED, 1.2))
        draw_line(above, line, colour, width=width)
        drawn_any = drawn_any or bool(np.isfinite(line.value).any())
    failed = responses.failed
    draw_line(above, failed, palette.ORANGE, width=1.4, dashed=True)
    drawn_any = drawn_any or bool(np.isfinite(failed.value).any())
    labels = [_label(responses, index, summary) for index in range(len(responses.percentiles))]
    draw_end_labels(above, [*labels, end_label(failed, "refused or failed, p50", palette.ORANGE)])
    if not drawn_any:
        write_placeholder(above, "too few uploads in each interval for percentiles over time")
    _heat(below, responses)
    return drawn.figure


def _label(responses: ResponseCharts, index: int, summary: Summary) -> EndLabel | None:
    line = responses.percentiles[index]
    colour, _ = LINES.get(line.label, (palette.MUTED, 1.2))
    accepted = summary.response_seconds.by_outcome.get(Outcome.ACCEPTED, NOTHING_MEASURED)
    overall = number_format.format_percentile(accepted, line.label)
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
    note_cells(axes, HeatCells("responses", t_s.tolist(), response_s.tolist(), counts.tolist()))
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
