"""When to refuse an upload at once instead of letting it wait, and what pause to ask for.

Pure: reads the time from the pool. The two adaptive limits on concurrency (how many uploads may be in the server at
once, derived from how long they take) follow Netflix's concurrency-limits, without its smoothing and probing options
that docs/reference/mock-server.md does not name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Protocol

from mock_server.overload.worker_pool import PoolJob, WorkerPool, wait_s
from mock_server.profile.server_profile import ServerProfile

INITIAL_LIMIT = 20
_PROBE_EVERY = 30


class ConcurrencyLimit(Protocol):
    """A limit that adapts to measured times."""

    @property
    def value(self) -> int:
        """Uploads that may be in the server now, at least 1."""

    def sample(self, rtt_s: float, in_flight: int) -> None:
        """Adapts to an upload that took `rtt_s` while `in_flight` were in the server."""


class VegasLimit:
    """TCP Vegas' rule: the queue is estimated from how much longer an upload took than the shortest one.

    q = ceil(L * (1 - rtt0 / rtt)); L grows while q is below alpha = 3 log10 L and shrinks above beta = 6 log10 L.
    """

    def __init__(self, max_limit: int) -> None:
        self._max_limit = max_limit
        self._limit = float(min(INITIAL_LIMIT, max_limit))
        self._shortest_s = math.inf
        self._samples = 0

    @property
    def value(self) -> int:
        """Uploads that may be in the server now, at least 1."""
        return max(1, int(self._limit))

    def sample(self, rtt_s: float, in_flight: int) -> None:
        """Adapts; an upload of a server less than half full shows nothing about its limit."""
        self._samples += 1
        if self._samples >= _PROBE_EVERY * self.value:
            self._samples, self._shortest_s = 0, math.inf  # the shortest time may be outdated: measure it again
        if rtt_s < self._shortest_s:
            self._shortest_s = rtt_s  # a new minimum shows no queue: nothing to adapt
            return
        if in_flight * 2 < self._limit:
            return
        step = max(1.0, math.log10(self._limit))  # at least 1, or a limit below 10 could never grow
        queue = math.ceil(self._limit * (1 - self._shortest_s / rtt_s))
        if queue <= step:
            self._limit += 6 * step
        elif queue < 3 * step:
            self._limit += step
        elif queue > 6 * step:
            self._limit -= step
        self._limit = min(float(self._max_limit), max(1.0, self._limit))


class Gradient2Limit:
    """The limit shrinks by the ratio of the long-term to the latest time, and always tries four more.

    g = clamp(long / short, 0.5, 1); L = 0.8 L + 0.2 (g L + 4).
    """

    _WINDOW = 600

    def __init__(self, max_limit: int) -> None:
        self._max_limit = max_limit
        self._limit = float(min(INITIAL_LIMIT, max_limit))
        self._long_s = 0.0
        self._samples = 0

    @property
    def value(self) -> int:
        """Uploads that may be in the server now, at least 1."""
        return max(1, int(self._limit))

    def sample(self, rtt_s: float, in_flight: int) -> None:
        """Adapts; an upload of a server less than half full changes the long-term time only."""
        self._samples += 1
        share = 1 / min(self._samples, self._WINDOW)  # a plain mean at first, then an exponential one
        self._long_s += share * (rtt_s - self._long_s)
        if rtt_s > 0 and self._long_s / rtt_s > 2:
            self._long_s *= 0.95  # the load has gone: forget its times faster
        if in_flight < self._limit / 2 or rtt_s <= 0:
            return
        gradient = min(1.0, max(0.5, self._long_s / rtt_s))
        self._limit = 0.8 * self._limit + 0.2 * (gradient * self._limit + 4)
        self._limit = min(float(self._max_limit), max(1.0, self._limit))


class SheddingPolicy:
    """queue_full: refuses when the queue is full; the base of policies that refuse earlier."""

    def refusal(self, pool: WorkerPool, client_timeout_s: float | None) -> str | None:  # noqa: ARG002
        """Why an upload is refused now (a label for the metric), or None."""
        return "queue_full" if pool.is_full else None

    def refusal_of(self, pool: WorkerPool) -> Callable[[float | None], str | None]:
        """`refusal` for one pool."""
        if type(self) is SheddingPolicy:  # asked twice for every upload: without a method of its own in between
            is_full = pool.fullness()
            return lambda _client_timeout_s: "queue_full" if is_full() else None
        return partial(self.refusal, pool)

    def started(self, pool: WorkerPool, job: PoolJob) -> None:
        """Called when a job has got a worker."""

    def served(self, pool: WorkerPool, job: PoolJob) -> None:
        """Called when a job is served."""


class AdmitAllPolicy(SheddingPolicy):
    """none: every upload waits."""

    def refusal(self, pool: WorkerPool, client_timeout_s: float | None) -> str | None:  # noqa: ARG002
        """Never refuses."""
        return None


class CodelPolicy(SheddingPolicy):
    """codel: refuses while even the shortest wait of the last interval was longer than the target.

    After CoDel (RFC 8289), which drops from the queue what this refuses at its entrance.
    """

    def __init__(self, target_s: float, interval_s: float) -> None:
        self._target_s = target_s
        self._interval_s = interval_s
        self._shortest_s = math.inf
        self._end_s = 0.0
        self._refuses = False

    def refusal(self, pool: WorkerPool, client_timeout_s: float | None) -> str | None:
        """Refuses while the queue is a standing one."""
        self._roll(pool)
        return "codel" if self._refuses and pool.depth else super().refusal(pool, client_timeout_s)

    def started(self, pool: WorkerPool, job: PoolJob) -> None:
        """Notes the wait."""
        self._roll(pool)
        self._shortest_s = min(self._shortest_s, wait_s(job))

    def _roll(self, pool: WorkerPool) -> None:
        now = pool.now()
        if now < self._end_s:
            return
        # No wait in a whole interval though jobs are queued: the workers are stuck, which is a standing queue too.
        stuck = math.isinf(self._shortest_s) and pool.depth > 0 and self._end_s > 0
        self._refuses = stuck or self._target_s < self._shortest_s < math.inf
        self._end_s = now + self._interval_s
        self._shortest_s = math.inf


class DeadlinePolicy(SheddingPolicy):
    """deadline: refuses uploads that could not be answered within their client's Upload-Timeout."""

    def refusal(self, pool: WorkerPool, client_timeout_s: float | None) -> str | None:
        """Refuses if the current wait and service time are together longer than the client waits."""
        if client_timeout_s is not None and pool.expected_wait_s() + pool.mean_service_s > client_timeout_s:
            return "deadline"
        return super().refusal(pool, client_timeout_s)


