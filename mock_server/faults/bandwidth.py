"""bandwidth: bodies are read, and responses sent, no faster than a rate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Rate

_PIECES_PER_S = 20  # small enough for a smooth rate, large enough that timers cost little


class Bandwidth(Fault):
    """Each request that it hits has this rate to itself, in both directions."""

    kind: Literal["bandwidth"]
    rate: Annotated[Rate, Field(gt=0)]
    """Bytes per second, as in "64KB/s"."""

    async def on_body(self, request: RequestActions, size_bytes: int, total_bytes: int) -> bool:  # noqa: ARG002
        """Delays the next read until this piece has taken its time at the rate."""
        await request.sleep(size_bytes / self.rate)
        return True

    async def on_response(self, request: RequestActions, response: bytes, draw: float) -> bool:  # noqa: ARG002
        """Sends in pieces at the rate."""
        piece = max(1, int(self.rate / _PIECES_PER_S))
        for begin in range(0, len(response), piece):
            sent = response[begin : begin + piece]
            await request.sleep(len(sent) / self.rate)
            await request.write(sent)
        return True
