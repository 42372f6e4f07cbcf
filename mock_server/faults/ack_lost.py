"""ack_lost: the upload is stored (or queued, if reading is asynchronous), and the connection reset before the response."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Scope


class AckLost(Fault):
    """The client cannot know. Its retry is a duplicate: 200, or a second copy if nothing dedupes."""

    scope: ClassVar[Scope] = "acknowledgement"
    replaces_response: ClassVar[bool] = True
    kind: Literal["ack_lost"]

    async def on_response(self, request: RequestActions, response: bytes, draw: float) -> bool:  # noqa: ARG002
        """Resets instead of acknowledging."""
        request.reset()
