"""Whether and when a page is tried again: a strategy a module, and the registry of them all.

docs/how-to/adding-a-strategy.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.scenario import retry as configs
from harness.station.retry.adaptive_throttle import AdaptiveThrottle
from harness.station.retry.circuit_breaker import CircuitBreaker
from harness.station.retry.decorrelated_jitter import DecorrelatedJitter
from harness.station.retry.growing import EqualJitter, ExponentialBackoff, FullJitter
from harness.station.retry.none import NeverRetry
from harness.station.retry.policy import RetryPolicy
from harness.station.retry.retry_budget import RetryBudget
from harness.station.retry.rng import LazyRandom, RandomSource
from harness.station.retry.steady import FixedPause
from harness.station.retry.strategy import FailedAttempt, RetryStrategy
from harness.station.retry.token_bucket import TokenBucket

__all__ = ["STRATEGIES", "FailedAttempt", "RetryStrategy", "make_strategy"]

STRATEGIES: dict[type[configs.RetryConfig], Callable[[Any, RandomSource], RetryStrategy]] = {
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
"""What decides, by the table of the scenario that it reads."""


def make_strategy(config: configs.RetryConfig, seed: int, station: str) -> RetryStrategy:
    """A station's strategy, within the options that all have. The same seed and station code have the same luck."""
    luck = LazyRandom(f"{seed}/retry/{station}")
    return RetryPolicy(config, STRATEGIES[type(config)](config, luck), luck, LazyRandom(f"{seed}/spread/{station}"))
