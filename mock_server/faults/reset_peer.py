"""reset_peer: the connection ends in RST before anything is answered."""

from __future__ import annotations

from typing import Literal

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Duration


class ResetPeer(Fault):
    """A request's connection is reset, after a while if so told; nothing of it is read or stored."""

    kind: Literal["reset_peer"]
    after: Duration = 0.0
    """Time from the request's header to the reset."""

    async def on_request(self, exchange: RequestActions, draw: float) -> None:  # noqa: ARG002
        """Resets."""
        await exchange.sleep(self.after)
        exchange.reset()
