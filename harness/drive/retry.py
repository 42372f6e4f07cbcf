"""Whether and when a page is tried again: pure decisions, with the generator as an argument.

v = min(cap, base·2^n), n counted from 0: `exponential` waits v, `full_jitter` U(0, v) (AWS Architecture Blog, "Exponential
Backoff And Jitter"); `fixed` waits base; `none` never tries again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol, assert_never

from harness.measure.journal import GaveUp
from harness.model import Outcome
from harness.scenario import ExponentialRetry, FixedRetry, FullJitterRetry, NoRetry

RetryConfig = NoRetry | FixedRetry | ExponentialRetry | FullJitterRetry

_MAY_PASS_LATER = frozenset({401, 408, 425})
"""Rejections that another attempt can mend: log in again, send faster."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that didn't deliver."""

    attempts: int
    """How many this page has had, this one included."""
    outcome: Outcome
    status: int = 0
    retry_after_s: float | None = None


class Strategy(Protocol):
    """How one station behaves when an attempt fails."""

    def after(self, failure: Failure) -> float | GaveUp:
        """Seconds to wait before the next attempt, or why there is none."""
        ...


def backoff_s(config: RetryConfig, retries: int, rng: random.Random) -> float:
    """Seconds that the strategy itself waits before retry number `retries` (from 0).

    >>> backoff_s(ExponentialRetry(strategy="exponential"), 3, random.Random(1))
    8.0
    """
    match config:
        case FullJitterRetry():
            return rng.uniform(0.0, _capped(config, retries))
        case ExponentialRetry():
            return _capped(config, retries)
        case FixedRetry():
            return config.base
        case NoRetry():
            return 0.0
        case _:
            assert_never(config)


def _capped(config: ExponentialRetry, retries: int) -> float:
    return min(config.cap, config.base * 2.0 ** min(retries, 60))


class Backoff:
    """The strategies that look at nothing but the number of attempts."""

    def __init__(self, config: RetryConfig, rng: random.Random) -> None:
        """`rng` is the station's own, so that stations don't share their luck."""
        self._config = config
        self._rng = rng
        self._max_attempts = 1 if isinstance(config, NoRetry) else config.max_attempts

    def after(self, failure: Failure) -> float | GaveUp:
        """Seconds to wait before the next attempt, or why there is none."""
        if failure.outcome is Outcome.REJECTED and failure.status not in _MAY_PASS_LATER:
            return GaveUp.REJECTED_FOR_GOOD
        if self._max_attempts is not None and failure.attempts >= self._max_attempts:
            return GaveUp.ATTEMPTS_USED_UP
        pause = backoff_s(self._config, failure.attempts - 1, self._rng)
        if failure.retry_after_s is None or not self._config.honour_retry_after:
            return pause
        return max(failure.retry_after_s, pause) + self._rng.uniform(0.0, failure.retry_after_s)
