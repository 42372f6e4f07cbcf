"""`circuit_breaker`: closed, open after too many failures, half-open for one trial.

Resilience4j's CircuitBreaker with a count-based window: it opens when at least `minimum_calls` of the latest
`window_calls` attempts are known and the share of failures is `failure_ratio` or more; after `open_for` one attempt is a trial
that closes it again or opens it for as long once more. The counting begins anew whenever it changes.
"""

from __future__ import annotations

from collections import deque

from harness.base.model import Outcome
from harness.scenario.retry import CircuitBreakerRetry
from harness.station.retry.backoff import full_jitter_s
from harness.station.retry.rng import RandomSource
from harness.station.retry.strategy import SERVED, FailedAttempt, RetryStrategy


class CircuitBreaker(RetryStrategy):
    """Withholds while open; while closed it retries after U(0, v)."""

    def __init__(self, config: CircuitBreakerRetry, rng: RandomSource) -> None:
        """`rng` is the station's own, so that stations don't share their luck."""
        self._config = config
        self._rng = rng
        self._failures: deque[bool] = deque(maxlen=config.window_calls)
        self._open_until_s: float | None = None

    def before(self, now_s: float, attempts: int) -> float | None:  # noqa: ARG002
        """Send while closed, or as the trial once it has been open for long enough."""
        if self._open_until_s is not None and now_s < self._open_until_s:
            return self._open_until_s
        return None

    def ended(self, outcome: Outcome, now_s: float) -> None:
        """Count it. A rejection is an answer: it is no failure of the server's."""
        failed = outcome not in SERVED
        if self._open_until_s is not None:  # this was the trial
            self._open_until_s = now_s + self._config.open_for if failed else None
            return
        self._failures.append(failed)
        known = len(self._failures)
        if known >= self._config.minimum_calls and sum(self._failures) / known >= self._config.failure_ratio:
            self._open_until_s = now_s + self._config.open_for
            self._failures.clear()

    def pause(self, failure: FailedAttempt) -> float:
        """Between nothing and v."""
        return full_jitter_s(self._config, failure.attempts - 1, self._rng)
