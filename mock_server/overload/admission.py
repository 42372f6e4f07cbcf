"""When to refuse an upload at once instead of letting it wait, and what pause to ask for."""

from __future__ import annotations

import math

from mock_server.overload.concurrency_limits import ConcurrencyLimit, Gradient2Limit, VegasLimit
from mock_server.overload.worker_pool import Job, WorkerPool
from mock_server.profile.profile import ServerProfile


class SheddingPolicy:
    """Refuses when the queue is full; the base of what refuses earlier."""

    def refusal(self, pool: WorkerPool, client_timeout_s: float | None) -> str | None:  # noqa: ARG002
        """Why an upload is refused now (a label for the metric), or None."""
        return "queue_full" if pool.is_full else None

    def started(self, pool: WorkerPool, job: Job) -> None:
        """Learns that a job has found a worker."""

    def served(self, pool: WorkerPool, job: Job) -> None:
        """Learns that a job is done."""


class AdmitAllPolicy(SheddingPolicy):
    """none: everything waits."""

    def refusal(self, pool: WorkerPool, client_timeout_s: float | None) -> str | None:  # noqa: ARG002
        """Never refuses."""
        return None


class CodelPolicy(SheddingPolicy):
    """codel: refuses while even the luckiest upload of the last interval waited longer than the target."""

    def __init__(self, target_s: float, interval_s: float) -> None:
        self._target_s = target_s
        self._interval_s = interval_s
        self._least_s = math.inf
        self._end_s = 0.0
        self._refuses = False

    def refusal(self, pool: WorkerPool, client_timeout_s: float | None) -> str | None:
        """Refuses while there is a standing queue."""
        self._roll(pool)
        return "codel" if self._refuses and pool.depth else super().refusal(pool, client_timeout_s)

    def started(self, pool: WorkerPool, job: Job) -> None:
        """Notes the wait."""
        self._roll(pool)
        self._least_s = min(self._least_s, job.wait_s)

    def _roll(self, pool: WorkerPool) -> None:
        now = pool.now()
        if now < self._end_s:
            return
        stuck = math.isinf(self._least_s) and pool.depth > 0 and self._end_s > 0
        self._refuses = stuck or self._target_s < self._least_s < math.inf
        self._end_s = now + self._interval_s
        self._least_s = math.inf


class DeadlinePolicy(SheddingPolicy):
    """deadline: refuses what could not be answered before its client's Upload-Timeout."""

    def refusal(self, pool: WorkerPool, client_timeout_s: float | None) -> str | None:
        """Refuses if wait and service, as they are now, take longer than the client has."""
        if client_timeout_s is not None and pool.expected_wait_s() + pool.mean_service_s > client_timeout_s:
            return "deadline"
        return super().refusal(pool, client_timeout_s)


class AdaptiveLimitPolicy(SheddingPolicy):
    """vegas, gradient2: refuses when more uploads are in the server than the limit it has found."""

    def __init__(self, name: str, limit: ConcurrencyLimit) -> None:
        self._name = name
        self.limit = limit

    def refusal(self, pool: WorkerPool, client_timeout_s: float | None) -> str | None:
        """Refuses above the limit."""
        above = pool.depth + pool.busy >= self.limit.value
        return self._name if above else super().refusal(pool, client_timeout_s)

    def served(self, pool: WorkerPool, job: Job) -> None:
        """Teaches the limit."""
        self.limit.sample(job.ended_s - job.enqueued_s, pool.depth + pool.busy + 1)


def shedding_policy(profile: ServerProfile) -> SheddingPolicy:
    """The policy that the profile's `shed` names."""
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
    """Asked twice for each upload: before its body is read, and before it joins the queue."""

    def __init__(self, profile: ServerProfile, pool: WorkerPool) -> None:
        self._profile = profile
        self._pool = pool
        self._policy = shedding_policy(profile)
        pool.on_start = lambda job: self._policy.started(pool, job)
        pool.on_served = lambda job: self._policy.served(pool, job)

    def refusal(self, client_timeout_s: float | None = None) -> str | None:
        """Why an upload is refused now (a label for the metric), or None."""
        return self._policy.refusal(self._pool, client_timeout_s)

    def latest_start_s(self, client_timeout_s: float | None) -> float | None:
        """When the work on an upload must have begun to be answered in time; None if nobody cares."""
        if self._profile.shed != "deadline" or client_timeout_s is None:
            return None
        return self._pool.now() + client_timeout_s - self._pool.mean_service_s

    def retry_after_s(self, draw: float) -> float | None:
        """The pause that a refusal asks for; `draw` is a uniform number for the jittered one."""
        profile = self._profile
        if profile.retry_after == "none":
            return None
        if profile.retry_after == "queue_estimate":
            return self._pool.expected_wait_s()
        return profile.retry_after_time * (1 + (draw if profile.retry_after == "jittered" else 0))
