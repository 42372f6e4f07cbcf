"""slicer: the response comes in small slices with pauses between them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Duration, Size


class Slicer(Fault):
    """Every slice is a TCP segment of its own: a client that expects whole lines in one read breaks."""

    kind: Literal["slicer"]
    size: Annotated[Size, Field(ge=1)] = 16
    """Bytes per slice."""
    delay: Duration = 0.001
    """Pause between two slices."""

    async def on_response(self, request: RequestActions, response: bytes, draw: float) -> bool:  # noqa: ARG002
        """Sends slice by slice."""
        for begin in range(0, len(response), self.size):
            if begin:
                await request.sleep(self.delay)
            await request.write(response[begin : begin + self.size])
        return True
