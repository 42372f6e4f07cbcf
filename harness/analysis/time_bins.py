"""Rows over time: percentiles, maxima and counts of what fell due in each second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.chart_types import ChartLine
from harness.analysis.percentile import min_sample_size, order_statistic

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

MAX_BIN_S = 10
"""A bin is widened to at most this many seconds to bear its percentile."""
MAX_BINS = 300
"""In a long run bins, and the columns of the heat map, are of more than a second."""
ROWS_PER_DECADE = 8
HISTOGRAM_CHUNK_ROWS = 500_000
MIN_RESPONSE_S = 1e-3
"""Responses below a millisecond stand in the lowest row."""


def binned_percentile(due_s: FloatArray, value: FloatArray, quantile: float, label: str, end_s: float) -> ChartLine:
    """A percentile over the due time: a point a second where the second bears it, fewer in a run of more than 300 s.

    A bin that has too few values is joined with those after it, up to 10 s in all; the point stands in the middle.
    Where even that is too few, or the bin is empty, the line has a gap (NaN).
    """
    if (due_s[1:] < due_s[:-1]).any():  # attempts come in this order
        order = np.argsort(due_s, kind="stable")
        due_s, value = due_s[order], value[order]
    seconds = _seconds(due_s, end_s)
    width = _width(seconds)
    bins, widest = -(-seconds // width), max(1, MAX_BIN_S // width)
    starts = np.searchsorted(due_s, np.arange(bins + 1) * width, side="left")
    least = min_sample_size(quantile)
    times: list[float] = []
    values: list[float] = []
    first = 0
    while first < bins:
        reach = np.searchsorted(starts, starts[first] + least, side="left")
        last = max(int(reach), first + 1)
        if starts[first] == starts[first + 1] or last > min(first + widest, bins):
            times.append((first + 0.5) * width)
            values.append(np.nan)
            first += 1
            continue
        times.append((first + last) / 2 * width)
        values.append(order_statistic(np.sort(value[starts[first] : starts[last]]), quantile))
        first = last
    return ChartLine(label, np.array(times), np.array(values))


def binned_maximum(due_s: FloatArray, value: FloatArray, label: str, end_s: float) -> ChartLine:
    """The greatest value of what fell due in each second (in a run of more than 300 s: each bin); NaN where nothing did."""
    seconds = _seconds(due_s, end_s)
    width = _width(seconds)
    bins = -(-seconds // width)
    greatest = np.full(bins, -np.inf)
    np.maximum.at(greatest, np.clip(due_s.astype(np.int64), 0, None) // width, value)
    return ChartLine(
        label, (np.arange(bins, dtype=np.float64) + 0.5) * width, np.where(np.isinf(greatest), np.nan, greatest)
    )


def response_heatmap(
    due_s: FloatArray, response_s: FloatArray, end_s: float
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Counts of responses by due time and length: edges of the columns, edges of the rows (logarithmic), counts.

    Shapes (columns + 1,), (rows + 1,), (rows, columns). Every response is counted.
    """
    seconds = _seconds(due_s, end_s)
    step = _width(seconds)
    edges_t_s = np.arange(0, max(seconds, 1) + step, step, dtype=np.float64)
    shown_s = np.clip(response_s, MIN_RESPONSE_S, None)
    longest_s = float(shown_s.max()) if len(shown_s) else 1.0
    rows = max(ROWS_PER_DECADE, int(np.ceil(np.log10(longest_s / MIN_RESPONSE_S) * ROWS_PER_DECADE + 1e-9)))
    edges_response_s = MIN_RESPONSE_S * 10 ** (np.arange(rows + 1) / ROWS_PER_DECADE)
    edges_response_s[-1] = max(edges_response_s[-1], longest_s)
    counts = np.zeros((rows, len(edges_t_s) - 1))
    for first in range(0, len(shown_s), HISTOGRAM_CHUNK_ROWS):  # histogram2d takes 40 bytes a row
        part = slice(first, first + HISTOGRAM_CHUNK_ROWS)
        counts += np.histogram2d(shown_s[part], np.clip(due_s[part], 0.0, None), bins=(edges_response_s, edges_t_s))[0]
    return edges_t_s, edges_response_s, counts.astype(np.int64)


def _width(seconds: int) -> int:
    """Whole seconds of a bin, so that there are at most 300."""
    return max(1, -(-seconds // MAX_BINS))


def _seconds(due_s: FloatArray, end_s: float) -> int:
    last = max(end_s, float(due_s.max()) if len(due_s) else 0.0)
    return int(np.ceil(last)) + (1 if last == np.ceil(last) and len(due_s) and due_s.max() >= last else 0)
