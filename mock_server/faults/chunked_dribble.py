"""chunked_dribble: the answer's body comes as chunks, spread over a time."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Duration

_FRAMING = (b"content-length:", b"transfer-encoding:")


class ChunkedDribble(Fault):
    """The head comes at once, the body by drips, whole in the end."""

    kind: Literal["chunked_dribble"]
    chunks: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Number of chunks, as far as there are bytes for them."""
    total: Duration
    """Time from the first chunk to the last."""

    async def on_answer(self, exchange: RequestActions, answer: bytes, draw: float) -> bool:  # noqa: ARG002
        """Sends head, chunks with pauses, and the last chunk."""
        head, _, body = answer.partition(b"\r\n\r\n")
        if not body:  # of a HEAD, or 204: chunks would be taken for the next answer
            return False
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(_FRAMING)]
        await exchange.write(b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b""]))
        size = -(-len(body) // self.chunks) or 1
        pieces = [body[begin : begin + size] for begin in range(0, len(body), size)]
        for number, piece in enumerate(pieces):
            if number:
                await exchange.sleep(self.total / (len(pieces) - 1))
            await exchange.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await exchange.write(b"0\r\n\r\n")
        return True
