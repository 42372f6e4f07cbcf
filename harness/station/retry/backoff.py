"""Strategies that only choose the pause: none, immediate, fixed, exponential, the jitters, and outbox.

Sources: AWS Architecture Blog, "Exponential Backoff And Jitter", and its simulator
(github.com/aws-samples/aws-arch-backoff-simulator, classes ExpoBackoff, ExpoBackoffEqualJitter, ExpoBackoffFullJitter,
ExpoBackoffDecorr). All grow from v = min(cap, base·2^n), n counted from 0.

None of them depends on what happened before the first failure, so all are made on the first failure (`needs_history`).
"""

from __future__ import annotations

from typing import Protocol

from harness.run_folder.journal import GiveUpReason
from harness.scenario.retry import (
    DecorrelatedJitterRetry,
    EqualJitterRetry,
    ExponentialRetry,
    FixedRetry,
    FullJitterRetry,
    ImmediateRetry,
    NoRetry,
    OutboxRetry,
)
from harness.station.retry.rng import RandomSource
from harness.station.retry.strategy import FailedAttempt, RetryStrategy

_MAX_EXPONENT = 60
"""2^1024 overflows a float, and an outbox that is refused for days gets there; any `cap` is reached long before 2^60."""


class BackoffLimits(Protocol):
    """First and longest pause of a strategy whose pauses grow, seconds."""

    @property
    def base(self) -> float:
        """The first pause."""

    @property
    def cap(self) -> float:
        """The longest pause."""


def exponential_s(limits: BackoffLimits, n: int) -> float:
    """v: seconds before retry number `n`, counted from 0."""
    return min(limits.cap, limits.base * 2.0 ** min(n, _MAX_EXPONENT))


def equal_jitter_s(limits: BackoffLimits, n: int, rng: RandomSource) -> float:
    """v/2 + U(0, v/2): half is fixed, half is spread."""
    half = exponential_s(limits, n) / 2
    return half + rng.uniform(0.0, half)


def full_jitter_s(limits: BackoffLimits, n: int, rng: RandomSource) -> float:
    """U(0, v): all of it is spread."""
    return rng.uniform(0.0, exponential_s(limits, n))


class NeverRetry(RetryStrategy):
    """`none`: one attempt per page."""

    __slots__ = ()
    needs_history = False

    def __init__(self, config: NoRetry, rng: RandomSource) -> None:
        """Nothing is kept."""

    def next_pause(self, failure: FailedAttempt) -> GiveUpReason:  # noqa: ARG002
        """The page's only attempt is used up."""
        return GiveUpReason.ATTEMPTS_USED_UP


class FixedPause(RetryStrategy):
    """`immediate` and `fixed`: always the same pause, without a limit of attempts.

    `immediate` is what keeps an overloaded server down (Huang et al., "Metastable Failures in the Wild", OSDI '22);
    `fixed` is what simple upload clients do (tuspy's retry_delay).
    """

    __slots__ = ("_pause_s",)
    needs_history = False

    def __init__(self, config: FixedRetry | ImmediateRetry, rng: RandomSource) -> None:  # noqa: ARG002
        """The two tables call the pause by different names."""
        self._pause_s = config.pause if isinstance(config, ImmediateRetry) else config.base

    def next_pause(self, failure: FailedAttempt) -> float:  # noqa: ARG002
        """The pause."""
        return self._pause_s


class ExponentialBackoff(RetryStrategy):
    """`exponential`: v. Stations that failed together come back together."""

    __slots__ = ("_config",)
    needs_history = False

    def __init__(self, config: ExponentialRetry, rng: RandomSource) -> None:  # noqa: ARG002
        """Nothing is drawn."""
        self._config = config

    def next_pause(self, failure: FailedAttempt) -> float:
        """Exactly v."""
        return exponential_s(self._config, failure.attempts - 1)


class EqualJitter(RetryStrategy):
    """`equal_jitter`: v/2 + U(0, v/2)."""

    __slots__ = ("_config", "_rng")
    needs_history = False

    def __init__(self, config: EqualJitterRetry, rng: RandomSource) -> None:
        """`rng` is the station's own."""
        self._config = config
        self._rng = rng

    def next_pause(self, failure: FailedAttempt) -> float:
        """Between half of v and v."""
        return equal_jitter_s(self._config, failure.attempts - 1, self._rng)


class FullJitter(RetryStrategy):
    """`full_jitter` and `outbox`: U(0, v).

    `outbox` differs in its options only: a spread, Retry-After always honoured, no limit but the deadline. It is the
    officers' own workaround: photos stay on the phone and are uploaded once the server works again.
    """

    __slots__ = ("_config", "_rng")
    needs_history = False

    def __init__(self, config: FullJitterRetry | OutboxRetry, rng: RandomSource) -> None:
        """`rng` is the station's own."""
        self._config = config
        self._rng = rng

    def next_pause(self, failure: FailedAttempt) -> float:
        """Between 0 and v."""
        return full_jitter_s(self._config, failure.attempts - 1, self._rng)


class DecorrelatedJitter(RetryStrategy):
    """`decorrelated_jitter`: s = min(cap, U(base, 3s)), s = base to begin with. Grows from the pause before, not from n."""

    __slots__ = ("_config", "_pause_s", "_rng")
    needs_history = False

    def __init__(self, config: DecorrelatedJitterRetry, rng: RandomSource) -> None:
        """`rng` is the station's own."""
        self._config = config
        self._rng = rng
        self._pause_s = config.base

    def next_pause(self, failure: FailedAttempt) -> float:
        """The next s; a page's first failure starts again from base."""
        previous_s = self._config.base if failure.attempts == 1 else self._pause_s
        self._pause_s = min(self._config.cap, self._rng.uniform(self._config.base, 3.0 * previous_s))
        return self._pause_s
