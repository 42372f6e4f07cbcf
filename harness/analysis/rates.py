"""Counters over time: what was counted in each second, all workers together, from their scrapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.chart_types import ChartLine
from harness.analysis.time_series import TargetSeries

TAIL_GAP_RATIO = 0.6
"""How long after its last scrape, as a share of the longest gap, a target counts as having counted nothing more."""

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


def rate_line(
    targets: list[TargetSeries], name: str, label: str, *, only: tuple[str, Collection[str]] | None = None
) -> ChartLine:
    """Counts per second of a counter, summed over targets and labels (`only` those with one of a label's values).

    A bin a second from T0, drawn at its middle, the last one up to two seconds wide so that it ends with the last scrape.
    Between scrapes the counter is taken to rise evenly, so the bins add up to the last scrape's total. NaN where a
    target was not scraped for more than 2.5 s (or 2.5 of its own intervals, if they are longer). Empty where no target has the series.
    """
    known = [
        (curves, values) for curves in targets if (values := curves.counter(name, only)) is not None and len(values)
    ]
    if not known:
        return empty_line(label)
    edges = _edges(max(float(curves.t_s[-1]) for curves, _ in known))
    if len(edges) < 2:
        return empty_line(label)
    middles = (edges[:-1] + edges[1:]) / 2
    counts = np.zeros(len(middles))
    for curves, values in known:
        counts += _in_bins(edges, curves.t_s, values, curves.longest_gap_s)
    return ChartLine(label, middles, counts / np.diff(edges))


def empty_line(label: str) -> ChartLine:
    """A line without points."""
    return ChartLine(label, np.empty(0), np.empty(0))


def _edges(last_s: float) -> FloatArray:
    whole = int(last_s)
    return np.append(np.arange(max(whole, 1), dtype=np.float64), last_s) if last_s > 0 else np.empty(0)


def _in_bins(edges: FloatArray, times: FloatArray, values: FloatArray, longest_gap_s: float) -> FloatArray:
    """What one target counted in each bin; NaN in bins that lie in a gap between its scrapes."""
    middles = (edges[:-1] + edges[1:]) / 2
    answered = ~np.isnan(values)
    times, values = times[answered], values[answered]
    if not len(times):
        return np.full(len(middles), np.nan)
    if times[0] <= longest_gap_s:
        times, values = _from_t0(times, values)
    counts = np.diff(np.interp(edges, times, values))
    after = np.searchsorted(times, middles)
    left = np.where(after > 0, times[np.clip(after - 1, 0, None)], -np.inf)
    quiet_s = longest_gap_s * TAIL_GAP_RATIO
    right = np.where(after < len(times), times[np.clip(after, None, len(times) - 1)], middles + longest_gap_s - quiet_s)
    return np.where(right - left > longest_gap_s, np.nan, counts)


def _from_t0(times: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The same with a point at T0: nothing is counted before it, so nothing is to be spread over the time before."""
    earlier = values[times <= 0]
    at_t0 = earlier[-1] if len(earlier) else 0.0
    return np.append(0.0, times[times > 0]), np.append(at_t0, values[len(earlier) :])
