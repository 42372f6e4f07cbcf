"""`retry_budget`: within a window, retries ≤ ratio · first attempts + reserve; a retry beyond that is withheld until it fits.

Finagle's RetryBudget (20 % of requests over 10 s, plus a minimum of retries a second: a leaky bucket whose deposits and
withdrawals expire; com.twitter.finagle.service.RetryBudget); Linkerd has the same. Finagle's client gives up where the
budget is spent; a station has its photo still, so it waits. Finagle's reserve of 10 a second is one process's, for all its
calls; a station's is 0.1 a second, one in ten seconds.
"""

from __future__ import annotations

from collections import deque
from itertools import takewhile

from harness.run_folder.journal import GiveUpReason
from harness.scenario.retry import RetryBudgetRetry
from harness.station.retry.backoff import full_jitter_s
from harness.station.retry.rng import RandomSource
from harness.station.retry.strategy import FailedAttempt, RetryStrategy

_EPSILON = 1e-9
"""Five fifths are a whole retry, whatever binary fractions make of them."""


class RetryBudget(RetryStrategy):
    """Retries after U(0, v), as far as the budget reaches."""

    def __init__(self, config: RetryBudgetRetry, rng: RandomSource) -> None:
        """`rng` is the station's own, so that stations don't share their luck."""
        self._config = config
        self._rng = rng
        self._reserve = config.reserve_per_s * config.window
        self._first_attempts: deque[float] = deque()
        self._retries: deque[float] = deque()

    def balance(self, now_s: float) -> float:
        """How many retries could be made now."""
        since = now_s - self._config.window
        return (
            self._reserve
            + self._config.ratio * _count_after(self._first_attempts, since)
            - _count_after(self._retries, since)
        )

    def before(self, now_s: float, attempts: int) -> float | GiveUpReason | None:
        """A first attempt is always sent; a retry once the budget has room for it, which may be never."""
        self._forget(now_s)
        if attempts == 0:
            self._first_attempts.append(now_s)
            return None
        if self.balance(now_s) >= 1 - _EPSILON:
            self._retries.append(now_s)
            return None
        freed = [moment + self._config.window for moment in dict.fromkeys(self._retries)]
        return next((moment for moment in freed if self.balance(moment) >= 1 - _EPSILON), GiveUpReason.WITHHELD)

    def pause(self, failure: FailedAttempt) -> float:
        """Between nothing and v; whether the retry may be sent then, `before` says."""
        return full_jitter_s(self._config, failure.attempts - 1, self._rng)

    def _forget(self, now_s: float) -> None:
        for moments in (self._first_attempts, self._retries):
            while moments and moments[0] <= now_s - self._config.window:
                moments.popleft()


def _count_after(moments: deque[float], since: float) -> int:
    """How many of the rising moments lie after `since`."""
    return len(moments) - sum(1 for _ in takewhile(lambda moment: moment <= since, moments))
