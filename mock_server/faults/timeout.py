"""timeout: the request is held and never answered."""

from __future__ import annotations

from typing import Literal

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Duration


class Timeout(Fault):
    """The server takes the header and falls silent; of the body only what fits into buffers is taken."""

    kind: Literal["timeout"]
    after: Duration | None = None
    """When the connection is closed; left out: never, until the client leaves or the fault is healed."""

    async def on_request(self, exchange: RequestActions, draw: float) -> None:  # noqa: ARG002
        """Holds, then closes without an answer."""
        await exchange.hold(self.after)
        exchange.close()
