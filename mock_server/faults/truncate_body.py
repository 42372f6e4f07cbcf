"""truncate_body: the response ends before its Content-Length is reached."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Probability


class TruncateBody(Fault):
    """The header is whole, only part of the body comes, then FIN. The upload is stored."""

    replaces_response: ClassVar[bool] = True
    kind: Literal["truncate_body"]
    keep: Annotated[Probability, Field(lt=1)] = 0.5
    """Share of the body that is sent."""

    async def on_response(self, request: RequestActions, response: bytes, draw: float) -> bool:  # noqa: ARG002
        """Sends that part and closes."""
        head, divider, body = response.partition(b"\r\n\r\n")
        if body:
            await request.write(head + divider + body[: int(len(body) * self.keep)])
            request.close()
        return False
