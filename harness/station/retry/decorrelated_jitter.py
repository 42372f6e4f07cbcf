"""`decorrelated_jitter`: s = min(cap, U(base, 3s)), s = base to begin with; each page begins anew.

AWS Architecture Blog, "Exponential Backoff And Jitter"; its simulator's class ExpoBackoffDecorr.
"""

from __future__ import annotations

from harness.scenario.retry import DecorrelatedJitterRetry
from harness.station.retry.rng import RandomSource
from harness.station.retry.strategy import FailedAttempt, RetryStrategy


class DecorrelatedJitter(RetryStrategy):
    """Each pause grows from the one before, not from the number of attempts."""

    def __init__(self, config: DecorrelatedJitterRetry, rng: RandomSource) -> None:
        """`rng` is the station's own, so that stations don't share their luck."""
        self._config = config
        self._rng = rng
        self._pause_s = config.base

    def pause(self, failure: FailedAttempt) -> float:
        """The next s."""
        before = self._config.base if failure.attempts == 1 else self._pause_s
        self._pause_s = min(self._config.cap, self._rng.uniform(self._config.base, 3.0 * before))
        return self._pause_s
