"""A connection as the faults and limits see it: the transport between the socket and the HTTP library.

The library's transport is wrapped, so that responses can be captured, cut, or sent in small pieces, a connection can
end in RST instead of FIN, and one that sends no header in time is closed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import httptools

from mock_server.net.body_tap import BodyTap
from mock_server.net.shared_line import PacedWriter, Traffic

_LINGER_ZERO = struct.pack("ii", 1, 0)
_STATUS_LINE_BYTES = len(b"HTTP/1.1 200")
_HEADER_TIMEOUT_BODY = json.dumps(
    {
        "type": "about:blank",
        "title": HTTPStatus.REQUEST_TIMEOUT.phrase,
        "status": 408,
        "detail": "The header took too long",
    }
).encode()
_HEADER_TIMEOUT_RESPONSE = (
    b"HTTP/1.1 408 %s\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    b"Content-Length: %d\r\n\r\n%s"
    % (HTTPStatus.REQUEST_TIMEOUT.phrase.encode(), len(_HEADER_TIMEOUT_BODY), _HEADER_TIMEOUT_BODY)
)
_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})


class RequestFraming:
    """Follows where one request of a connection ends and the next begins, so that a header that has begun can be timed.

    aiohttp does not tell: it holds half a header back until the rest of it has come. Malformed input raises nothing:
    refusing it is left to aiohttp, which then closes the connection.
    """

    def __init__(self) -> None:
        self.headers = 0
        """Whole headers so far."""
        self.is_in_header = False
        """Whether a header has begun and not ended."""
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._body_headers: list[bytes] = []
        self._is_replaying = False

    def feed(self, data: bytes | memoryview) -> None:
        """Takes the next bytes, in pieces of any size."""
        while self._parser is not None and data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # The mock upgrades no connection: what follows is still HTTP.
                data = data[upgrade.args[0] :]
                self._skip_body()
            except httptools.HttpParserError:
                # `is_in_header` stays as it is: a malformed header is still timed, should aiohttp wait for its end.
                self._parser = None
            else:
                return

    def _skip_body(self) -> None:
        """Begins a new parser inside the body of the request whose header has just ended.

        httptools stops behind the header of a request that asks for an upgrade, and reads no body, though RFC 9110
        (7.8) allows it one. The new parser is first fed a header that announces the same body.
        """
        self._parser = httptools.HttpRequestParser(self)
        self._is_replaying = True
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(self._body_headers))
        self._is_replaying = False

    def on_message_begin(self) -> None:
        """Called by the parser at a header's first byte; empty lines before it are skipped (RFC 9112, 2.2)."""
        self.is_in_header = True
        if not self._is_replaying:
            self._body_headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser; keeps what determines the body's length."""
        if not self._is_replaying and name.lower() in _BODY_HEADERS:
            self._body_headers.append(b"%s: %s\r\n" % (name, value))

    def on_headers_complete(self) -> None:
        """Called by the parser at a header's end."""
        self.is_in_header = False
        self.headers += not self._is_replaying


