"""latency: every request waits before it is processed."""

from __future__ import annotations

from typing import Literal

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import DurationDistribution, whole_nanoseconds


class Latency(Fault):
    """Requests are delayed as by a congested network; the workers stay free."""

    kind: Literal["latency"]
    delay: DurationDistribution
    """Delay: a duration, or a distribution of durations."""

    async def on_request(self, request: RequestActions, draw: float) -> None:
        """Waits for a drawn delay."""
        await request.sleep(whole_nanoseconds(self.delay.quantile(draw)))
