"""Lines over time: counters as rates, rows in bins, where the time of attempts went, and the stations that did worst."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.chart_types import AttemptsPerPage, ChartLine, StationProgress, TimeBreakdown
from harness.analysis.percentile import min_sample_size, order_statistic
from harness.analysis.rows import Rows
from harness.analysis.time_series import TargetSeries
from harness.analysis.unacknowledged import station_ends
from harness.base.model import DELIVERED, Outcome
from harness.run_folder.layout import RunFolder
from harness.run_folder.parquet import database, fetch_columns

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

TAIL_GAP_RATIO = 0.6
"""A target counts as idle rather than unknown for this share of its longest gap after its last scrape."""
MAX_BIN_S = 10
"""A bin is widened to at most this many seconds to hold enough values for its percentile."""
MIN_PAUSE_S = 3
"""Values this far apart, in bins, are not joined into one percentile."""
MAX_BINS = 300
"""In a long run bins, and the columns of the heat map, are wider than a second, so that there are at most this many."""
ROWS_PER_DECADE = 8
HISTOGRAM_CHUNK_ROWS = 500_000
MIN_RESPONSE_S = 1e-3
"""Responses below a millisecond are counted in the lowest row of the heat map."""
MAX_TIME_BINS = 120
ATTEMPT_PARTS = ("connect", "log in", "send", "queue", "service", "answer")
"""In the order in which an attempt goes through them."""
_TIME_BY_PART = """
    WITH delivered AS (
        SELECT floor(due_s / {step})::BIGINT AS bin, done_s - sent_s AS whole, connected_s - sent_s AS "connect",
            least(coalesce(login_s, 0), body_sent_s - connected_s) AS "log in", body_sent_s - connected_s AS sending,
            done_s - body_sent_s AS waiting, least(coalesce(queue_s, 0), done_s - body_sent_s) AS "queue",
            coalesce(server_s, 0) AS server, server_s IS NOT NULL OR queue_s IS NOT NULL AS timed
        FROM read_parquet(?, hive_partitioning = false)
        WHERE outcome IN ({outcomes}) AND due_s >= {warm_up} AND body_sent_s IS NOT NULL AND connected_s IS NOT NULL
    ), apart AS (
        SELECT *, sending - "log in" AS "send", least(server, waiting - "queue") AS "service" FROM delivered
    )
    SELECT bin, count(*) AS attempts, avg("connect") AS "connect", avg("log in") AS "log in", avg("send") AS "send",
        avg("queue") AS "queue", avg("service") AS "service", avg(waiting - "queue" - "service") AS "answer",
        count(*) FILTER (timed) AS timed
    FROM apart GROUP BY bin ORDER BY bin
"""


def rate_line(
    targets: list[TargetSeries], name: str, label: str, *, only: tuple[str, Collection[str]] | None = None
) -> ChartLine:
    """The rate of a counter per second, summed over targets and labels (`only`: those with certain values of one label).

    One bin per second from T0, drawn at its middle; the last one is up to two seconds wide, so that it ends with the last
    scrape. Between scrapes the counter is taken to rise evenly, so the bins add up to the last scrape's total. NaN where a
    target was not scraped for longer than its `max_gap_s`. Empty if no target has the series.
    """
    known = [
        (series, values) for series in targets if (values := series.counter(name, only)) is not None and len(values)
    ]
    if not known:
        return empty_line(label)
    edges = _second_edges(max(float(series.t_s[-1]) for series, _ in known))
    if len(edges) < 2:
        return empty_line(label)
    middles = (edges[:-1] + edges[1:]) / 2
    counts = np.zeros(len(middles))
    for series, values in known:
        counts += _counts_in_bins(edges, series.t_s, values, series.max_gap_s)
    return ChartLine(label, middles, counts / np.diff(edges))


def empty_line(label: str) -> ChartLine:
    """A line without points."""
    return ChartLine(label, np.empty(0), np.empty(0))


def _second_edges(last_s: float) -> FloatArray:
    whole = int(last_s)
    return np.append(np.arange(max(whole, 1), dtype=np.float64), last_s) if last_s > 0 else np.empty(0)


def _counts_in_bins(edges: FloatArray, times: FloatArray, values: FloatArray, max_gap_s: float) -> FloatArray:
    """What one target counted in each bin; NaN in bins that lie in a gap between its scrapes."""
    middles = (edges[:-1] + edges[1:]) / 2
    answered = ~np.isnan(values)
    times, values = times[answered], values[answered]
    if not len(times):
        return np.full(len(middles), np.nan)
    if times[0] <= max_gap_s:
        times, values = _starting_at_t0(times, values)
    counts = np.diff(np.interp(edges, times, values))
    after = np.searchsorted(times, middles)
    left = np.where(after > 0, times[np.clip(after - 1, 0, None)], -np.inf)
    # After its last scrape a worker that has finished is simply gone: for a while that is idleness, not a gap.
    tail_s = middles + max_gap_s - max_gap_s * TAIL_GAP_RATIO
    right = np.where(after < len(times), times[np.clip(after, None, len(times) - 1)], tail_s)
    return np.where(right - left > max_gap_s, np.nan, counts)


def _starting_at_t0(times: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The same with a point at T0: nothing is counted before it, so nothing may be spread over the time before."""
    earlier = values[times <= 0]
    at_t0 = earlier[-1] if len(earlier) else 0.0
    return np.append(0.0, times[times > 0]), np.append(at_t0, values[len(earlier) :])


