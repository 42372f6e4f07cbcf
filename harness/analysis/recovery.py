"""How the system behaves around its faults: recovery time, metastability, and whether the server fell silent for good.

Recovery is a pure function of three sequences of events: when pages were due, when delivered, when given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.rows import AttemptColumns, Rows
from harness.analysis.summary import Recovery, Silence
from harness.base.model import ANSWERED, OUTCOMES, TIMED_OUT, Outcome
from harness.run_folder.layout import FaultRecord

if TYPE_CHECKING:
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

GOODPUT_WINDOW_S = 5.0
"""Goodput is compared with the pages due over this window."""
RECOVERED_GOODPUT_RATIO = 0.95
"""Recovered goodput is at least this share of the pages due."""
STAYS_DOWN_RATIO = 0.7
"""Goodput below this share of what is possible counts as down. The margin is wide because the greatest goodput over 5 s, which
stands for capacity, overestimates it by its noise."""
SUSTAINABLE_LOAD_RATIO = 1.2
"""Load up to this multiple of the greatest goodput counts as sustainable: a load below capacity shows no more goodput than
itself, and both are noisy counts (about a tenth each, with a hundred stations in 5 s)."""
MIN_UNANSWERED_ATTEMPTS = 3
MIN_SILENCE_S = 1.0
"""Any run with a failure or two can end with fewer unanswered attempts, or a shorter silence."""
UNANSWERED = TIMED_OUT | {Outcome.REFUSED, Outcome.RESET, Outcome.CLOSED, Outcome.TLS_FAILED}
"""Outcomes of attempts that are over without an answer. Attempts in flight, withheld, or failed in the generator prove
nothing about the server."""


@dataclass(frozen=True, slots=True)
class PageEvents:
    """What happened to pages, as times in seconds since T0, each array in ascending order."""

    due_s: FloatArray
    """A page became due: its station arrived."""
    delivered_s: FloatArray
    """A page was acknowledged for the first time, by the deadline."""
    given_up_s: FloatArray
    """A page that was due was given up."""
    end_s: float
    """The end of the observation: no attempt started after it."""

    def backlog(self, at_s: FloatArray) -> IntArray:
        """Number of pages due and neither delivered nor given up at each time, events of that time included."""
        counts: IntArray = (
            _count_until(self.due_s, at_s) - _count_until(self.delivered_s, at_s) - _count_until(self.given_up_s, at_s)
        )
        return counts

    def keeps_up(self, at_s: FloatArray) -> BoolArray:
        """Whether goodput over the 5 s before each time was at least 95 % of the pages that became due in them."""
        due = _count_within(self.due_s, at_s - GOODPUT_WINDOW_S, at_s)
        delivered = _count_within(self.delivered_s, at_s - GOODPUT_WINDOW_S, at_s)
        enough: BoolArray = delivered >= RECOVERED_GOODPUT_RATIO * due  # true when nothing was due
        return enough


def page_events(rows: Rows) -> PageEvents:
    """The events that recovery is computed from, up to the time at which the run stopped starting attempts."""
    return PageEvents(
        due_s=np.sort(rows.station_due_s[rows.station_due_s < rows.stop_s]),
        delivered_s=np.sort(rows.acknowledged_s[rows.acknowledged_s <= rows.record.deadline_s]),
        given_up_s=rows.abandoned_s,
        end_s=rows.stop_s,
    )


def compute_recoveries(faults: Sequence[FaultRecord], events: PageEvents) -> list[Recovery]:
    """The recovery from each fault that ended within the run, in the order of their ends."""
    ended = [(fault.end_s, fault) for fault in faults if fault.end_s is not None and fault.end_s < events.end_s]
    return [compute_recovery(fault, events) for _, fault in sorted(ended, key=lambda end_and_fault: end_and_fault[0])]


def compute_recovery(fault: FaultRecord, events: PageEvents) -> Recovery:
    """How the system recovered from one fault, which must have ended.

    Recovered is the first time, from the end of the fault on, at which the backlog is no greater than in the 5 s before the
    fault began and goodput keeps up. If nothing was due before the fault, the backlog must come down to 0. Raises ValueError
    for a fault without an end.
    """
    if fault.end_s is None:
        message = f"fault {fault.name} has not ended, so there is no recovery from it"
        raise ValueError(message)
    level = _max_backlog(events, fault.start_s - GOODPUT_WINDOW_S, fault.start_s)
    times = _times_of_change(events, fault.end_s)
    good = (events.backlog(times) <= level) & events.keeps_up(times)
    after_s = float(times[np.argmax(good)]) - fault.end_s if good.any() else None
    return Recovery(
        fault=fault.name,
        ended_s=fault.end_s,
        recovered_after_s=after_s,
        metastable=_stays_down(events, fault.start_s, fault.end_s) if after_s is None else False,
    )


def _stays_down(events: PageEvents, start_s: float, end_s: float) -> bool | None:
    """Whether, at a load below capacity, much less is delivered after a fault than could be (Bronson et al., HotOS'21).

    Capacity is what the system has shown: its greatest goodput over 5 s before the fault. None if it has shown nothing, or
    less than 5 s of the time after the fault was observed. A load above capacity is an overload, not a metastable failure.
    """
    observed_s = events.end_s - end_s
    before = events.delivered_s[events.delivered_s <= start_s]
    if observed_s < GOODPUT_WINDOW_S or not len(before):
        return None
    capacity_per_s = float(_count_within(before, before - GOODPUT_WINDOW_S, before).max()) / GOODPUT_WINDOW_S
    after = np.array([end_s]), np.array([events.end_s])
    due, delivered = int(_count_within(events.due_s, *after)[0]), int(_count_within(events.delivered_s, *after)[0])
    work = due + int(events.backlog(after[0])[0])
    # A system that has delivered all there was to do is not down, however far that is below its capacity.
    possible = min(capacity_per_s * observed_s, work)
    return due <= SUSTAINABLE_LOAD_RATIO * capacity_per_s * observed_s and delivered < STAYS_DOWN_RATIO * possible


def _max_backlog(events: PageEvents, start_s: float, end_s: float) -> int:
    """The greatest backlog in [start, end); 0 if nothing was due before."""
    # The backlog only grows when a page becomes due, so these times and the start are enough to look at.
    due = events.due_s[(events.due_s >= start_s) & (events.due_s < end_s)]
    times = np.append(due, max(start_s, 0.0)) if end_s > 0 else due
    return int(events.backlog(times).max(initial=0))


def _times_of_change(events: PageEvents, from_s: float) -> FloatArray:
    """Every time in [from, end] at which backlog or goodput may change, in ascending order."""
    times = np.concatenate([events.due_s, events.delivered_s, events.given_up_s])
    changes = np.concatenate([[from_s], times, times + GOODPUT_WINDOW_S])  # an event leaves the window 5 s later
    return np.unique(changes[(changes >= from_s) & (changes <= events.end_s)])


def _count_until(events: FloatArray, at_s: FloatArray) -> IntArray:
    return np.searchsorted(events, at_s, side="right")


def _count_within(events: FloatArray, after_s: FloatArray, until_s: FloatArray) -> IntArray:
    """Number of events in (after, until]."""
    return _count_until(events, until_s) - _count_until(events, after_s)


def find_silence(rows: Rows) -> Silence | None:
    """The silence that a run ended in; None if the server gave usable answers to the end.

    Counts attempts that were sent after the last answer of any kind, an error included, had arrived. Each of those that
    timed out shows by itself that the silence lasted as long as the client's timeout. If the server went on to answer, but
    with nothing that a client can use (malformed, or broken off after the status), counts from the last usable answer on.
    """
    attempts = rows.attempts
    usable, unanswered = attempts.ended_as(ANSWERED), attempts.ended_as(UNANSWERED)
    unusable = attempts.ended_as({Outcome.MALFORMED}) | (unanswered & (attempts.status > 0))
    return _silence_after(attempts, usable | unusable, unanswered & ~unusable) or _silence_after(
        attempts, usable, unanswered | unusable
    )


def _silence_after(attempts: AttemptColumns, answered: BoolArray, failed: BoolArray) -> Silence | None:
    """The time after the last of the `answered` attempts, if enough attempts `failed` in it for long enough."""
    since_s = float(attempts.done_s[answered].max()) if answered.any() else None
    after = failed & (attempts.sent_s >= (0.0 if since_s is None else since_s))
    if int(after.sum()) < MIN_UNANSWERED_ATTEMPTS:
        return None
    until_s = float(attempts.done_s[after].max())
    lasted_s = until_s - (float(attempts.sent_s[after].min()) if since_s is None else since_s)
    if lasted_s < MIN_SILENCE_S:
        return None
    outcomes, statuses = np.bincount(attempts.outcome[after]), np.bincount(attempts.status[after])
    by_outcome = {str(OUTCOMES[index]): int(outcomes[index]) for index in np.flatnonzero(outcomes)}
    by_status = {int(status): int(statuses[status]) for status in np.flatnonzero(statuses) if status}
    return Silence(
        since_s=since_s,
        until_s=until_s,
        attempts=int(after.sum()),
        by_outcome=dict(sorted(by_outcome.items(), key=lambda item: -item[1])),
        by_status=dict(sorted(by_status.items(), key=lambda item: -item[1])),
    )