class ServerConnection(asyncio.Transport):
    """The transport that the HTTP library writes to."""

    def __init__(self, transport: asyncio.Transport, traffic: Traffic | None = None) -> None:
        super().__init__()
        self._transport = transport
        self._traffic = Traffic() if traffic is None else traffic
        egress = self._traffic.egress
        self._paced = None if egress is None else PacedWriter(transport, egress)
        self._is_paused = False
        """Whether the HTTP library has enough for now."""
        self._is_held = False
        """Whether what was read last is still on the line."""
        self._awaits_handler = False
        """Whether a header is whole whose request no handler has begun yet."""
        self._captured: list[bytes] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._header_timeout_s = 0.0
        self._framing = RequestFraming()
        self._begun_requests = 0
        self._in_request = False
        self._status_line = b""
        self.sent_s: float | None = None
        """When the latest byte of the current request's response was sent, on the monotonic clock."""
        self.discards = False
        """Whether what still comes is thrown away unread."""
        self._has_received = False
        self.tap: BodyTap | None = None
        """What takes the body that comes now, instead of the HTTP library."""
        self.lost: asyncio.Future[None] = self._loop.create_future()

    def expect_header(self, within_s: float, header_timeout_s: float) -> None:
        """Closes the connection unless the first header is whole in time; later ones have `header_timeout_s`."""
        self._header_timeout_s = header_timeout_s
        self._timer = self._loop.call_later(within_s, self._give_up)

    def received(self, data: bytes | memoryview) -> None:
        """Follows what has come; a header that has begun has to end in time."""
        self._has_received = True
        headers = self._framing.headers
        self._framing.feed(data)
        if self._framing.headers > headers:
            self._cancel_timer()
        self._time_header()

    def _time_header(self) -> None:
        # A pipelined header is timed only from the response before it: its sender may be waiting for that.
        is_idle = not self._in_request and self._framing.headers <= self._begun_requests
        if self._framing.is_in_header and is_idle and self._timer is None:
            self._timer = self._loop.call_later(self._header_timeout_s, self._give_up)

    def begin_request(self) -> None:
        """Called when the handler of a request begins."""
        self._in_request = True
        self._begun_requests += 1
        self._status_line, self.sent_s = b"", None
        if self._awaits_handler:  # only after this step of the handler, so that it can be the one to take the body
            self._loop.call_soon(self._read_body)

    def end_request(self) -> None:
        """Called when the response of that request is ready."""
        self._in_request = False
        self._time_header()

    @property
    def awaits_header(self) -> bool:
        """Whether what comes next is a header, or what follows it without having been asked for."""
        return not self._in_request

    def await_handler(self) -> None:
        """Called when more may follow a header: leaves it in the kernel until a handler has begun, if the header is whole.

        A body that the HTTP library reads before its handler can say where to is copied twice.
        """
        if not self._in_request and self._framing.headers > self._begun_requests:
            self._awaits_handler = True
            self._read_or_wait()

    def _read_body(self) -> None:
        self._awaits_handler = False
        self._read_or_wait()

    @property
    def sent_status(self) -> int | None:
        """The status that was sent for the current request; None if no status line was."""
        line = self._status_line
        return int(line[9:12]) if line.startswith(b"HTTP/1.") and line[9:12].isdigit() else None

    async def linger(self, max_s: float, idle_s: float) -> None:
        """Reads and discards for a while, so that a client that still sends can read its response.

        Closing while bytes come turns a FIN into an RST, which may overtake the response (RFC 9112, 9.6).
        """
        self.discards = True
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self.write_eof()
        self.resume_reading()
        end = time.monotonic() + max_s
        self._has_received = True
        while self._has_received and not self.lost.done() and (left_s := end - time.monotonic()) > 0:
            self._has_received = False
            await asyncio.wait({self.lost}, timeout=min(idle_s, left_s))

    def end(self) -> None:
        """Called when the connection is lost."""
        self._cancel_timer()
        if not self.lost.done():
            self.lost.set_result(None)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        self._send(_HEADER_TIMEOUT_RESPONSE)
        self.close()

    def capture(self) -> None:
        """Keeps what is written from now on instead of sending it."""
        self._captured = []

    def captured(self) -> bytes:
        """What was kept; writing sends again."""
        pieces, self._captured = self._captured or [], None
        return b"".join(pieces)

    def reset(self) -> None:
        """Ends the connection with RST."""
        raw: socket.socket | None = self._transport.get_extra_info("socket")
        if raw is not None and not self._transport.is_closing():
            reset_when_closed(raw)
        self._transport.abort()

    def write_interim(self, data: bytes) -> None:
        """Sends an interim response (100 Continue), which does not count as the response."""
        self._send(data)

    def _send(self, data: bytes) -> None:
        self._traffic.sent_bytes += len(data)
        if self._paced is None:
            self._transport.write(data)
        else:
            self._paced.write(data)

    def _note_sent(self, data: Any) -> None:
        if not self._transport.is_closing():
            self.sent_s = time.monotonic()
            if len(self._status_line) < _STATUS_LINE_BYTES:
                self._status_line += bytes(data[: _STATUS_LINE_BYTES - len(self._status_line)])

    def write(self, data: Any) -> None:
        """Sends, or captures."""
        if self._captured is None:
            self._note_sent(data)
            self._send(bytes(data))
        else:
            self._captured.append(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Sends, or captures."""
        pieces = list(list_of_data)
        if self._captured is None:
            for piece in pieces:
                self._note_sent(piece)
            self._send(b"".join(pieces))
        else:
            self._captured.extend(map(bytes, pieces))

    def close(self) -> None:
        """Ends the connection with FIN once everything is sent."""
        if self._paced is None:
            self._transport.close()
        else:
            self._paced.close()

    def abort(self) -> None:
        """Ends the connection at once."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closed or closing."""
        return self._transport.is_closing() or (self._paced is not None and self._paced.is_closing)

    def pause_reading(self) -> None:
        """Makes the client wait."""
        self._is_paused = True
        self._read_or_wait()

    def resume_reading(self) -> None:
        """Lets the client go on, once what it has sent has passed the line."""
        self._is_paused = False
        self._read_or_wait()

    def hold(self, *, on_line: bool) -> None:
        """Makes the client wait as long as what was read last is on the line, whatever the library wants."""
        self._is_held = on_line
        self._read_or_wait()

    def _read_or_wait(self) -> None:
        reads = not (self._is_paused or self._is_held or self._awaits_handler)
        if self._transport.is_closing() or reads == self._transport.is_reading():
            return
        if reads:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def pause_sending(self, *, is_full: bool) -> None:
        """Called when the client does not take what it is sent, and when it does again."""
        if self._paced is not None:
            self._paced.is_paused = is_full
            self._paced.go_on()

    def is_reading(self) -> bool:
        """Whether the client may send."""
        return self._transport.is_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the socket's transport knows by this name."""
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """Bytes that wait to be sent."""
        waiting = 0 if self._paced is None else self._paced.buffered_bytes
        return self._transport.get_write_buffer_size() + waiting

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Where writing is paused and resumed."""
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Sets where writing is paused and resumed."""
        self._transport.set_write_buffer_limits(high, low)

    def can_write_eof(self) -> bool:
        """Whether it can be half-closed."""
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """Closes the sending half once everything is sent."""
        if self._paced is None:
            self._transport.write_eof()
        else:
            self._paced.write_eof()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hands the connection to another protocol."""
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that reads it."""
        return self._transport.get_protocol()


def reset_when_closed(raw: socket.socket) -> None:
    """Makes closing a socket send RST instead of FIN: a linger time of 0 discards what is unsent (socket(7))."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