class AdaptiveLimitPolicy(SheddingPolicy):
    """vegas, gradient2: refuses when as many uploads are in the server as its adaptive limit allows."""

    def __init__(self, name: str, limit: ConcurrencyLimit) -> None:
        self._name = name
        self.limit = limit

    def refusal(self, pool: WorkerPool, client_timeout_s: float | None) -> str | None:
        """Refuses above the limit."""
        # What waits counts too: the limit is on uploads in the server, as seen by their client.
        above = pool.depth + pool.busy >= self.limit.value
        return self._name if above else super().refusal(pool, client_timeout_s)

    def served(self, pool: WorkerPool, job: PoolJob) -> None:
        """Adapts the limit."""
        self.limit.sample(job.ended_s - job.enqueued_s, pool.depth + pool.busy + 1)  # + 1: the job itself has left


def shedding_policy(profile: ServerProfile) -> SheddingPolicy:
    """The policy that `shed` selects."""
    if profile.shed == "none":
        return AdmitAllPolicy()
    if profile.shed == "codel":
        return CodelPolicy(profile.codel_target, profile.codel_interval)
    if profile.shed == "deadline":
        return DeadlinePolicy()
    if profile.shed == "vegas":
        return AdaptiveLimitPolicy("vegas", VegasLimit(profile.concurrency_limit))
    if profile.shed == "gradient2":
        return AdaptiveLimitPolicy("gradient2", Gradient2Limit(profile.concurrency_limit))
    return SheddingPolicy()


class Admission:
    """Decides about each upload twice: before its body is read, and before it joins the queue."""

    def __init__(self, profile: ServerProfile, pool: WorkerPool) -> None:
        self._profile = profile
        self._pool = pool
        self._sheds_by_deadline = profile.shed == "deadline"
        self._policy = shedding_policy(profile)
        policy = self._policy
        self.refusal: Callable[[float | None], str | None] = policy.refusal_of(pool)
        """Why an upload whose client waits so long (None: not known) is refused now, a label for the metric; None if it is not."""
        if type(policy).started is not SheddingPolicy.started:
            pool.on_start = lambda job: policy.started(pool, job)
        if type(policy).served is not SheddingPolicy.served:
            pool.on_served = lambda job: policy.served(pool, job)

    def latest_start_s(self, client_timeout_s: float | None) -> float | None:
        """When the work on an upload must begin for its response to be in time; None if there is no limit."""
        if not self._sheds_by_deadline or client_timeout_s is None:
            return None
        return self._pool.now() + client_timeout_s - self._pool.mean_service_s

    def retry_after_s(self, draw: Callable[[], float]) -> float | None:
        """The pause that a refusal asks for; `draw` gives a uniform random number, if the pause is a jittered one."""
        profile = self._profile
        if profile.retry_after == "none":
            return None
        if profile.retry_after == "queue_estimate":  # when a place will be free, if no one else comes
            return self._pool.expected_wait_s()
        return profile.retry_after_time * (1 + (draw() if profile.retry_after == "jittered" else 0))
