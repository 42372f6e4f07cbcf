"""`adaptive_throttle`: an attempt is withheld with probability max(0, (requests - K·accepts)/(requests + 1)).

Google, "Site Reliability Engineering", chapter 21, "Handling Overload", client-side throttling: over the last two minutes,
`requests` are all that the application asked for (those withheld too, counted before sending) and `accepts` those that the
server took. Google's client fails a request that it throttles; a station asks again after a pause that grows.
"""

from __future__ import annotations

from collections import deque

from harness.base.model import Outcome
from harness.scenario.retry import MIN_PAUSE_S, AdaptiveThrottleRetry
from harness.station.retry.backoff import full_jitter_s
from harness.station.retry.rng import RandomSource
from harness.station.retry.strategy import SERVED, FailedAttempt, RetryStrategy


class AdaptiveThrottle(RetryStrategy):
    """Asks less of a server that takes less, and retries after U(0, v)."""

    def __init__(self, config: AdaptiveThrottleRetry, rng: RandomSource) -> None:
        """`rng` is the station's own, so that stations don't share their luck."""
        self._config = config
        self._rng = rng
        self._requests: deque[float] = deque()
        self._accepts: deque[float] = deque()
        self._withheld = 0

    def probability(self, now_s: float) -> float:
        """How likely an attempt is to be withheld now."""
        for moments in (self._requests, self._accepts):
            while moments and moments[0] <= now_s - self._config.window:
                moments.popleft()
        requests, accepts = len(self._requests), len(self._accepts)
        return max(0.0, (requests - self._config.k * accepts) / (requests + 1))

    def before(self, now_s: float, attempts: int) -> float | None:  # noqa: ARG002
        """Send, or withhold for U(0, v), n counting those withheld one after another."""
        probability = self.probability(now_s)
        self._requests.append(now_s)
        if self._rng.random() >= probability:
            self._withheld = 0
            return None
        self._withheld += 1
        return now_s + max(MIN_PAUSE_S, full_jitter_s(self._config, self._withheld - 1, self._rng))

    def ended(self, outcome: Outcome, now_s: float) -> None:
        """Count what the server took; one that answers with a rejection has taken the request all the same."""
        if outcome in SERVED:
            self._accepts.append(now_s)

    def pause(self, failure: FailedAttempt) -> float:
        """Between nothing and v."""
        return full_jitter_s(self._config, failure.attempts - 1, self._rng)
