"""What a station does when an attempt fails: the strategies of the table [client.retry]. harness/station/retry/ implements them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, model_validator

from mock_server.profile.units import Duration, FrozenModel, Probability, Ratio

MIN_PAUSE_S = 0.02
"""Shortest pause before a retry: a refused connection fails within a millisecond, and a station must not spin."""


class _RetryOptions(FrozenModel):
    max_attempts: Annotated[int, Field(ge=1)] | None = None
    """Attempts after which a page is given up; without it only the deadline ends the attempts."""
    honour_retry_after: bool = True
    """If the server sends Retry-After, wait max(Retry-After, backoff) + U(0, Retry-After)."""
    idempotency_key: bool = True
    """Send the page's key and digest, so that a repeated upload can be recognised."""
    spread: Annotated[Duration, Field(ge=0)] = 0.0
    """A station's first attempt is delayed by U(0, spread)."""


class _BackoffOptions(_RetryOptions):
    base: Annotated[Duration, Field(gt=0)] = 1.0
    """The first pause, v for n = 0."""
    cap: Annotated[Duration, Field(gt=0)] = 30.0
    """The longest pause."""


class NoRetry(_RetryOptions):
    """One attempt per page."""

    strategy: Literal["none"] = "none"


class ImmediateRetry(_RetryOptions):
    """Retry at once, without limit, as an impatient user does."""

    strategy: Literal["immediate"]
    pause: Annotated[Duration, Field(ge=MIN_PAUSE_S)] = MIN_PAUSE_S
    """Between attempts; at least 20 ms."""


class FixedRetry(_RetryOptions):
    """A constant pause between attempts."""

    strategy: Literal["fixed"]
    base: Annotated[Duration, Field(gt=0)] = 1.0
    """The pause."""


class ExponentialRetry(_BackoffOptions):
    """v = min(cap, base·2^n), n from 0."""

    strategy: Literal["exponential"]


class EqualJitterRetry(_BackoffOptions):
    """v/2 + U(0, v/2)."""

    strategy: Literal["equal_jitter"]


class FullJitterRetry(_BackoffOptions):
    """U(0, v)."""

    strategy: Literal["full_jitter"]


class DecorrelatedJitterRetry(_BackoffOptions):
    """s = min(cap, U(base, 3s)), initially s = base."""

    strategy: Literal["decorrelated_jitter"]


class TokenBucketRetry(_BackoffOptions):
    """A retry costs a token, a delivery earns a part of one. Without a token the page is given up."""

    strategy: Literal["token_bucket"]
    capacity: Annotated[float, Field(ge=1)] = 3.0
    """Capacity of the bucket in tokens; it is full initially."""
    earned: Annotated[float, Field(ge=0)] = 0.1
    """Tokens that a delivery earns."""


class RetryBudgetRetry(_BackoffOptions):
    """Retries are limited to a share of the first attempts within a window, plus a reserve; others are withheld."""

    strategy: Literal["retry_budget"]
    ratio: Ratio = 0.2
    """Retries allowed per first attempt."""
    window: Annotated[Duration, Field(gt=0)] = 10.0
    """How long first attempts and retries count."""
    reserve_per_s: Annotated[float, Field(ge=0)] = 0.1
    """Retries per second that are always allowed, in a burst if needed."""


class AdaptiveThrottleRetry(_BackoffOptions):
    """An attempt is withheld with probability max(0, (requests - k·accepts)/(requests + 1))."""

    strategy: Literal["adaptive_throttle"]
    k: Annotated[float, Field(ge=1)] = 2.0
    """Requests allowed per accepted request."""
    window: Annotated[Duration, Field(gt=0)] = 120.0
    """How long requests and accepts count."""


class CircuitBreakerRetry(_BackoffOptions):
    """After too many failures nothing is sent for a while; then one attempt is made as a trial."""

    strategy: Literal["circuit_breaker"]
    failure_ratio: Annotated[Probability, Field(gt=0)] = 0.5
    """Share of failures at which the breaker opens."""
    minimum_calls: Annotated[int, Field(ge=1)] = 5
    """Attempts before which the breaker never opens."""
    window_calls: Annotated[int, Field(ge=1)] = 10
    """Number of latest attempts that count."""
    open_for: Annotated[Duration, Field(gt=0)] = 30.0
    """How long the breaker stays open."""

    @model_validator(mode="after")
    def _can_open(self) -> Self:
        if self.minimum_calls > self.window_calls:
            message = f"minimum_calls ({self.minimum_calls}) must not be above window_calls ({self.window_calls})"
            raise ValueError(message)
        return self


class OutboxRetry(_BackoffOptions):
    """Photos wait on the phone: spread, full jitter, Retry-After honoured, nothing given up before the deadline."""

    strategy: Literal["outbox"]
    max_attempts: None = None
    """Always none: only the deadline ends the attempts."""
    honour_retry_after: Literal[True] = True
    """Always honoured."""
    spread: Annotated[Duration, Field(ge=0)] = 10.0
    """A station's first attempt is delayed by U(0, spread)."""


RetryConfig = (
    NoRetry | ImmediateRetry | FixedRetry | ExponentialRetry | EqualJitterRetry | FullJitterRetry
    | DecorrelatedJitterRetry | TokenBucketRetry | RetryBudgetRetry | AdaptiveThrottleRetry | CircuitBreakerRetry
    | OutboxRetry
)  # fmt: skip
Retry = Annotated[RetryConfig, Discriminator("strategy")]
