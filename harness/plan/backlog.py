"""The arithmetic of a backlog: the least capacity that can work off a load by its deadline, and the earliest possible end.

Lower bounds, in the fluid limit: whatever arrives at or after some moment has to be worked off between that moment and the
deadline, so the capacity is at least the greatest of all (work from then on) ÷ (time from then on). No order of service, no
retry and no queue can do with less; a real server needs more. Works are known one by one; the times are in seconds from T0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

_ROUNDING = 1e-9
"""A need of 4.0000000001 workers is one of 4: the fraction is a rounding error."""


@dataclass(frozen=True, slots=True)
class Slowdown:
    """A time in which work that starts goes at `factor` of the full speed."""

    start_s: float
    end_s: float
    """+infinity if it lasts."""
    factor: float


class WorkerSpeed:
    """How much work one worker can do in an interval, at most, if its speed changes with time.

    A job keeps the speed at which it started (as in the mock server), so one that starts just before a slowdown gets through
    at its old speed. That is at most one job per worker and slowdown, and what it gains is at most its own work: `longest`.
    """

    def __init__(self, slowdowns: Sequence[Slowdown] = (), longest: float = 0.0) -> None:
        """`longest` is the greatest work of a single job, in seconds at full speed."""
        edges = sorted({0.0, *(edge for one in slowdowns for edge in (one.start_s, one.end_s) if math.isfinite(edge))})
        self._edges = np.array(edges)
        self._factor = np.array(
            [math.prod(one.factor for one in slowdowns if one.start_s <= edge < one.end_s) for edge in edges]
        )
        self._done = np.concatenate([[0.0], np.cumsum(np.diff(self._edges) * self._factor[:-1])])
        gains = [0.0, *(self._gain(number, longest) for number in range(1, len(edges)))]
        self._gained = np.cumsum(gains)

    @property
    def fastest(self) -> float:
        """The greatest factor that ever holds: no work of a second is done in less than 1 ÷ this."""
        return float(self._factor.max())

    def _gain(self, number: int, longest: float) -> float:
        """What a job that straddles an edge gains by having started before it."""
        drop = float(self._factor[number - 1] - self._factor[number])
        if drop <= 0 or longest <= 0:
            return 0.0
        # A job that started in a slower segment lasts longer, but it must still be running at this edge.
        ends = self._edges[1 : number + 1]
        lengths = longest / self._factor[:number]
        return drop * float(lengths[ends + lengths > self._edges[number]].max())

    def _segment(self, at_s: FloatArray) -> npt.NDArray[np.int64]:
        return np.clip(np.searchsorted(self._edges, at_s, side="right") - 1, 0, None)

    def _done_by(self, at_s: FloatArray) -> FloatArray:
        """Work from T0 on, jobs that straddle an edge not counted."""
        segment = self._segment(at_s)
        return np.asarray(self._done[segment] + (at_s - self._edges[segment]) * self._factor[segment])

    def work_between(self, from_s: FloatArray, until_s: float) -> FloatArray:
        """The most work that one worker can start and finish from each of these moments until `until_s`."""
        last = np.array([until_s])
        gained = self._gained[self._segment(last)] - self._gained[self._segment(from_s)]
        return np.asarray(np.maximum(0.0, self._done_by(last) - self._done_by(from_s) + gained))

    def earliest_end(self, from_s: FloatArray, work: FloatArray) -> FloatArray:
        """When one worker can have done this much work at the earliest, starting at each of these moments."""
        # All gains to come are counted at once, however early the work ends: the result may only be too early.
        gained = self._gained[-1] - self._gained[self._segment(from_s)]
        target = self._done_by(from_s) + np.maximum(0.0, work - gained)
        segment = np.clip(np.searchsorted(self._done, target, side="right") - 1, 0, None)
        return np.asarray(self._edges[segment] + (target - self._done[segment]) / self._factor[segment])


FULL_SPEED = WorkerSpeed()
"""A worker (or a line, or a disk) whose speed never changes."""


@dataclass(frozen=True, slots=True)
class StationLoad:
    """What stations ask of one resource. Shapes (stations,), in the order of arrival."""

    arrival_s: FloatArray
    work: FloatArray
    """Of all pages of a station; in the unit that the resource does one of per second."""

    def from_then_on(self) -> FloatArray:
        """The work of each station and all that arrive after it."""
        return np.cumsum(self.work[::-1])[::-1]


def least_capacity(load: StationLoad, deadline_s: float, speed: WorkerSpeed = FULL_SPEED) -> float:
    """The least capacity (a number of workers, or units per second) that can do all of a load by the deadline.

    +infinity if nothing can: work arrives with no time left.

    >>> least_capacity(StationLoad(np.array([0.0, 8.0]), np.array([1.0, 4.0])), 10.0)
    2.0
    """
    if not len(load.work):
        return 0.0
    work, possible = load.from_then_on(), speed.work_between(load.arrival_s, deadline_s)
    each = np.divide(work, possible, out=np.where(work > 0, math.inf, 0.0), where=possible > 0)
    return float(each.max())


def least_whole(capacity: float) -> int:
    """The least whole number of workers for a capacity, at least 1.

    >>> least_whole(3.2), least_whole(4.0000000001), least_whole(0.0)
    (4, 4, 1)
    """
    return max(1, math.ceil(capacity - _ROUNDING))


def earliest_finish(load: StationLoad, capacity: float, speed: WorkerSpeed = FULL_SPEED) -> float:
    """When `capacity` can have done all of a load at the earliest, in seconds from T0; 0 without any.

    >>> earliest_finish(StationLoad(np.array([0.0, 8.0]), np.array([1.0, 4.0])), 1.0)
    12.0
    """
    if not len(load.work):
        return 0.0
    return float(speed.earliest_end(load.arrival_s, load.from_then_on() / capacity).max())
