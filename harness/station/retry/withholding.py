"""Strategies that also decide whether to send at all: token bucket, retry budget, adaptive throttle, circuit breaker.

All of them retry after U(0, v) while they allow it. Their sources describe clients that make many calls per second and
fail a call that they don't send; a station has three pages and keeps its photo, so the defaults are smaller and a
withheld attempt is postponed, except by the token bucket, which only a delivery can refill.
"""

from __future__ import annotations

from collections import deque
from itertools import takewhile

from harness.base.model import DELIVERED, Outcome
from harness.run_folder.journal import GiveUpReason
from harness.scenario.retry import (
    MIN_PAUSE_S,
    AdaptiveThrottleRetry,
    CircuitBreakerRetry,
    RetryBudgetRetry,
    TokenBucketRetry,
)
from harness.station.retry.backoff import full_jitter_s
from harness.station.retry.rng import RandomSource
from harness.station.retry.strategy import SERVED, FailedAttempt, RetryStrategy

_DECIMALS = 9
"""Tokens are rounded to this, so that ten tenths make a whole token in spite of binary fractions."""
_EPSILON = 1e-9
"""A budget this close to a whole retry allows it: five fifths are 1 in spite of binary fractions."""


class TokenBucket(RetryStrategy):
    """`token_bucket`: a retry costs a token, a delivery earns a tenth of one; without a token the page is given up.

    Marc Brooker, "Fixing retries with token buckets and circuit breakers" (2022), the adaptive strategy. His clients make
    many calls; a station sends three pages, so its bucket holds 3 tokens, not 10.
    """

    __slots__ = ("_config", "_rng", "tokens")
    needs_history = False  # full to begin with, so deliveries before the first failure earn nothing

    def __init__(self, config: TokenBucketRetry, rng: RandomSource) -> None:
        """`rng` is the station's own."""
        self._config = config
        self._rng = rng
        self.tokens = config.capacity

    def after_attempt(self, outcome: Outcome, now_s: float) -> None:  # noqa: ARG002
        """A delivery earns a part of a token, up to the bucket's capacity."""
        if outcome in DELIVERED:
            self.tokens = round(min(self._config.capacity, self.tokens + self._config.earned), _DECIMALS)

    def next_pause(self, failure: FailedAttempt) -> float | GiveUpReason:
        """Pay for the retry, or give the page up."""
        if self.tokens < 1:
            return GiveUpReason.WITHHELD
        self.tokens = round(self.tokens - 1, _DECIMALS)
        return full_jitter_s(self._config, failure.attempts - 1, self._rng)


class RetryBudget(RetryStrategy):
    """`retry_budget`: within a window, retries ≤ ratio · first attempts + reserve; a retry beyond that waits until it fits.

    Finagle's RetryBudget (com.twitter.finagle.service.RetryBudget: 20 % of the requests of 10 s plus a minimum of retries
    per second, in a leaky bucket whose deposits and withdrawals expire); Linkerd has the same. Finagle gives the call up
    when the budget is spent. Its reserve of 10 per second is for all calls of a process, a station's is 0.1 per second.
    """

    __slots__ = ("_config", "_first_attempts", "_reserve", "_retries", "_rng")

    def __init__(self, config: RetryBudgetRetry, rng: RandomSource) -> None:
        """`rng` is the station's own."""
        self._config = config
        self._rng = rng
        self._reserve = config.reserve_per_s * config.window
        self._first_attempts: deque[float] = deque()
        self._retries: deque[float] = deque()

    def balance(self, now_s: float) -> float:
        """How many retries could be made now."""
        window_s = self._config.window
        earned = self._config.ratio * _count_recent(self._first_attempts, window_s, now_s)
        return self._reserve + earned - _count_recent(self._retries, window_s, now_s)

    def before_attempt(self, now_s: float, attempts: int) -> float | GiveUpReason | None:
        """A first attempt is always sent, a retry once the budget allows it, which may be never."""
        _expire(self._first_attempts, self._config.window, now_s)
        _expire(self._retries, self._config.window, now_s)
        if attempts == 0:
            self._first_attempts.append(now_s)
            return None
        if self.balance(now_s) >= 1 - _EPSILON:
            self._retries.append(now_s)
            return None
        # The balance can only rise when an earlier retry expires: those are the only times worth asking again.
        expiries = [retried_s + self._config.window for retried_s in dict.fromkeys(self._retries)]
        return next((at_s for at_s in expiries if self.balance(at_s) >= 1 - _EPSILON), GiveUpReason.WITHHELD)

    def next_pause(self, failure: FailedAttempt) -> float:
        """Between 0 and v; whether the retry may be sent then is decided by `before_attempt`."""
        return full_jitter_s(self._config, failure.attempts - 1, self._rng)


