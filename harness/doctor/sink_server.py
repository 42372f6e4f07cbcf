"""A server that reads each request to its end, forgets it, and answers 201: a process of its own, to measure the generator by.

`python -m harness.doctor.sink_server` says its port in a line of JSON, and ends with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import cast

import uvloop

_RESPONSE = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_BUFFER_BYTES = 1 << 18


class DiscardProtocol(asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._head = b""
        """Of a request whose head is not whole yet."""
        self._left_bytes = 0
        """Of a body that is not whole yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has come."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's derives from nothing

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's own name
        """Where the next bytes go: always the same place."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        if nbytes < self._left_bytes:
            self._left_bytes -= nbytes
            return
        rest = self._head + bytes(self._buffer[self._left_bytes : nbytes])
        if self._left_bytes:
            self._answer()
        self._head, self._left_bytes = b"", 0
        while rest:
            head, end, rest = rest.partition(_HEAD_END)
            if not end:
                self._head = head
                return
            found = _CONTENT_LENGTH.search(head)
            length = int(found[1]) if found else 0
            if len(rest) < length:
                self._left_bytes = length - len(rest)
                return
            rest = rest[length:]
            self._answer()

    def _answer(self) -> None:
        self._transport.write(_RESPONSE)


async def serve() -> None:
    """Until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(DiscardProtocol, "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps({"event": "ready", "port": port}) + "\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(serve())
