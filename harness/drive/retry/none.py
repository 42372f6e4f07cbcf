"""`none`: one attempt a page."""

from __future__ import annotations

from harness.drive.retry.luck import Luck
from harness.drive.retry.strategy import Failure, Strategy
from harness.measure.journal import GaveUp
from harness.scenario_retry import NoRetry


class Never(Strategy):
    """Never tries again."""

    def __init__(self, config: NoRetry, rng: Luck) -> None:
        """There is nothing to remember."""

    def pause(self, failure: Failure) -> GaveUp:  # noqa: ARG002
        """Its one attempt is used up."""
        return GaveUp.ATTEMPTS_USED_UP
