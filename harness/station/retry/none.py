"""`none`: one attempt a page."""

from __future__ import annotations

from harness.run_folder.journal import GiveUpReason
from harness.scenario.retry import NoRetry
from harness.station.retry.rng import RandomSource
from harness.station.retry.strategy import FailedAttempt, RetryStrategy


class NeverRetry(RetryStrategy):
    """Never tries again."""

    def __init__(self, config: NoRetry, rng: RandomSource) -> None:
        """There is nothing to remember."""

    def pause(self, failure: FailedAttempt) -> GiveUpReason:  # noqa: ARG002
        """Its one attempt is used up."""
        return GiveUpReason.ATTEMPTS_USED_UP
