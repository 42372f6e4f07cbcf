"""A port that can be closed and opened again and stays reserved meanwhile, and the connections that it has accepted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import NamedTuple, cast

from mock_server.net.connection import ServerConnection, reset_when_closed
from mock_server.net.shared_line import SharedLine, Traffic

BACKLOG = 4096
_ACCEPTS_PER_EVENT = 100
_RETRY_S = 0.1
_RECEIVE_BUFFER_BYTES = 2**20
"""So that a photo comes in few large pieces instead of many small ones; the kernel takes what it allows of it."""
_HEADER_READ_BYTES, _BODY_READ_BYTES = 2**13, 2**19
"""What is read at once: little as long as a header is awaited, because what follows it is better read by its handler."""


class ConnectionTracker:
    """All open connections of a port: counted, their headers timed, and reset together."""

    def __init__(self, max_connections: int, header_timeout_s: float, traffic: Traffic | None = None) -> None:
        self._max_connections = max_connections
        self.header_timeout_s = header_timeout_s
        self.traffic = Traffic() if traffic is None else traffic
        self.buffer = bytearray(_BODY_READ_BYTES)
        """What sockets are read into. One is enough: what is read is passed on before the next read."""
        self._open: set[ServerConnection] = set()
        self._handshakes: dict[asyncio.BaseProtocol, _TlsHandshake] = {}

    def __len__(self) -> int:
        return len(self._open) + len(self._handshakes)

    def factory(self, inner: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.BaseProtocol]:
        """Makes the protocol of a new connection, around one that `inner` makes."""
        ingress = self.traffic.ingress
        if ingress is None:
            return lambda: _TrackedProtocol(inner(), self)
        return lambda: _LineProtocol(inner(), self, ingress)

    def add(self, connection: ServerConnection) -> bool:
        """Counts a connection; False if that is one too many."""
        self._open.add(connection)  # even if it is one too many: `discard` follows when it is lost
        return len(self) <= self._max_connections

    def discard(self, connection: ServerConnection) -> None:
        """Forgets a connection that was lost."""
        self._open.discard(connection)

    def reset_all(self) -> None:
        """Ends every open connection with RST."""
        for connection in tuple(self._open):
            connection.reset()
        for handshake in tuple(self._handshakes.values()):
            reset_when_closed(handshake.raw)
            handshake.task.cancel()  # its done callback closes the socket

    def begin_handshake(self, raw: socket.socket, protocol: asyncio.BaseProtocol, context: ssl.SSLContext) -> None:
        """Begins TLS on an accepted socket: it counts as a connection, and has no more time than a header."""
        if len(self) >= self._max_connections:
            raw.close()
            return
        handshake = asyncio.get_running_loop().connect_accepted_socket(
            lambda: protocol, raw, ssl=context, ssl_handshake_timeout=max(0.001, self.header_timeout_s)
        )
        task = asyncio.ensure_future(handshake)
        self._handshakes[protocol] = _TlsHandshake(raw, task)

        def ended(_task: object) -> None:
            self.end_handshake(protocol)
            if task.cancelled() or task.exception() is not None:  # not TLS, no common version, too late, or closed
                raw.close()

        task.add_done_callback(ended)

    def end_handshake(self, protocol: asyncio.BaseProtocol) -> None:
        """Forgets a handshake, however it ended."""
        self._handshakes.pop(protocol, None)

    async def cancel_handshakes(self) -> None:
        """Ends the handshakes that are in progress."""
        tasks = [handshake.task for handshake in self._handshakes.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _TlsHandshake(NamedTuple):
    raw: socket.socket
    task: asyncio.Future[tuple[asyncio.Transport, asyncio.BaseProtocol]]


class _TrackedConnection(asyncio.BaseProtocol):
    """Passes a connection's events on to the HTTP library's protocol, and times its headers."""

    def __init__(self, inner: asyncio.Protocol, tracker: ConnectionTracker) -> None:
        self._inner = inner
        self._tracker = tracker
        self._connection: ServerConnection | None = None
        self._begun_s = asyncio.get_running_loop().time()
        """When the connection was accepted: the first header's time counts from then, a TLS handshake included."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection = ServerConnection(cast("asyncio.Transport", transport), self._tracker.traffic)
        self._tracker.end_handshake(self)
        # The library's protocol first: it must have had `connection_made` before it learns of the loss.
        self._inner.connection_made(self._connection)
        if not self._tracker.add(self._connection):
            self._connection.abort()
            return
        timeout_s = self._tracker.header_timeout_s
        spent_s = asyncio.get_running_loop().time() - self._begun_s
        self._connection.expect_header(max(0.0, timeout_s - spent_s), timeout_s)

    def _pass_on(self, data: bytes | bytearray, size: int) -> None:
        """Passes on the first `size` bytes."""
        connection, passed = self._connection, 0
        if connection is not None:
            connection.received(memoryview(data)[:size])
            if connection.discards:
                return
            if connection.tap is not None:
                passed = connection.tap.feed(data, 0, size)
        if passed < size:
            self._inner.data_received(bytes(memoryview(data)[passed:size]))

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._tracker.discard(self._connection)
            self._connection.end()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._connection is not None:
            self._connection.pause_sending(is_full=True)
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._connection is not None:
            self._connection.pause_sending(is_full=False)
        self._inner.resume_writing()


