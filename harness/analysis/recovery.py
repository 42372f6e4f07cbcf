"""How the system comes back after a fault: recovery time, and whether it stays down for good.

Pure functions of three curves: when pages fell due, when they were delivered, when they were given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.summary import Recovery
from harness.run_folder.layout import FaultRecord

if TYPE_CHECKING:
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

GOODPUT_WINDOW_S = 5.0
"""Goodput is held against the pages falling due over this long."""
RECOVERED_GOODPUT_RATIO = 0.95
"""And must be at least this share of them."""
STAYS_DOWN_RATIO = 0.7
"""Goodput below this share of what is possible is down: the greatest goodput over 5 s overrates capacity by its noise."""
SUSTAINABLE_LOAD_RATIO = 1.2
"""Load up to this multiple of the greatest goodput shown is bearable: a load below capacity shows no more than itself, and both
are counts with their noise (a tenth each, with a hundred stations in 5 s)."""


@dataclass(frozen=True, slots=True)
class PageEvents:
    """Moments in seconds since T0, each sorted upwards."""

    due_s: FloatArray
    """A page fell due: its station turned up."""
    delivered_s: FloatArray
    """A page was acknowledged in time, for the first time."""
    given_up_s: FloatArray
    """A page that had fallen due was given up."""
    end_s: float
    """The end of what can be seen: no attempt was made after it."""

    def backlog(self, at_s: FloatArray) -> IntArray:
        """Pages due and neither delivered nor given up, at moments of shape (n,); an event counts from its moment."""
        counts: IntArray = (
            _count_until(self.due_s, at_s) - _count_until(self.delivered_s, at_s) - _count_until(self.given_up_s, at_s)
        )
        return counts

    def keeps_up(self, at_s: FloatArray) -> BoolArray:
        """Whether goodput over the 5 s before each moment is at least 95 % of the pages that fell due in them."""
        due = _count_within(self.due_s, at_s - GOODPUT_WINDOW_S, at_s)
        delivered = _count_within(self.delivered_s, at_s - GOODPUT_WINDOW_S, at_s)
        enough: BoolArray = delivered >= RECOVERED_GOODPUT_RATIO * due
        return enough


def compute_recoveries(faults: Sequence[FaultRecord], curves: PageEvents) -> list[Recovery]:
    """A recovery for each fault that ended within the run, in the order of their ends."""
    ended = [(fault.end_s, fault) for fault in faults if fault.end_s is not None and fault.end_s < curves.end_s]
    return [compute_recovery(fault, curves) for _, fault in sorted(ended, key=lambda end_and_fault: end_and_fault[0])]


def compute_recovery(fault: FaultRecord, curves: PageEvents) -> Recovery:
    """How the system came back after one fault, which must have ended.

    Recovered is the first moment from the fault's end on at which the backlog is no greater than it was in the 5 s before
    the fault began, and goodput keeps up. A fault that nothing preceded must be recovered from to a backlog of nothing.
    Raises ValueError for a fault without an end.
    """
    if fault.end_s is None:
        message = f"fault {fault.name} has not ended, so there is no recovery from it"
        raise ValueError(message)
    level = _greatest_backlog(curves, fault.start_s - GOODPUT_WINDOW_S, fault.start_s)
    moments = _moments(curves, fault.end_s)
    good = (curves.backlog(moments) <= level) & curves.keeps_up(moments)
    after_s = float(moments[np.argmax(good)]) - fault.end_s if good.any() else None
    return Recovery(
        fault=fault.name,
        ended_s=fault.end_s,
        recovered_after_s=after_s,
        metastable=_stays_down(curves, fault.start_s, fault.end_s) if after_s is None else False,
    )


def _stays_down(curves: PageEvents, start_s: float, end_s: float) -> bool | None:
    """Whether much less is delivered after a fault than is there to do and could be done, with load below capacity.

    Capacity is what the system has shown: the greatest goodput over 5 s before the fault. Nothing shown, or less than
    5 s seen of the time after, and there is no telling (None). A load above it is an overload, and no more is said.
    Bronson et al., HotOS'21.
    """
    seen_s = curves.end_s - end_s
    before = curves.delivered_s[curves.delivered_s <= start_s]
    if seen_s < GOODPUT_WINDOW_S or not len(before):
        return None
    capacity_per_s = float(_count_within(before, before - GOODPUT_WINDOW_S, before).max()) / GOODPUT_WINDOW_S
    after = np.array([end_s]), np.array([curves.end_s])
    due, delivered = int(_count_within(curves.due_s, *after)[0]), int(_count_within(curves.delivered_s, *after)[0])
    work = due + int(curves.backlog(after[0])[0])
    possible = min(capacity_per_s * seen_s, work)
    return due <= SUSTAINABLE_LOAD_RATIO * capacity_per_s * seen_s and delivered < STAYS_DOWN_RATIO * possible


def _greatest_backlog(curves: PageEvents, start_s: float, end_s: float) -> int:
    """Greatest backlog in [start, end); 0 where nothing was due before."""
    due = curves.due_s[(curves.due_s >= start_s) & (curves.due_s < end_s)]
    moments = np.append(due, max(start_s, 0.0)) if end_s > 0 else due
    return int(curves.backlog(moments).max(initial=0))


def _moments(curves: PageEvents, from_s: float) -> FloatArray:
    """Every moment in [from, end] at which backlog or goodput may change, rising."""
    events = np.concatenate([curves.due_s, curves.delivered_s, curves.given_up_s])
    changes = np.concatenate([[from_s], events, events + GOODPUT_WINDOW_S])
    return np.unique(changes[(changes >= from_s) & (changes <= curves.end_s)])


def _count_until(events: FloatArray, at_s: FloatArray) -> IntArray:
    return np.searchsorted(events, at_s, side="right")


def _count_within(events: FloatArray, after_s: FloatArray, until_s: FloatArray) -> IntArray:
    """How many events lie in (after, until]."""
    return _count_until(events, until_s) - _count_until(events, after_s)
