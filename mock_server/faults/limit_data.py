"""limit_data: the connection is closed once this many bytes of the body have been received."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Size


class LimitData(Fault):
    """An upload is cut off in its middle; one that is smaller than the limit goes through."""

    kind: Literal["limit_data"]
    limit: Annotated[Size, Field(ge=0)]
    """Bytes of the body that are let through."""
    ending: Literal["fin", "rst"] = "fin"
    """How the connection ends; most systems turn a FIN into an RST while unread bytes are left."""

    async def on_body(self, request: RequestActions, size_bytes: int, total_bytes: int) -> bool:  # noqa: ARG002
        """Closes at the limit."""
        if total_bytes > self.limit:
            if self.ending == "rst":
                request.reset()
            request.close()
        return False
