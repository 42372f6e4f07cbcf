"""`immediate` and `fixed`: always the same pause.

`immediate` is what keeps an overloaded server down (Huang et al., "Metastable Failures in the Wild", OSDI '22); `fixed` is
what simple upload clients do (tuspy's retry_delay).
"""

from __future__ import annotations

from harness.scenario.retry import FixedRetry, ImmediateRetry
from harness.station.retry.rng import RandomSource
from harness.station.retry.strategy import FailedAttempt, RetryStrategy


class FixedPause(RetryStrategy):
    """Waits the same time each time, without end."""

    def __init__(self, config: FixedRetry | ImmediateRetry, rng: RandomSource) -> None:  # noqa: ARG002
        """The pause is all it knows."""
        self._pause_s = config.pause if isinstance(config, ImmediateRetry) else config.base

    def pause(self, failure: FailedAttempt) -> float:  # noqa: ARG002
        """The pause."""
        return self._pause_s
