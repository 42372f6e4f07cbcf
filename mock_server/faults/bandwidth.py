"""bandwidth: bodies come in, and answers go out, no faster than a rate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Rate

_PIECES_PER_S = 20


class Bandwidth(Fault):
    """Each request it hits has this rate for itself, in both directions."""

    kind: Literal["bandwidth"]
    rate: Annotated[Rate, Field(gt=0)]
    """Bytes per second, as in "64KB/s"."""

    async def on_body(self, exchange: RequestActions, size_bytes: int, total_bytes: int) -> bool:  # noqa: ARG002
        """Reads the next piece only when this one's time is over."""
        await exchange.sleep(size_bytes / self.rate)
        return True

    async def on_answer(self, exchange: RequestActions, answer: bytes, draw: float) -> bool:  # noqa: ARG002
        """Sends in pieces at the rate."""
        piece = max(1, int(self.rate / _PIECES_PER_S))
        for begin in range(0, len(answer), piece):
            sent = answer[begin : begin + piece]
            await exchange.sleep(len(sent) / self.rate)
            await exchange.write(sent)
        return True
