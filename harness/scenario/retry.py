"""What a station does when an attempt fails: the tables under client.retry. harness/station/retry/ decides by them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, model_validator

from mock_server.profile.units import Duration, FrozenModel, Probability, Ratio

MIN_PAUSE_S = 0.02
"""Nobody tries again sooner: a refused connection fails within a millisecond, and an evening must not spin."""


class _RetryOptions(FrozenModel):
    max_attempts: Annotated[int, Field(ge=1)] | None = None
    """After so many attempts a page is given up; without it only the deadline ends the trying."""
    honour_retry_after: bool = True
    """Wait max(Retry-After, backoff) + U(0, Retry-After) where the server asks for it."""
    idempotency_key: bool = True
    """Send the page's key and digest, so that a repeated upload can be recognised."""
    spread: Annotated[Duration, Field(ge=0)] = 0.0
    """An evening's first attempt is held back for U(0, spread)."""


class _BackoffOptions(_RetryOptions):
    base: Annotated[Duration, Field(gt=0)] = 1.0
    """The first pause, v for n = 0."""
    cap: Annotated[Duration, Field(gt=0)] = 30.0
    """The longest pause."""


class NoRetry(_RetryOptions):
    """One attempt a page."""

    strategy: Literal["none"] = "none"


class ImmediateRetry(_RetryOptions):
    """Again at once, without end: what an impatient thumb does."""

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
    """s = min(cap, U(base, 3s)), s = base to begin with."""

    strategy: Literal["decorrelated_jitter"]


class TokenBucketRetry(_BackoffOptions):
    """A retry costs a token, a delivery earns part of one. Without a token the page is given up."""

    strategy: Literal["token_bucket"]
    capacity: Annotated[float, Field(ge=1)] = 3.0
    """Tokens that the bucket holds; it is full to begin with."""
    earned: Annotated[float, Field(ge=0)] = 0.1
    """Tokens that a delivery earns."""


class RetryBudgetRetry(_BackoffOptions):
    """Retries may be a share of the first attempts within a window, plus a reserve; beyond it they are withheld."""

    strategy: Literal["retry_budget"]
    ratio: Ratio = 0.2
    """Retries that a first attempt allows."""
    window: Annotated[Duration, Field(gt=0)] = 10.0
    """How long first attempts and retries count."""
    reserve_per_s: Annotated[float, Field(ge=0)] = 0.1
    """Retries a second that are always allowed, all at once if need be."""


class AdaptiveThrottleRetry(_BackoffOptions):
    """An attempt is withheld with probability max(0, (requests - k·accepts)/(requests + 1))."""

    strategy: Literal["adaptive_throttle"]
    k: Annotated[float, Field(ge=1)] = 2.0
    """Requests that one accepted request allows."""
    window: Annotated[Duration, Field(gt=0)] = 120.0
    """How long requests and accepts count."""


class CircuitBreakerRetry(_BackoffOptions):
    """After too many failures nothing is sent for a while; then one attempt is a trial."""

    strategy: Literal["circuit_breaker"]
    failure_ratio: Annotated[Probability, Field(gt=0)] = 0.5
    """Share of failures at which the breaker opens."""
    minimum_calls: Annotated[int, Field(ge=1)] = 5
    """Attempts before which it never opens."""
    window_calls: Annotated[int, Field(ge=1)] = 10
    """How many of the latest attempts count."""
    open_for: Annotated[Duration, Field(gt=0)] = 30.0
    """How long it stays open."""

    @model_validator(mode="after")
    def _can_open(self) -> Self:
        if self.minimum_calls > self.window_calls:
            message = f"minimum_calls ({self.minimum_calls}) must not be above window_calls ({self.window_calls})"
            raise ValueError(message)
        return self


class OutboxRetry(_BackoffOptions):
    """Photos wait on the phone: spread, full jitter, Retry-After obeyed, nothing given up before the deadline."""

    strategy: Literal["outbox"]
    max_attempts: None = None
    """Always none: only the deadline ends the trying."""
    honour_retry_after: Literal[True] = True
    """Always obeyed."""
    spread: Annotated[Duration, Field(ge=0)] = 10.0
    """An evening's first attempt is held back for U(0, spread)."""


RetryConfig = (
    NoRetry | ImmediateRetry | FixedRetry | ExponentialRetry | EqualJitterRetry | FullJitterRetry
    | DecorrelatedJitterRetry | TokenBucketRetry | RetryBudgetRetry | AdaptiveThrottleRetry | CircuitBreakerRetry
    | OutboxRetry
)  # fmt: skip
Retry = Annotated[RetryConfig, Discriminator("strategy")]
