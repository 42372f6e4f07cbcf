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
from harness.station.retry.growing import EqualJitter, Exponential, FullJitter
from harness.station.retry.none import Never
from harness.station.retry.policy import Rules
from harness.station.retry.retry_budget import RetryBudget
from harness.station.retry.rng import LateLuck, Luck
from harness.station.retry.steady import Steady
from harness.station.retry.strategy import Failure, Strategy
from harness.station.retry.token_bucket import TokenBucket

__all__ = ["STRATEGIES", "Failure", "Strategy", "strategy_of"]

STRATEGIES: dict[type[configs.RetryConfig], Callable[[Any, Luck], Strategy]] = {
    configs.NoRetry: Never,
    configs.ImmediateRetry: Steady,
    configs.FixedRetry: Steady,
    configs.ExponentialRetry: Exponential,
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


def strategy_of(config: configs.RetryConfig, seed: int, station: str) -> Strategy:
    """A station's strategy, within the options that all have. The same seed and station code have the same luck."""
    luck = LateLuck(f"{seed}/retry/{station}")
    return Rules(config, STRATEGIES[type(config)](config, luck), luck, LateLuck(f"{seed}/spread/{station}"))
