"""malformed_response_chunk: a good status line, garbage in place of a chunk, then the end of the connection."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions


class MalformedResponseChunk(Fault):
    """The status reports success; the body is not validly chunked. The upload is stored."""

    replaces_response: ClassVar[bool] = True
    kind: Literal["malformed_response_chunk"]

    async def on_response(self, request: RequestActions, response: bytes, draw: float) -> bool:  # noqa: ARG002
        """Sends the response's status line, a chunked header and garbage, and closes."""
        status_line = response.split(b"\r\n", 1)[0]
        await request.write(status_line + b"\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n")
        await request.write(b"\x0bnot a chunk\xff\r\n")
        request.close()
