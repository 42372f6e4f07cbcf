"""empty_response: the connection is closed without a byte of a response."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions


class EmptyResponse(Fault):
    """The upload is stored; its client gets FIN only."""

    replaces_response: ClassVar[bool] = True
    kind: Literal["empty_response"]

    async def on_response(self, request: RequestActions, response: bytes, draw: float) -> bool:  # noqa: ARG002
        """Closes."""
        request.close()