class AdaptiveThrottle(RetryStrategy):
    """`adaptive_throttle`: an attempt is withheld with probability max(0, (requests - K·accepts)/(requests + 1)).

    Google, "Site Reliability Engineering", chapter 21, "Handling Overload", client-side throttling: over the last two
    minutes, `requests` are all that the application asked for (withheld ones too, counted before sending) and `accepts`
    those that the server took. Google's client fails a request that it throttles.
    """

    __slots__ = ("_accepts", "_config", "_requests", "_rng", "_withheld")

    def __init__(self, config: AdaptiveThrottleRetry, rng: RandomSource) -> None:
        """`rng` is the station's own."""
        self._config = config
        self._rng = rng
        self._requests: deque[float] = deque()
        self._accepts: deque[float] = deque()
        self._withheld = 0
        """Attempts withheld since one was sent: they make the pause grow."""

    def probability(self, now_s: float) -> float:
        """How likely an attempt is to be withheld now."""
        _expire(self._requests, self._config.window, now_s)
        _expire(self._accepts, self._config.window, now_s)
        requests, accepts = len(self._requests), len(self._accepts)
        return max(0.0, (requests - self._config.k * accepts) / (requests + 1))

    def before_attempt(self, now_s: float, attempts: int) -> float | None:  # noqa: ARG002
        """Send, or withhold for U(0, v), where n counts the attempts withheld in a row."""
        probability = self.probability(now_s)
        self._requests.append(now_s)
        # Drawn even at probability 0: every attempt takes one number, whatever the server did before.
        if self._rng.random() >= probability:
            self._withheld = 0
            return None
        self._withheld += 1
        return now_s + max(MIN_PAUSE_S, full_jitter_s(self._config, self._withheld - 1, self._rng))

    def after_attempt(self, outcome: Outcome, now_s: float) -> None:
        """Count what the server took; a server that answers with a rejection has processed the request all the same."""
        if outcome in SERVED:
            self._accepts.append(now_s)

    def next_pause(self, failure: FailedAttempt) -> float:
        """Between 0 and v."""
        return full_jitter_s(self._config, failure.attempts - 1, self._rng)


class CircuitBreaker(RetryStrategy):
    """`circuit_breaker`: closed, open after too many failures, half-open for one trial.

    Resilience4j's CircuitBreaker with a count-based window: it opens when at least `minimum_calls` of the latest
    `window_calls` attempts are known and the ratio of failures is `failure_ratio` or more. After `open_for` one attempt is
    a trial, which closes it or opens it for as long again. Counting starts anew at each change.
    """

    __slots__ = ("_config", "_failures", "_open_until_s", "_rng")

    def __init__(self, config: CircuitBreakerRetry, rng: RandomSource) -> None:
        """`rng` is the station's own."""
        self._config = config
        self._rng = rng
        self._failures: deque[bool] = deque(maxlen=config.window_calls)
        self._open_until_s: float | None = None

    def before_attempt(self, now_s: float, attempts: int) -> float | None:  # noqa: ARG002
        """Send while closed, or as the trial once it has been open for long enough."""
        if self._open_until_s is not None and now_s < self._open_until_s:
            return self._open_until_s
        return None

    def after_attempt(self, outcome: Outcome, now_s: float) -> None:
        """Count the attempt. A rejection is an answer, so it does not count as a failure of the server."""
        failed = outcome not in SERVED
        if self._open_until_s is not None:  # nothing else is sent while open, so this was the trial
            self._open_until_s = now_s + self._config.open_for if failed else None
            return
        self._failures.append(failed)
        known = len(self._failures)
        if known >= self._config.minimum_calls and sum(self._failures) / known >= self._config.failure_ratio:
            self._open_until_s = now_s + self._config.open_for
            self._failures.clear()

    def next_pause(self, failure: FailedAttempt) -> float:
        """Between 0 and v."""
        return full_jitter_s(self._config, failure.attempts - 1, self._rng)


def _expire(times_s: deque[float], window_s: float, now_s: float) -> None:
    """Drop the times whose window is over; they rise, so those are at the left.

    Everywhere `time + window` is what is compared: `now - window` can differ from it by a rounding error, and a retry
    that waits for an expiry would find at that very time that it has not come.
    """
    while times_s and times_s[0] + window_s <= now_s:
        times_s.popleft()


def _count_recent(times_s: deque[float], window_s: float, now_s: float) -> int:
    """How many of the rising times are within their window."""
    return len(times_s) - sum(1 for _ in takewhile(lambda at_s: at_s + window_s <= now_s, times_s))