def binned_percentile(due_s: FloatArray, value: FloatArray, quantile: float, label: str, end_s: float) -> ChartLine:
    """A percentile over due time: one point per second that has enough values, fewer in a run of more than 300 s.

    A bin with too few values is joined with those after it, up to 10 s in all, and its point is drawn in the middle. If even
    that is too few, or the bin is empty, the line has a gap (NaN). So it has where values from before and after a pause of
    3 s or more would be joined: a line across an outage would show what nobody measured.
    """
    if (due_s[1:] < due_s[:-1]).any():  # attempts usually come in this order, and sorting them is not free
        order = np.argsort(due_s, kind="stable")
        due_s, value = due_s[order], value[order]
    seconds = _seconds(due_s, end_s)
    width = _bin_width_s(seconds)
    bins, widest = -(-seconds // width), max(1, MAX_BIN_S // width)
    starts = np.searchsorted(due_s, np.arange(bins + 1) * width, side="left")
    least = min_sample_size(quantile)
    pauses = np.flatnonzero(np.diff(due_s) >= MIN_PAUSE_S * width)
    times: list[float] = []
    values: list[float] = []
    first = 0
    while first < bins:
        reach = np.searchsorted(starts, starts[first] + least, side="left")
        last = max(int(reach), first + 1)
        few = starts[first] == starts[first + 1] or last > min(first + widest, bins)
        if few or np.searchsorted(pauses, starts[first]) < np.searchsorted(pauses, starts[last] - 1):
            times.append((first + 0.5) * width)
            values.append(np.nan)
            first += 1
            continue
        times.append((first + last) / 2 * width)
        values.append(order_statistic(np.sort(value[starts[first] : starts[last]]), quantile))
        first = last
    return ChartLine(label, np.array(times), np.array(values))


def binned_maximum(due_s: FloatArray, value: FloatArray, label: str, end_s: float) -> ChartLine:
    """The maximum of what was due in each second (each bin, in a run of more than 300 s); NaN where nothing was due."""
    seconds = _seconds(due_s, end_s)
    width = _bin_width_s(seconds)
    bins = -(-seconds // width)
    maximum = np.full(bins, -np.inf)
    np.maximum.at(maximum, np.clip(due_s.astype(np.int64), 0, None) // width, value)
    middles = (np.arange(bins, dtype=np.float64) + 0.5) * width
    return ChartLine(label, middles, np.where(np.isinf(maximum), np.nan, maximum))


def response_heatmap(
    due_s: FloatArray, response_s: FloatArray, end_s: float
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Counts of responses by due time and length: edges of the columns, edges of the rows (logarithmic), counts.

    Shapes (columns + 1,), (rows + 1,), (rows, columns). Every response is counted.
    """
    seconds = _seconds(due_s, end_s)
    step = _bin_width_s(seconds)
    edges_t_s = np.arange(0, max(seconds, 1) + step, step, dtype=np.float64)
    shown_s = np.clip(response_s, MIN_RESPONSE_S, None)
    longest_s = float(shown_s.max()) if len(shown_s) else 1.0
    rows = max(ROWS_PER_DECADE, int(np.ceil(np.log10(longest_s / MIN_RESPONSE_S) * ROWS_PER_DECADE + 1e-9)))
    edges_response_s = MIN_RESPONSE_S * 10 ** (np.arange(rows + 1) / ROWS_PER_DECADE)
    edges_response_s[-1] = max(edges_response_s[-1], longest_s)  # rounding must not leave the longest response out
    counts = np.zeros((rows, len(edges_t_s) - 1))
    for first in range(0, len(shown_s), HISTOGRAM_CHUNK_ROWS):  # histogram2d needs 40 bytes per row
        part = slice(first, first + HISTOGRAM_CHUNK_ROWS)
        counts += np.histogram2d(shown_s[part], np.clip(due_s[part], 0.0, None), bins=(edges_response_s, edges_t_s))[0]
    return edges_t_s, edges_response_s, counts.astype(np.int64)


def _bin_width_s(seconds: int) -> int:
    """Whole seconds per bin, so that there are at most `MAX_BINS`."""
    return max(1, -(-seconds // MAX_BINS))


def _seconds(due_s: FloatArray, end_s: float) -> int:
    """How many whole seconds it takes to cover the run and every due time, one that falls on the last edge included."""
    last = max(end_s, float(due_s.max()) if len(due_s) else 0.0)
    return int(np.ceil(last)) + (1 if last == np.ceil(last) and len(due_s) and due_s.max() >= last else 0)


def compute_time_breakdown(folder: RunFolder, rows: Rows) -> TimeBreakdown:
    """Mean seconds that delivered attempts spent on each part, by due time; the parts add up to their service time.

    Queue and service (storing included) are what the server reports in `Server-Timing`. The answer is the rest of the time
    after the body was sent: the network, and all of it if the server reports nothing.
    """
    bins = max(1, math.ceil(rows.end_s))
    step = math.ceil(bins / MAX_TIME_BINS)
    outcomes = ", ".join(f"'{outcome}'" for outcome in sorted(DELIVERED))
    query = _TIME_BY_PART.format(step=step, outcomes=outcomes, warm_up=float(rows.record.warm_up_s))
    with database() as connection:
        found = fetch_columns(connection, query, folder.attempts)
    known = found["bin"].astype(np.int64)
    count = max(math.ceil(bins / step), int(known.max(initial=-1)) + 1)
    t_s = (np.arange(count, dtype=np.float64) + 0.5) * step
    attempts = np.zeros(count, dtype=np.int64)
    attempts[known] = found["attempts"]
    parts = []
    for part in ATTEMPT_PARTS:
        line = ChartLine(part, t_s, np.full(count, np.nan))
        line.value[known] = found[part]
        parts.append(line)
    return TimeBreakdown(parts, attempts, has_server_timing=bool(found["timed"].any()))


def count_attempts_per_page(rows: Rows) -> AttemptsPerPage:
    """How many pages took how many attempts; attempts that the strategy withheld were not made."""
    made = np.bincount(rows.attempts.page[~rows.attempts.ended_as({Outcome.WITHHELD})], minlength=rows.pages)
    length = int(made.max(initial=0)) + 1
    return AttemptsPerPage(
        delivered=np.bincount(made[rows.delivered], minlength=length).astype(np.int64),
        not_delivered=np.bincount(made[~rows.delivered], minlength=length).astype(np.int64),
    )


def find_worst_stations(rows: Rows, undelivered: int, slowest: int) -> list[StationProgress]:
    """At most `undelivered` stations that missed pages, most missed first, then the `slowest` that took longest.

    Only stations that arrived.
    """
    stations = len(rows.stations.code)
    delivered = np.bincount(rows.station_of_page[rows.delivered], minlength=stations)
    made = rows.attempts.page[~rows.attempts.ended_as({Outcome.WITHHELD})]
    attempts = np.bincount(rows.station_of_page[made], minlength=stations)
    ends, waited_s = station_ends(rows)
    missing = rows.stations.pages - delivered
    order = np.lexsort((-waited_s, -missing))
    order = order[rows.stations.due_s[order] < rows.stop_s]
    missed = int((missing[order] > 0).sum())
    order = np.concatenate([order[: min(missed, undelivered)], order[missed : missed + slowest]])
    return [
        StationProgress(
            code=str(rows.stations.code[number]),
            kelurahan=rows.places.name(rows.places.of(str(rows.stations.code[number]))),
            due_s=float(rows.stations.due_s[number]),
            completed_s=float(rows.completed_s[number]) if np.isfinite(rows.completed_s[number]) else None,
            pages=int(rows.stations.pages[number]),
            delivered=int(delivered[number]),
            attempts=int(attempts[number]),
            waited_s=float(waited_s[number]),
            end=str(ends[number]),  # type: ignore[arg-type]
        )
        for number in order
    ]
