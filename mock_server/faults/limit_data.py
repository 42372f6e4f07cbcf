"""limit_data: the connection is closed once so many bytes of the body have come."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Size


class LimitData(Fault):
    """An upload breaks off in its middle; one that is smaller than the limit goes through."""

    kind: Literal["limit_data"]
    limit: Annotated[Size, Field(ge=0)]
    """Bytes of the body that are let through."""
    ending: Literal["fin", "rst"] = "fin"
    """How the connection ends; what was not read yet turns a FIN into an RST in most systems."""

    async def on_body(self, exchange: RequestActions, size_bytes: int, total_bytes: int) -> bool:  # noqa: ARG002
        """Closes at the limit."""
        if total_bytes > self.limit:
            if self.ending == "rst":
                exchange.reset()
            exchange.close()
        return False
