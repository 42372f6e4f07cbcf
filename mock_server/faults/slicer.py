"""slicer: the answer comes in small slices with pauses between them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Duration, Size


class Slicer(Fault):
    """Every slice is a segment of its own, so a client that expects whole lines at once breaks."""

    kind: Literal["slicer"]
    size: Annotated[Size, Field(ge=1)] = 16
    """Bytes a slice."""
    delay: Duration = 0.001
    """Pause between two slices."""

    async def on_answer(self, exchange: RequestActions, answer: bytes, draw: float) -> bool:  # noqa: ARG002
        """Sends slice by slice."""
        for begin in range(0, len(answer), self.size):
            if begin:
                await exchange.sleep(self.delay)
            await exchange.write(answer[begin : begin + self.size])
        return True
