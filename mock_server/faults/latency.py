"""latency: every request waits before anything is done with it."""

from __future__ import annotations

from typing import Literal

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import DurationDistribution


class Latency(Fault):
    """Requests wait, as behind a congested network; the workers stay free."""

    kind: Literal["latency"]
    delay: DurationDistribution
    """How long: a duration, or a distribution of durations."""

    async def on_request(self, exchange: RequestActions, draw: float) -> None:
        """Waits for a drawn delay."""
        await exchange.sleep(self.delay.quantile(draw))
