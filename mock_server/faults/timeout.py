"""timeout: the request is held and never gets a response."""

from __future__ import annotations

from typing import Literal

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Duration


class Timeout(Fault):
    """The server reads the header and then nothing more; of the body it receives only what fits into buffers."""

    kind: Literal["timeout"]
    after: Duration | None = None
    """When the connection is closed; left out: once the client disconnects or the fault is over."""

    async def on_request(self, request: RequestActions, draw: float) -> None:  # noqa: ARG002
        """Holds, then closes without a response."""
        await request.hold(self.after)
        request.close()
