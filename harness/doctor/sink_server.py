"""A server that reads each request to its end, discards it, and answers 201: the generator's ceiling is measured against it.

`python -m harness.doctor.sink_server` is a process of its own: it writes its port as one line of JSON and exits when its stdin ends.
It is written on raw bytes, so that it never is the bottleneck; it accepts only what our client sends.
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
    """One connection; a request is recognised by its head and its Content-Length alone."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._head = b""
        """The beginning of a head that has not arrived completely."""
        self._left_bytes = 0
        """How much of the current body is still to come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the responses."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's derives from nothing

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's own name
        """The same buffer every time: bodies are overwritten, never copied."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Discard what belongs to a body, and answer every request that is complete."""
        if nbytes < self._left_bytes:
            self._left_bytes -= nbytes
            return
        rest = self._head + bytes(self._buffer[self._left_bytes : nbytes])
        if self._left_bytes:
            self._respond()
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
            self._respond()

    def _respond(self) -> None:
        self._transport.write(_RESPONSE)


async def serve() -> None:
    """Serve on a free port of loopback until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(DiscardProtocol, "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps({"event": "ready", "port": port}) + "\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(serve())
