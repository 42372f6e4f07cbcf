"""A connection as the faults and limits see it: what stands between the socket and the HTTP library.

The library's own protocol object is wrapped, so that answers can be caught, cut, or sent by drips, a connection can end
in RST instead of FIN, and one that sends no header in time is closed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Iterable
from typing import Any

from mock_server.http.responses import reason_phrase
from mock_server.net.framing import RequestFraming

_LINGER_ZERO = struct.pack("ii", 1, 0)
_STATUS_LINE_BYTES = len(b"HTTP/1.1 200")
_HEADER_TIMEOUT_BODY = json.dumps(
    {"type": "about:blank", "title": reason_phrase(408), "status": 408, "detail": "The header took too long"}
).encode()
_HEADER_TIMEOUT_RESPONSE = (
    b"HTTP/1.1 408 %s\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (reason_phrase(408).encode(), len(_HEADER_TIMEOUT_BODY), _HEADER_TIMEOUT_BODY)
)


class ServerConnection(asyncio.Transport):
    """The transport that the HTTP library writes to."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._caught: list[bytes] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._header_timeout_s = 0.0
        self._framing = RequestFraming()
        self._begun_requests = 0
        self._in_request = False
        self._first_sent = b""
        self.sent_s: float | None = None
        """When the latest byte of the running request's answer was sent, on the monotonic clock."""
        self.discards = False
        """Whether what still comes is thrown away: nobody will look at it."""
        self._heard = False
        self.lost: asyncio.Future[None] = self._loop.create_future()

    def expect_header(self, within_s: float, header_timeout_s: float) -> None:
        """Closes the connection unless the first header is whole in time; later ones have `header_timeout_s`."""
        self._header_timeout_s = header_timeout_s
        self._timer = self._loop.call_later(within_s, self._give_up)

    def received(self, data: bytes) -> None:
        """Follows what has come; a header that has begun has to end in time."""
        self._heard = True
        headers = self._framing.headers
        self._framing.feed(data)
        if self._framing.headers > headers:
            self._forget_timer()
        self._time_header()

    def _time_header(self) -> None:
        """A header behind a request that is not answered yet is timed from the answer on: its sender may be waiting."""
        is_idle = not self._in_request and self._framing.headers <= self._begun_requests
        if self._framing.is_in_header and is_idle and self._timer is None:
            self._timer = self._loop.call_later(self._header_timeout_s, self._give_up)

    def begin_request(self) -> None:
        """A whole header has come, and its request is looked at."""
        self._in_request = True
        self._begun_requests += 1
        self._first_sent, self.sent_s = b"", None

    def end_request(self) -> None:
        """Its answer is ready."""
        self._in_request = False
        self._time_header()

    @property
    def sent_status(self) -> int | None:
        """The status that was sent for the running request; None if no status line was."""
        line = self._first_sent
        return int(line[9:12]) if line.startswith(b"HTTP/1.") and line[9:12].isdigit() else None

    async def linger(self, longest_s: float, silence_s: float) -> None:
        """Goes on reading for a while, into nothing, so that a client that still sends can read its answer.

        Closing while bytes come turns a FIN into an RST, which may overtake the answer.
        """
        self.discards = True
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        if not self._transport.is_reading() and not self._transport.is_closing():
            self._transport.resume_reading()
        end = time.monotonic() + longest_s
        self._heard = True
        while self._heard and not self.lost.done() and (left_s := end - time.monotonic()) > 0:
            self._heard = False
            await asyncio.wait({self.lost}, timeout=min(silence_s, left_s))

    def end(self) -> None:
        """The connection is gone."""
        self._forget_timer()
        if not self.lost.done():
            self.lost.set_result(None)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        self._transport.write(_HEADER_TIMEOUT_RESPONSE)
        self._transport.close()

    def catch(self) -> None:
        """Keeps back what is written from now on."""
        self._caught = []

    def caught(self) -> bytes:
        """What was kept back; writing goes through again."""
        pieces, self._caught = self._caught or [], None
        return b"".join(pieces)

    def reset(self) -> None:
        """Ends the connection with RST."""
        raw: socket.socket | None = self._transport.get_extra_info("socket")
        if raw is not None and not self._transport.is_closing():
            reset_when_closed(raw)
        self._transport.abort()

    def interim(self, data: bytes) -> None:
        """Sends what is no answer yet (100 Continue)."""
        self._transport.write(data)

    def _note(self, data: Any) -> None:
        if not self._transport.is_closing():
            self.sent_s = time.monotonic()
            if len(self._first_sent) < _STATUS_LINE_BYTES:
                self._first_sent += bytes(data[: _STATUS_LINE_BYTES - len(self._first_sent)])

    def write(self, data: Any) -> None:
        """Sends, or keeps back."""
        if self._caught is None:
            self._note(data)
            self._transport.write(data)
        else:
            self._caught.append(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Sends, or keeps back."""
        pieces = list(list_of_data)
        if self._caught is None:
            for piece in pieces:
                self._note(piece)
            self._transport.writelines(pieces)
        else:
            self._caught.extend(map(bytes, pieces))

    def close(self) -> None:
        """Ends the connection with FIN once all is sent."""
        self._transport.close()

    def abort(self) -> None:
        """Ends the connection at once."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Lets the client wait."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Lets the client go on."""
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        """Whether the client may send."""
        return self._transport.is_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the socket says of itself."""
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """Bytes that wait to be sent."""
        return self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Where writing is paused and resumed."""
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Sets where writing is paused and resumed."""
        self._transport.set_write_buffer_limits(high, low)

    def can_write_eof(self) -> bool:
        """Whether one half can be closed."""
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """Closes one half."""
        self._transport.write_eof()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hands the connection to another protocol."""
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who reads it."""
        return self._transport.get_protocol()


def reset_when_closed(line: socket.socket) -> None:
    """Makes a socket's end an RST instead of a FIN."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
