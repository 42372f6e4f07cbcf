"""`exponential`, `equal_jitter`, `full_jitter` and `outbox`: pauses that grow with a page's attempts and know nothing else."""

from __future__ import annotations

from harness.scenario.retry import EqualJitterRetry, ExponentialRetry, FullJitterRetry, OutboxRetry
from harness.station.retry.backoff import equal_jitter_s, exponential_s, full_jitter_s
from harness.station.retry.rng import RandomSource
from harness.station.retry.strategy import FailedAttempt, RetryStrategy


class ExponentialBackoff(RetryStrategy):
    """Waits v."""

    def __init__(self, config: ExponentialRetry, rng: RandomSource) -> None:  # noqa: ARG002
        """No luck in it."""
        self._config = config

    def pause(self, failure: FailedAttempt) -> float:
        """All of v."""
        return exponential_s(self._config, failure.attempts - 1)


class EqualJitter(RetryStrategy):
    """Waits v/2 + U(0, v/2)."""

    def __init__(self, config: EqualJitterRetry, rng: RandomSource) -> None:
        """`rng` is the station's own, so that stations don't share their luck."""
        self._config = config
        self._rng = rng

    def pause(self, failure: FailedAttempt) -> float:
        """Between half of v and v."""
        return equal_jitter_s(self._config, failure.attempts - 1, self._rng)


class FullJitter(RetryStrategy):
    """Waits U(0, v). As `outbox` it has other options: spread, Retry-After always, no end but the deadline.

    The outbox is the officers' own workaround: plain photos kept on the phone, uploaded once the server works again.
    """

    def __init__(self, config: FullJitterRetry | OutboxRetry, rng: RandomSource) -> None:
        """`rng` is the station's own, so that stations don't share their luck."""
        self._config = config
        self._rng = rng

    def pause(self, failure: FailedAttempt) -> float:
        """Between nothing and v."""
        return full_jitter_s(self._config, failure.attempts - 1, self._rng)
