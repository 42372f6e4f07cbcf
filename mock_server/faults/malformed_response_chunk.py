"""malformed_response_chunk: a good status line, then garbage where a chunk should be, then the end."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions


class MalformedResponseChunk(Fault):
    """The status promises success; the chunked body that follows is none. The upload is stored."""

    ends_answers: ClassVar[bool] = True
    kind: Literal["malformed_response_chunk"]

    async def on_answer(self, exchange: RequestActions, answer: bytes, draw: float) -> bool:  # noqa: ARG002
        """Sends the answer's status line, a chunked header, garbage, and closes."""
        status_line = answer.split(b"\r\n", 1)[0]
        await exchange.write(status_line + b"\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n")
        await exchange.write(b"\x0bnot a chunk\xff\r\n")
        exchange.close()
