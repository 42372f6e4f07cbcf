"""Where a server fell behind: compared with what fell due, and with what was still outstanding.

Goodput can be as high as the load and the server still fail, because pages from before are waiting; and it can be zero
although nothing falls due any more. So each second is held against both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.chart_types import BacklogLines, ChartLine
from harness.analysis.recovery import page_events
from harness.analysis.rows import Rows

if TYPE_CHECKING:
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]

SHORTFALL_RATIO = 0.8
"""Goodput below this ratio of offered counts as a shortfall; smaller gaps are the noise of random arrivals."""
STALL_RATIO = 0.2
"""Goodput below this ratio of what the backlog allows counts, too. Slow phones at the end of a run come to more than that."""
MIN_WORK_RATIO = 0.2
"""A backlog that allows less than this ratio of the greatest goodput is the tail of a run, not a stall."""
SMOOTHING_S, MIN_SHORTFALL_S = 5.0, 3.0
SMOOTHED_AWAY = 2
"""How many seconds smoothing may hide at each end of a shortfall."""
LAST_PART_RATIO = 0.25
"""The last quarter of the run shows how fast the rest would have been worked off."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A period in which goodput stayed below what was due.

    `ratio` is the pages delivered in it ÷ the pages due in it: those outstanding at its beginning and those that fell due.
    If the backlog was not worked off afterwards, the period lasts to the end of the run.
    """

    start_s: float
    end_s: float
    ratio: float
    caught_up: bool
    missing: float
    """Pages due in it and not delivered."""


def compute_backlog(rows: Rows) -> BacklogLines:
    """The backlog once per second, up to the deadline or the end of the run, from the rows."""
    events = page_events(rows)
    # the last bin is up to two seconds wide: what happens in a sliver of one would not be a rate
    edges = np.append(np.arange(max(int(events.end_s), 1), dtype=np.float64), max(events.end_s, 1.0))
    middles, width_s = (edges[:-1] + edges[1:]) / 2, np.diff(edges)

    def rate(label: str, times: FloatArray) -> ChartLine:
        return ChartLine(label, middles, np.histogram(times, edges)[0] / width_s)

    t_s = np.append(np.arange(np.ceil(events.end_s)), events.end_s)
    given_up = np.searchsorted(events.given_up_s, t_s, side="right").astype(np.float64)
    in_time = rows.acknowledged_s <= rows.record.deadline_s
    waits_s = rows.acknowledged_s[in_time] - rows.station_due_s[in_time]
    part_s = events.end_s * LAST_PART_RATIO
    at_last = int((events.delivered_s > events.end_s - part_s).sum())
    return BacklogLines(
        due=rate("offered", events.due_s),
        delivered=rate("goodput", events.delivered_s),
        outstanding=ChartLine("backlog", t_s, events.backlog(t_s).astype(np.float64)),
        given_up=ChartLine("given up", t_s, given_up),
        typical_wait_s=float(np.median(waits_s)) if len(waits_s) else None,
        last_delivery_s=float(events.delivered_s[-1]) if len(events.delivered_s) else None,
        last_rate_per_s=at_last / part_s if part_s > 0 else 0.0,
    )


def find_shortfalls(backlog: BacklogLines) -> list[Shortfall]:
    """Every shortfall of at least 3 s, the one with the most missing pages first.

    Shortfalls are found in rates smoothed over 5 s, so that noise neither creates one nor splits one in two; their ends
    are taken from the raw rates.
    """
    # a rate or two have no beginning and no end
    if len(backlog.due.t_s) < 3:
        return []
    rates = _Rates(backlog)
    found = []
    # False at both ends, so that a shortfall at the start or end of the run has two edges, too
    short = np.concatenate([[False], rates.is_short(rates.goodput_smooth_per_s), [False]])
    edges = np.flatnonzero(short[1:] != short[:-1])
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        low = rates.find_ends(int(first), int(stop))
        # only the smoothed rate fell short, next to a deeper gap, or it did for a moment
        if low is None:
            continue
        fall = rates.measure(*low)
        if fall.missing > 0:
            found.append(fall)
            # it lasts to the end, so what follows is part of it
            if not fall.caught_up:
                break
    return sorted(found, key=lambda fall: -fall.missing)


class _Rates:
    """Rates and backlog at the same times."""

    def __init__(self, backlog: BacklogLines) -> None:
        self.backlog = backlog.outstanding
        self.t_s = t_s = backlog.due.t_s
        self.offered_per_s, self.goodput_per_s = backlog.due.value, backlog.delivered.value
        self.goodput_smooth_per_s = _smooth(t_s, self.goodput_per_s)
        # a rate holds from halfway to its neighbour on the left to halfway on the right
        halves = np.diff(t_s) / 2
        self.begins_s, self.ends_s = t_s - np.append(halves[:1], halves), t_s + np.append(halves, halves[-1:])
        self.outstanding = np.interp(t_s, self.backlog.t_s, self.backlog.value)
        wait_s = backlog.typical_wait_s or 0.0
        self.offered_smooth_per_s = _smooth(t_s, self.offered_per_s)
        # Little's law: at a steady rate, pages outstanding = rate * wait, so backlog ÷ wait is what they allow
        allowed_per_s = self.outstanding / max(wait_s, SMOOTHING_S)
        shown_per_s = np.maximum.accumulate(self.goodput_smooth_per_s)
        has_work = allowed_per_s >= MIN_WORK_RATIO * shown_per_s
        self.possible_per_s = np.where(has_work, np.minimum(shown_per_s, allowed_per_s), 0.0)
        self.short = self.is_short(self.goodput_per_s)

    def is_short(self, goodput_per_s: FloatArray) -> BoolArray:
        """Where goodput is below what falls due, or far below what the backlog allows."""
        short: BoolArray = (goodput_per_s < SHORTFALL_RATIO * self.offered_smooth_per_s) | (
            goodput_per_s < STALL_RATIO * self.possible_per_s
        )
        return short

    def find_ends(self, first: int, stop: int) -> tuple[int, int] | None:
        """The first and the last short rate of a period in which the smoothed rate is short; None below 3 s."""
        short = self.short
        low = first + np.flatnonzero(short[first:stop])
        if not len(low) or self.ends_s[low[-1]] - self.begins_s[low[0]] < MIN_SHORTFALL_S:
            return None
        begin, end = int(low[0]), int(low[-1])
        # what is made up for right after a shortfall hides its last seconds in the smoothed rate
        for _ in range(SMOOTHED_AWAY):
            begin -= bool(begin > 0 and short[begin - 1])
            end += bool(end + 1 < len(short) and short[end + 1])
        return begin, end

    def measure(self, first: int, last: int) -> Shortfall:
        """The shortfall from the rate numbered `first` to the one numbered `last`."""
        caught_up = self._catches_up(first, last)
        if not caught_up:
            last = max(last, int(np.searchsorted(self.t_s, self.backlog.t_s[-1])) - 1)
        start_s, chosen = float(self.begins_s[first]), slice(first, last + 1)
        width_s = (self.ends_s - self.begins_s)[chosen]
        delivered = float((self.goodput_per_s[chosen] * width_s).sum())
        outstanding = float(np.interp(start_s, self.backlog.t_s, self.backlog.value))
        due = outstanding + float((self.offered_per_s[chosen] * width_s).sum())
        ratio = delivered / due if due > 0 else 1.0
        return Shortfall(start_s, float(self.ends_s[last]), ratio, caught_up, due - delivered)

    def _catches_up(self, first: int, last: int) -> bool:
        """Whether the backlog comes back to its level before, or to a few seconds' work, between the end and the deadline."""
        start_s = float(self.begins_s[first])
        before = (self.backlog.t_s >= start_s - SMOOTHING_S) & (self.backlog.t_s <= start_s)
        level = float(np.max(self.backlog.value[before], initial=0.0))
        after = (self.t_s > self.t_s[last]) & (self.t_s <= self.backlog.t_s[-1])
        work = np.maximum(level, self.goodput_smooth_per_s[after] * SMOOTHING_S)
        return bool((self.outstanding[after] <= work).any()) or bool(self.backlog.value[-1] <= level)


def _smooth(t_s: FloatArray, value: FloatArray) -> FloatArray:
    """Centred moving average over 5 s."""
    first = np.searchsorted(t_s, t_s - SMOOTHING_S / 2, side="left")
    last = np.searchsorted(t_s, t_s + SMOOTHING_S / 2, side="right")
    sums = np.concatenate([[0.0], np.cumsum(value)])
    mean: FloatArray = (sums[last] - sums[first]) / (last - first)
    return mean
