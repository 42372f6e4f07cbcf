"""A bounded queue and its workers, driven by an injected clock: the part of the server that can be overloaded.

Pure: knows neither HTTP nor an event loop. A job waits, is served, and reports how it ended; it goes on when its client
has disconnected, unless it is cancelled. Tests run it in virtual time and compare it with M/M/c.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from mock_server.profile.server_profile import ServerProfile


class Timer(Protocol):
    """A callback that can be cancelled."""

    def cancel(self) -> object:
        """Makes sure that the callback is not called."""


class Clock(Protocol):
    """Time, and callbacks at a time: the event loop's, or a simulation's."""

    def now(self) -> float:
        """Seconds on a monotonic clock."""

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Calls back with `args` after a delay."""


class JobEnd(StrEnum):
    """How a job ended; the values are labels of the metric `mock_server_shed`."""

    SERVED = "served"
    TIMED_OUT = "queue_timeout"
    EXPIRED = "deadline"
    DROPPED = "dropped"
    CANCELLED = "cancelled"


_SERVED = JobEnd.SERVED
"""Python 3.11 looks up the members of an Enum through its metaclass, several times slower than a global."""


class PoolJob(Protocol):
    """An upload whose body is read and that needs a worker: what the pool asks of it, and what it notes on it."""

    latest_start_s: float | None
    """When the work must begin to be of use; None: at any time."""
    enqueued_s: float
    started_s: float | None
    ended_s: float
    expected_s: float
    timer: Timer | None

    def service_s(self) -> float:
        """How long the worker will need, called when the work begins."""

    def on_end(self, job: Any, end: JobEnd, /) -> None:
        """Called once with the job itself, when it has ended."""

    def is_disconnected(self) -> bool:
        """Whether its client no longer waits for the response."""


@dataclass(slots=True, eq=False)
class Job:
    """A `PoolJob` made of functions."""

    service_s: Callable[[], float]
    on_end: Callable[[Job, JobEnd], None]
    is_disconnected: Callable[[], bool] = lambda: False
    latest_start_s: float | None = None
    enqueued_s: float = 0.0
    started_s: float | None = None
    ended_s: float = 0.0
    expected_s: float = 0.0
    timer: Timer | None = field(default=None, repr=False)

    @property
    def wait_s(self) -> float:
        """Seconds in the queue."""
        return wait_s(self)


def wait_s(job: PoolJob) -> float:
    """Seconds that a job waited in the queue."""
    return (job.ended_s if job.started_s is None else job.started_s) - job.enqueued_s


