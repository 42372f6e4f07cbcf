"""slow_close: the response comes, and the connection is closed a while later."""

from __future__ import annotations

from typing import Literal

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Duration


class SlowClose(Fault):
    """After the response the connection stays open for a while and is then closed; it serves no other request."""

    kind: Literal["slow_close"]
    delay: Duration
    """Time from the response to the FIN."""

    async def on_response(self, request: RequestActions, response: bytes, draw: float) -> bool:  # noqa: ARG002
        """Responds, waits, closes."""
        await request.write(response)
        await request.sleep(self.delay)
        request.close()
