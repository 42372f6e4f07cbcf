"""A connection as the faults and limits see it: what stands between the socket and the HTTP library.

The library's own protocol object is wrapped, so that answers can be caught, cut, or sent by drips, a connection can end
in RST instead of FIN, and one that sends no header in time is closed.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any, cast

_RESET = struct.pack("ii", 1, 0)
_TOO_LATE = b'{"type":"about:blank","title":"The header took too long","status":408}'
_TOO_LATE_ANSWER = (
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_TOO_LATE), _TOO_LATE)
)


class Connection(asyncio.Transport):
    """The transport that the HTTP library writes to."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._caught: list[bytes] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._in_request = False
        self.lost: asyncio.Future[None] = self._loop.create_future()

    def expect_header(self, within_s: float) -> None:
        """Closes the connection unless a request begins in time; asking again does not extend it."""
        if self._timer is None and not self._in_request:
            self._timer = self._loop.call_later(within_s, self._give_up)

    def begin_request(self) -> None:
        """A whole header has come."""
        self._in_request = True
        self._forget_timer()

    def end_request(self) -> None:
        """Its answer is sent."""
        self._in_request = False

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
        self._transport.write(_TOO_LATE_ANSWER)
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
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def write(self, data: Any) -> None:
        """Sends, or keeps back."""
        if self._caught is None:
            self._transport.write(data)
        else:
            self._caught.append(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Sends, or keeps back."""
        if self._caught is None:
            self._transport.writelines(list_of_data)
        else:
            self._caught.extend(map(bytes, list_of_data))

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


class Connections:
    """All open connections of a port."""

    def __init__(self, most: int, header_timeout_s: float) -> None:
        self._most = most
        self.header_timeout_s = header_timeout_s
        self._open: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._open)

    def factory(self, inner: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Makes the protocol of a new connection."""
        return lambda: _Guard(inner(), self)

    def add(self, connection: Connection) -> bool:
        """Counts a connection in; whether there is room for it."""
        self._open.add(connection)
        return len(self._open) <= self._most

    def discard(self, connection: Connection) -> None:
        """Counts a connection out."""
        self._open.discard(connection)

    def reset_all(self) -> None:
        """Ends every open connection with RST."""
        for connection in tuple(self._open):
            connection.reset()


class _Guard(asyncio.Protocol):
    """Hands a connection's events on to the HTTP library, and watches the time that headers take."""

    def __init__(self, inner: asyncio.Protocol, connections: Connections) -> None:
        self._inner = inner
        self._connections = connections
        self._connection: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection = Connection(cast("asyncio.Transport", transport))
        self._inner.connection_made(self._connection)
        if self._connections.add(self._connection):
            self._connection.expect_header(self._connections.header_timeout_s)
        else:
            self._connection.abort()

    def data_received(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.expect_header(self._connections.header_timeout_s)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._connections.discard(self._connection)
            self._connection.end()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