class WorkerPool:
    """The queue and the workers.

    `on_start` and `on_served` are called with each job that gets a worker, and that its worker has finished.
    """

    def __init__(self, profile: ServerProfile, clock: Clock) -> None:
        self._clock = clock
        # Read for every upload, of which a simulation plays millions, and slow to read from a model of pydantic.
        self._workers, self._queue_capacity = profile.workers, profile.queue_capacity
        self._queue_timeout_s, self._discipline = profile.queue_timeout, profile.discipline
        self._knee, self._slope = profile.contention_knee, profile.contention_slope
        self._queue: OrderedDict[PoolJob, None] = OrderedDict()
        """In the order of arrival; a dict, so that any job can leave in constant time."""
        self._busy: set[PoolJob] = set()
        self.on_start: Callable[[PoolJob], None] | None = None
        self.on_served: Callable[[PoolJob], None] | None = None
        self.mean_service_s: float = profile.service_time.quantile(0.5)
        """Exponentially weighted mean of the recent service times."""

    def now(self) -> float:
        """Seconds on the pool's clock."""
        return self._clock.now()

    @property
    def depth(self) -> int:
        """Jobs that wait."""
        return len(self._queue)

    @property
    def busy(self) -> int:
        """Busy workers."""
        return len(self._busy)

    @property
    def is_full(self) -> bool:
        """Whether a job submitted now would find neither a worker nor a place in the queue."""
        return self.fullness()()

    def fullness(self) -> Callable[[], bool]:
        """`is_full` as a function: for who asks twice for every upload."""
        busy, workers, queue, capacity = self._busy, self._workers, self._queue, self._queue_capacity
        return lambda: len(busy) >= workers and len(queue) >= capacity

    def expected_wait_s(self) -> float:
        """Seconds that a job submitted now would wait, estimated from the mean of the recent service times."""
        free = self._workers - self.busy
        # Each departure, one per mean / workers on average, brings the job one place forward.
        return 0.0 if free > 0 else (self.depth + 1) * self.mean_service_s / self._workers

    def submit(self, job: PoolJob) -> None:
        """Starts a job, or queues it; the queue is not bounded here (see `Admission`)."""
        job.enqueued_s = now_s = self._clock.now()
        if not self._queue and len(self._busy) < self._workers:  # no overtaking while a worker picks the next
            self._start(job, now_s)
            return
        self._queue[job] = None
        if self._queue_timeout_s is not None:
            job.timer = self._clock.call_later(self._queue_timeout_s, self._leave, job, JobEnd.TIMED_OUT)

    def cancel(self, job: PoolJob) -> None:
        """Removes a job; if it is being served, its worker is free at once."""
        if job in self._busy:
            self._finish(job, JobEnd.CANCELLED)
        else:
            self._leave(job, JobEnd.CANCELLED)

    def drop_disconnected(self) -> int:
        """Drops the waiting jobs whose client has disconnected; returns how many."""
        dropped = [job for job in self._queue if job.is_disconnected()]
        for job in dropped:
            self._leave(job, JobEnd.DROPPED)
        return len(dropped)

    def refuse_all(self) -> None:
        """Drops everything that waits or is being served."""
        for job in tuple(self._queue):
            self._leave(job, JobEnd.DROPPED)
        for job in tuple(self._busy):
            self._finish(job, JobEnd.DROPPED)

    def _leave(self, job: PoolJob, end: JobEnd) -> None:
        if job in self._queue:
            del self._queue[job]
            self._end(job, end)

    def _end(self, job: PoolJob, end: JobEnd) -> None:
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None
        job.ended_s = self._clock.now()
        if self.on_served is not None and end is _SERVED:
            self.on_served(job)
        job.on_end(job, end)

    def _start(self, job: PoolJob, now_s: float) -> None:
        if job.timer is not None:
            job.timer.cancel()
        job.started_s = now_s
        self._busy.add(job)
        if self.on_start is not None:
            self.on_start(job)
        # After the job is among the busy ones: contention counts it.
        expected_s = job.service_s()
        if self._knee is not None:
            expected_s *= 1.0 + self._slope * max(0, self.busy - self._knee)
        job.expected_s = expected_s
        if expected_s <= 0:  # done at once: the clock need not call back
            self._serve(job)
        else:
            job.timer = self._clock.call_later(expected_s, self._serve, job)

    def _serve(self, job: PoolJob) -> None:
        job.timer = None  # it is what has called
        # Not in `_finish`: a cancelled job says nothing about how long services take.
        self.mean_service_s += 0.1 * (job.expected_s - self.mean_service_s)
        self._finish(job, _SERVED)

    def _finish(self, job: PoolJob, end: JobEnd) -> None:
        self._busy.discard(job)
        self._end(job, end)
        # A loop: expired jobs at the head do not take the worker.
        while self._queue and len(self._busy) < self._workers:
            self._start_or_expire(self._next())

    def _start_or_expire(self, job: PoolJob) -> None:
        now_s = self._clock.now()
        if job.latest_start_s is not None and now_s > job.latest_start_s:
            self._end(job, JobEnd.EXPIRED)
        else:
            self._start(job, now_s)

    def _next(self) -> PoolJob:
        discipline = self._discipline
        if discipline == "fifo":
            return self._queue.popitem(last=False)[0]
        # As in Facebook's adaptive LIFO ("Fail at Scale", 2015): FIFO normally, LIFO while the queue builds up,
        # because the latest client is the likeliest to be still waiting.
        overloaded = 2 * len(self._queue) > self._queue_capacity
        if discipline == "lifo" or (discipline == "adaptive_lifo" and overloaded):
            return self._queue.popitem()[0]
        return self._queue.popitem(last=False)[0]
