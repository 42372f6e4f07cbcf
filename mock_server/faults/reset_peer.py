"""reset_peer: the connection is reset before the response."""

from __future__ import annotations

from typing import Literal

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Duration


class ResetPeer(Fault):
    """A request's connection is reset, at once or after a while; its body is not read and nothing is stored."""

    kind: Literal["reset_peer"]
    after: Duration = 0.0
    """Time from the request's header to the reset."""

    async def on_request(self, request: RequestActions, draw: float) -> None:  # noqa: ARG002
        """Resets."""
        await request.sleep(self.after)
        request.reset()
