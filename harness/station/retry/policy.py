"""The rules that hold whatever the strategy: rejections are final, attempts are counted, Retry-After, the spread."""

from __future__ import annotations

from harness.base.model import Outcome
from harness.run_folder.journal import GaveUp
from harness.scenario.retry import RetryConfig
from harness.station.retry.rng import Luck
from harness.station.retry.strategy import Failure, Strategy

_MAY_PASS_LATER = frozenset({401, 408, 423, 425})
"""Rejections that another attempt can mend: log in again, send faster, wait until an upload is not in use any more."""


class Rules(Strategy):
    """A strategy within the options that all strategies have."""

    __slots__ = ("_config", "_rng", "_spread_s", "_strategy")

    def __init__(
        self, config: RetryConfig, strategy: Strategy, rng: Luck, spread_rng: Luck
    ) -> None:  # fmt: skip
        """`rng` is the strategy's own generator; the spread has another, so that it doesn't shift the pauses."""
        self._config = config
        self._strategy = strategy
        self._rng = rng
        self._spread_s = spread_rng.uniform(0.0, config.spread) if config.spread else 0.0

    def before(self, now_s: float, attempts: int) -> float | GaveUp | None:
        """As the strategy says; the evening's very first attempt waits for its part of the spread."""
        spread_s, self._spread_s = self._spread_s, 0.0
        if spread_s > 0:
            return now_s + spread_s
        return self._strategy.before(now_s, attempts)

    def ended(self, outcome: Outcome, now_s: float) -> None:
        """Tell the strategy."""
        self._strategy.ended(outcome, now_s)

    def pause(self, failure: Failure) -> float | GaveUp:
        """Seconds to wait before the next attempt, or why there is none.

        With Retry-After R and the strategy's pause b: max(R, b) + U(0, R), so that those who were told the same moment
        don't all come at it.
        """
        if failure.outcome is Outcome.REJECTED and failure.status not in _MAY_PASS_LATER:
            return GaveUp.REJECTED_FOR_GOOD
        if self._config.max_attempts is not None and failure.attempts >= self._config.max_attempts:
            return GaveUp.ATTEMPTS_USED_UP
        pause = self._strategy.pause(failure)
        if isinstance(pause, GaveUp) or failure.retry_after_s is None or not self._config.honour_retry_after:
            return pause
        return max(failure.retry_after_s, pause) + self._rng.uniform(0.0, failure.retry_after_s)