class _TrackedProtocol(_TrackedConnection, asyncio.BufferedProtocol):
    """A connection that has its own line."""

    def __init__(self, inner: asyncio.Protocol, tracker: ConnectionTracker) -> None:
        super().__init__(inner, tracker)
        self._whole = memoryview(tracker.buffer)
        self._small = self._whole[:_HEADER_READ_BYTES]

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - how much is read is decided here
        return self._small if self._connection is None or self._connection.awaits_header else self._whole

    def buffer_updated(self, nbytes: int) -> None:
        self._tracker.traffic.received_bytes += nbytes
        self._pass_on(self._tracker.buffer, nbytes)
        if nbytes == _HEADER_READ_BYTES and self._connection is not None:
            self._connection.await_handler()


class _LineProtocol(_TrackedConnection, asyncio.BufferedProtocol):
    """A connection that shares the ingress: what is read counts as received once it has passed that line."""

    def __init__(self, inner: asyncio.Protocol, tracker: ConnectionTracker, line: SharedLine) -> None:
        super().__init__(inner, tracker)
        self._line = line
        self._on_line = b""
        self._ready_s: float | None = None

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - never more than a piece
        return self._line.buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._line.buffer[:nbytes])
        self._tracker.traffic.received_bytes += nbytes
        self._ready_s = self._line.admit(nbytes, self._ready_s)
        # TLS may hand over what it had decrypted before it was paused: that joins the piece on the line, so that the order
        # stays. Its time on the line is spent, but it passes with the piece before it.
        if not self._on_line and self._line.has_passed(self._ready_s):
            self._pass_on(data, nbytes)
            return
        is_waiting = bool(self._on_line)
        self._on_line += data
        if not is_waiting and self._connection is not None:
            self._connection.hold(on_line=True)
            self._line.call_when_passed(self._ready_s, self._passed)

    def _passed(self) -> None:
        data, self._on_line = self._on_line, b""
        if not data or self._connection is None:  # the connection was lost meanwhile, or its end has come
            return
        self._pass_on(data, len(data))
        self._connection.hold(on_line=False)

    def eof_received(self) -> bool | None:
        # What was sent before the end goes before it; its time on the line is spent already.
        self._passed()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_line = b""
        super().connection_lost(exc)


class Listener:
    """Listens on one address."""

    def __init__(
        self, factory: Callable[[], asyncio.Protocol], connections: ConnectionTracker, tls: ssl.SSLContext | None
    ) -> None:
        self._factory = connections.factory(factory)
        self._connections = connections
        self._tls = tls
        self._anchor: socket.socket | None = None
        self._server: asyncio.Server | _TlsServer | None = None
        self._opening: asyncio.Task[None] | None = None

    async def open(self, host: str, port: int) -> int:
        """Begins to listen; the port, chosen by the kernel if `port` is 0."""
        self._anchor = _bound_socket(host, port)
        await self._listen()
        chosen: int = self._anchor.getsockname()[1]
        return chosen

    async def _listen(self) -> None:
        if self._anchor is None or self._server is not None:
            return
        # A second socket on the anchor's address: a socket cannot stop listening and stay bound.
        address = self._anchor.getsockname()
        listening = _bound_socket(address[0], address[1])
        if self._tls is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._factory, sock=listening, backlog=BACKLOG)
        else:
            self._server = _TlsServer(listening, self._factory, self._connections, self._tls)

    def close_port(self) -> None:
        """Stops listening: new connections are refused, open ones are reset.

        A second socket, bound but not listening, keeps the port from being given to another process.
        """
        if self._server is not None:
            self._server.close()
            self._server = None
        self._connections.reset_all()

    def open_port(self) -> None:
        """Listens again."""
        self._opening = asyncio.get_running_loop().create_task(self._listen())

    async def close(self) -> None:
        """Stops listening for good; open connections stay."""
        if self._opening is not None:
            with contextlib.suppress(OSError):  # the port could not be opened again; there is nothing to close then
                await self._opening
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._anchor is not None:
            self._anchor.close()
            self._anchor = None
        await self._connections.cancel_handshakes()


class _TlsServer:
    """Accepts connections itself: asyncio's servers do not show a connection before its handshake has succeeded."""

    def __init__(
        self,
        listening: socket.socket,
        factory: Callable[[], asyncio.BaseProtocol],
        connections: ConnectionTracker,
        context: ssl.SSLContext,
    ) -> None:
        self._listening = listening
        self._factory = factory
        self._connections = connections
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        listening.listen(BACKLOG)
        self._begin()

    def _begin(self) -> None:
        self._loop.add_reader(self._listening.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_EVENT):
            try:
                raw, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # out of descriptors: what waits stays in the backlog for a while
                self._loop.remove_reader(self._listening.fileno())
                self._retry = self._loop.call_later(_RETRY_S, self._begin)
                return
            raw.setblocking(False)
            self._connections.begin_handshake(raw, self._factory(), self._context)

    def close(self) -> None:
        """Stops listening."""
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()


def _bound_socket(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        # Lets the anchor and the listening socket share the port, and a restart use it despite TIME_WAIT.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound
