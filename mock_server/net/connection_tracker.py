"""All connections of a port: counted, timed, and reset together; each is watched from its first byte on."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import NamedTuple, cast

from mock_server.net.connection import ServerConnection, reset_when_closed


class ConnectionTracker:
    """All open connections of a port."""

    def __init__(self, most: int, header_timeout_s: float) -> None:
        self._most = most
        self.header_timeout_s = header_timeout_s
        self._open: set[ServerConnection] = set()
        self._handshakes: dict[asyncio.Protocol, _TlsHandshake] = {}

    def __len__(self) -> int:
        return len(self._open) + len(self._handshakes)

    def factory(self, inner: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Makes the protocol of a new connection."""
        return lambda: _TrackedProtocol(inner(), self)

    def add(self, connection: ServerConnection) -> bool:
        """Counts a connection in; whether there is room for it."""
        self._open.add(connection)
        return len(self) <= self._most

    def discard(self, connection: ServerConnection) -> None:
        """Counts a connection out."""
        self._open.discard(connection)

    def reset_all(self) -> None:
        """Ends every open connection with RST."""
        for connection in tuple(self._open):
            connection.reset()
        for handshake in tuple(self._handshakes.values()):
            reset_when_closed(handshake.line)
            handshake.task.cancel()

    def shake_hands(self, line: socket.socket, guard: asyncio.Protocol, context: ssl.SSLContext) -> None:
        """Begins to speak TLS with who has connected: counted as a connection, with no more time than a header."""
        if len(self) >= self._most:
            line.close()
            return
        handshake = asyncio.get_running_loop().connect_accepted_socket(
            lambda: guard, line, ssl=context, ssl_handshake_timeout=max(0.001, self.header_timeout_s)
        )
        task = asyncio.ensure_future(handshake)
        self._handshakes[guard] = _TlsHandshake(line, task)

        def over(_task: object) -> None:
            self.shook_hands(guard)
            if task.cancelled() or task.exception() is not None:  # no TLS, none that we speak, too late, or gone
                line.close()

        task.add_done_callback(over)

    def shook_hands(self, guard: asyncio.Protocol) -> None:
        """Counts a handshake out, however it ended."""
        self._handshakes.pop(guard, None)

    async def give_handshakes_up(self) -> None:
        """Ends those that are under way."""
        tasks = [handshake.task for handshake in self._handshakes.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _TlsHandshake(NamedTuple):
    line: socket.socket
    task: asyncio.Future[tuple[asyncio.Transport, asyncio.Protocol]]


class _TrackedProtocol(asyncio.Protocol):
    """Hands a connection's events on to the HTTP library, and watches the time that headers take."""

    def __init__(self, inner: asyncio.Protocol, connections: ConnectionTracker) -> None:
        self._inner = inner
        self._connections = connections
        self._connection: ServerConnection | None = None
        self.begun_s = asyncio.get_running_loop().time()
        """When the connection was taken: the first header's time counts from then, a TLS handshake is part of it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection = ServerConnection(cast("asyncio.Transport", transport))
        self._connections.shook_hands(self)
        self._inner.connection_made(self._connection)
        if not self._connections.add(self._connection):
            self._connection.abort()
            return
        timeout_s = self._connections.header_timeout_s
        spent_s = asyncio.get_running_loop().time() - self.begun_s
        self._connection.expect_header(max(0.0, timeout_s - spent_s), timeout_s)

    def data_received(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.received(data)
        if self._connection is None or not self._connection.discards:
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
