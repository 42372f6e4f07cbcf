"""Whether and when a page is tried again: the registry of strategies, and the rules that hold for all of them.

docs/how-to/adding-a-strategy.md explains how to add one.
"""

from __future__ import annotations

from typing import Any

from harness.base.model import Outcome
from harness.run_folder.journal import GiveUpReason
from harness.scenario import retry as configs
from harness.station.retry.backoff import (
    DecorrelatedJitter,
    EqualJitter,
    ExponentialBackoff,
    FixedPause,
    FullJitter,
    NeverRetry,
)
from harness.station.retry.rng import LazyRandom
from harness.station.retry.strategy import FailedAttempt, RetryStrategy
from harness.station.retry.withholding import AdaptiveThrottle, CircuitBreaker, RetryBudget, TokenBucket

STRATEGIES: dict[type[configs.RetryConfig], Any] = {
    configs.NoRetry: NeverRetry,
    configs.ImmediateRetry: FixedPause,
    configs.FixedRetry: FixedPause,
    configs.ExponentialRetry: ExponentialBackoff,
    configs.EqualJitterRetry: EqualJitter,
    configs.FullJitterRetry: FullJitter,
    configs.DecorrelatedJitterRetry: DecorrelatedJitter,
    configs.TokenBucketRetry: TokenBucket,
    configs.RetryBudgetRetry: RetryBudget,
    configs.AdaptiveThrottleRetry: AdaptiveThrottle,
    configs.CircuitBreakerRetry: CircuitBreaker,
    configs.OutboxRetry: FullJitter,
}
"""The strategy class for each table under client.retry; it is called with the table and a RandomSource."""

_RETRYABLE_REJECTIONS = frozenset({401, 408, 423, 425})
"""4xx that another attempt can mend: log in again, send faster, wait until an upload is no longer locked (tus: 423)."""


class RetryPolicy:
    """One station's strategy within the rules for all: final rejections, max_attempts, Retry-After, the spread.

    The same scenario, seed and station code draw the same numbers. The strategy is made when it can first matter:
    before the first attempt if it needs the whole history, else after the first failure.
    """

    __slots__ = ("_config", "_rng", "_seed", "_spread_s", "_station", "_strategy")

    def __init__(self, config: configs.RetryConfig, seed: int, station: str) -> None:
        """`station` is the station's code."""
        self._config = config
        self._seed = seed
        self._station = station
        # The spread has a generator of its own, so that switching it on does not shift the pauses that are drawn later.
        self._spread_s = LazyRandom(f"{seed}/spread/{station}").uniform(0.0, config.spread) if config.spread else 0.0
        self._rng: LazyRandom | None = None
        self._strategy: RetryStrategy | None = None
        if STRATEGIES[type(config)].needs_history:
            self._make_strategy()

    def before_attempt(self, now_s: float, attempts: int) -> float | GiveUpReason | None:
        """As `RetryStrategy.before_attempt`; the station's very first attempt is held back for its part of the spread."""
        if self._spread_s:
            spread_s, self._spread_s = self._spread_s, 0.0
            return now_s + spread_s
        return None if self._strategy is None else self._strategy.before_attempt(now_s, attempts)

    def after_attempt(self, outcome: Outcome, now_s: float) -> None:
        """As `RetryStrategy.after_attempt`."""
        if self._strategy is not None:
            self._strategy.after_attempt(outcome, now_s)

    def next_pause(self, failure: FailedAttempt) -> float | GiveUpReason:
        """Seconds to wait before the next attempt, or why there is none.

        With Retry-After R and the strategy's pause b: max(R, b) + U(0, R), so that stations that got the same answer don't
        all return in the same moment.
        """
        # Before the strategy is asked: a page that is lost anyway must not cost a token or a place in a budget.
        if failure.outcome is Outcome.REJECTED and failure.status not in _RETRYABLE_REJECTIONS:
            return GiveUpReason.REJECTED_FOR_GOOD
        if self._config.max_attempts is not None and failure.attempts >= self._config.max_attempts:
            return GiveUpReason.ATTEMPTS_USED_UP
        strategy, rng = self._strategy, self._rng
        if strategy is None or rng is None:
            strategy, rng = self._make_strategy()
        pause_s = strategy.next_pause(failure)
        if isinstance(pause_s, GiveUpReason) or failure.retry_after_s is None or not self._config.honour_retry_after:
            return pause_s
        return max(failure.retry_after_s, pause_s) + rng.uniform(0.0, failure.retry_after_s)

    def _make_strategy(self) -> tuple[RetryStrategy, LazyRandom]:
        self._rng = LazyRandom(f"{self._seed}/retry/{self._station}")
        self._strategy = STRATEGIES[type(self._config)](self._config, self._rng)
        return self._strategy, self._rng
