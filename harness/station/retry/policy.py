"""The rules that hold whatever the strategy: rejections are final, attempts are counted, Retry-After, the spread."""

from __future__ import annotations

from harness.base.model import Outcome
from harness.run_folder.journal import GiveUpReason
from harness.scenario.retry import RetryConfig
from harness.station.retry.rng import RandomSource
from harness.station.retry.strategy import FailedAttempt, RetryStrategy

_RETRYABLE_REJECTIONS = frozenset({401, 408, 423, 425})
"""Rejections that another attempt can mend: log in again, send faster, wait until an upload is not in use any more."""


class RetryPolicy(RetryStrategy):
    """A strategy within the options that all strategies have."""

    __slots__ = ("_config", "_rng", "_spread_s", "_strategy")

    def __init__(
        self, config: RetryConfig, strategy: RetryStrategy, rng: RandomSource, spread_rng: RandomSource
    ) -> None:  # fmt: skip
        """`rng` is the strategy's own generator; the spread has another, so that it doesn't shift the pauses."""
        self._config = config
        self._strategy = strategy
        self._rng = rng
        self._spread_s = spread_rng.uniform(0.0, config.spread) if config.spread else 0.0

    def before(self, now_s: float, attempts: int) -> float | GiveUpReason | None:
        """As the strategy says; the evening's very first attempt waits for its part of the spread."""
        spread_s, self._spread_s = self._spread_s, 0.0
        if spread_s > 0:
            return now_s + spread_s
        return self._strategy.before(now_s, attempts)

    def ended(self, outcome: Outcome, now_s: float) -> None:
        """Tell the strategy."""
        self._strategy.ended(outcome, now_s)

    def pause(self, failure: FailedAttempt) -> float | GiveUpReason:
        """Seconds to wait before the next attempt, or why there is none.

        With Retry-After R and the strategy's pause b: max(R, b) + U(0, R), so that those who were told the same moment
        don't all come at it.
        """
        if failure.outcome is Outcome.REJECTED and failure.status not in _RETRYABLE_REJECTIONS:
            return GiveUpReason.REJECTED_FOR_GOOD
        if self._config.max_attempts is not None and failure.attempts >= self._config.max_attempts:
            return GiveUpReason.ATTEMPTS_USED_UP
        pause = self._strategy.pause(failure)
        if isinstance(pause, GiveUpReason) or failure.retry_after_s is None or not self._config.honour_retry_after:
            return pause
        return max(failure.retry_after_s, pause) + self._rng.uniform(0.0, failure.retry_after_s)
