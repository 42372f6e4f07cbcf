"""`none`: one attempt a page."""

from __future__ import annotations

from harness.run_folder.journal import GaveUp
from harness.scenario.retry import NoRetry
from harness.station.retry.rng import Luck
from harness.station.retry.strategy import Failure, Strategy


class Never(Strategy):
    """Never tries again."""

    def __init__(self, config: NoRetry, rng: Luck) -> None:
        """There is nothing to remember."""

    def pause(self, failure: Failure) -> GaveUp:  # noqa: ARG002
        """Its one attempt is used up."""
        return GaveUp.ATTEMPTS_USED_UP
