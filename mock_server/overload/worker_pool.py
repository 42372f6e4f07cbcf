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


@dataclass(slots=True, eq=False)
class Job:
    """An upload whose body is read and that needs a worker."""

    service_s: Callable[[], float]
    """How long the worker will need, called when the work begins."""
    on_end: Callable[[Job, JobEnd], None]
    is_disconnected: Callable[[], bool] = lambda: False
    """Whether its client no longer waits for the response."""
    latest_start_s: float | None = None
    """When the work must begin to be of use; None: at any time."""
    enqueued_s: float = 0.0
    started_s: float | None = None
    ended_s: float = 0.0
    expected_s: float = 0.0
    timer: Timer | None = field(default=None, repr=False)

    @property
    def wait_s(self) -> float:
        """Seconds in the queue."""
        return (self.ended_s if self.started_s is None else self.started_s) - self.enqueued_s


class WorkerPool:
    """The queue and the workers.

    `on_start` and `on_served` are called with each job that gets a worker, and that its worker has finished.
    """

    def __init__(self, profile: ServerProfile, clock: Clock) -> None:
        self._profile = profile
        self._clock = clock
        self._queue: OrderedDict[Job, None] = OrderedDict()
        """In the order of arrival; a dict, so that any job can leave in constant time."""
        self._busy: set[Job] = set()
        self.on_start: Callable[[Job], None] = lambda _job: None
        self.on_served: Callable[[Job], None] = lambda _job: None
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
        return self.busy >= self._profile.workers and self.depth >= self._profile.queue_capacity

    def expected_wait_s(self) -> float:
        """Seconds that a job submitted now would wait, estimated from the mean of the recent service times."""
        free = self._profile.workers - self.busy
        # Each departure, one per mean / workers on average, brings the job one place forward.
        return 0.0 if free > 0 else (self.depth + 1) * self.mean_service_s / self._profile.workers

    def submit(self, job: Job) -> None:
        """Starts a job, or queues it; the queue is not bounded here (see `Admission`)."""
        job.enqueued_s = self._clock.now()
        if self.busy < self._profile.workers and not self._queue:  # no overtaking while a worker picks the next
            self._start(job)
            return
        self._queue[job] = None
        if self._profile.queue_timeout is not None:
            job.timer = self._clock.call_later(self._profile.queue_timeout, self._leave, job, JobEnd.TIMED_OUT)

    def cancel(self, job: Job) -> None:
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

    def _leave(self, job: Job, end: JobEnd) -> None:
        if job in self._queue:
            del self._queue[job]
            self._end(job, end)

    def _end(self, job: Job, end: JobEnd) -> None:
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None
        job.ended_s = self._clock.now()
        if end is JobEnd.SERVED:
            self.on_served(job)
        job.on_end(job, end)

    def _start(self, job: Job) -> None:
        if job.timer is not None:
            job.timer.cancel()
        job.started_s = self._clock.now()
        self._busy.add(job)
        self.on_start(job)
        # After the job is among the busy ones: contention counts it.
        job.expected_s = job.service_s() * self._contention()
        if job.expected_s <= 0:  # done at once: the clock need not call back
            self._finish(job, JobEnd.SERVED)
        else:
            job.timer = self._clock.call_later(job.expected_s, self._finish, job, JobEnd.SERVED)

    def _contention(self) -> float:
        knee = self._profile.contention_knee
        return 1.0 if knee is None else 1.0 + self._profile.contention_slope * max(0, self.busy - knee)

    def _finish(self, job: Job, end: JobEnd) -> None:
        self._busy.discard(job)
        if end is JobEnd.SERVED:  # a cancelled job says nothing about how long services take
            self.mean_service_s += 0.1 * (job.expected_s - self.mean_service_s)
        self._end(job, end)
        # A loop: expired jobs at the head do not take the worker.
        while self._queue and self.busy < self._profile.workers:
            self._start_or_expire(self._next())

    def _start_or_expire(self, job: Job) -> None:
        if job.latest_start_s is not None and self._clock.now() > job.latest_start_s:
            self._end(job, JobEnd.EXPIRED)
        else:
            self._start(job)

    def _next(self) -> Job:
        discipline = self._profile.discipline
        # As in Facebook's adaptive LIFO ("Fail at Scale", 2015): FIFO normally, LIFO while the queue builds up,
        # because the latest client is the likeliest to be still waiting.
        overloaded = 2 * len(self._queue) > self._profile.queue_capacity
        if discipline == "lifo" or (discipline == "adaptive_lifo" and overloaded):
            return self._queue.popitem()[0]
        return self._queue.popitem(last=False)[0]
