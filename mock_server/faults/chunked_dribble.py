"""chunked_dribble: the response's body comes in chunks, spread over a time."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Duration

_FRAMING = (b"content-length:", b"transfer-encoding:")


class ChunkedDribble(Fault):
    """The header comes at once, the body slowly, and whole in the end."""

    kind: Literal["chunked_dribble"]
    chunks: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Number of chunks; fewer if the body has fewer bytes."""
    total: Duration
    """Time from the first chunk to the last."""

    async def on_response(self, request: RequestActions, response: bytes, draw: float) -> bool:  # noqa: ARG002
        """Sends the header, chunks with pauses, and the last chunk."""
        head, _, body = response.partition(b"\r\n\r\n")
        if not body:  # of a HEAD, or 204: a client would read the chunks as the next response
            return False
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(_FRAMING)]
        await request.write(b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b""]))
        # Rounded up, so that there are at most `chunks` pieces; the last one may be shorter.
        size = -(-len(body) // self.chunks) or 1
        pieces = [body[begin : begin + size] for begin in range(0, len(body), size)]
        for number, piece in enumerate(pieces):
            if number:
                await request.sleep(self.total / (len(pieces) - 1))
            await request.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await request.write(b"0\r\n\r\n")
        return True
