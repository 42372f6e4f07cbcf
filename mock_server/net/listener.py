"""A port that can be closed and opened again, and stays ours meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

from mock_server.net.connection_tracker import ConnectionTracker

BACKLOG = 4096
_ACCEPTS_PER_EVENT = 100
_RETRY_S = 0.1
_RECEIVE_BUFFER_BYTES = 2**20
"""So that a photo comes in few large pieces instead of many small ones; the kernel takes what it allows of it."""


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
        """Begins to listen; the port (chosen by the kernel if 0 was asked for)."""
        self._anchor = _bound_socket(host, port)
        await self._listen()
        chosen: int = self._anchor.getsockname()[1]
        return chosen

    async def _listen(self) -> None:
        if self._anchor is None or self._server is not None:
            return
        address = self._anchor.getsockname()
        listening = _bound_socket(address[0], address[1])
        if self._tls is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._factory, sock=listening, backlog=BACKLOG)
        else:
            self._server = _TlsServer(listening, self._factory, self._connections, self._tls)

    def close_port(self) -> None:
        """Stops to listen: connections are refused, open ones are reset.

        A second socket, bound but not listening, keeps the port from being given to somebody else.
        """
        if self._server is not None:
            self._server.close()
            self._server = None
        self._connections.reset_all()

    def open_port(self) -> None:
        """Listens again."""
        self._opening = asyncio.get_running_loop().create_task(self._listen())

    async def close(self) -> None:
        """Stops to listen for good; open connections stay."""
        if self._opening is not None:
            with contextlib.suppress(OSError):
                await self._opening
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._anchor is not None:
            self._anchor.close()
            self._anchor = None
        await self._connections.give_handshakes_up()


class _TlsServer:
    """Takes connections itself: the loop's own servers tell of none whose handshake does not come to its end."""

    def __init__(
        self,
        listening: socket.socket,
        factory: Callable[[], asyncio.Protocol],
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
        self._loop.add_reader(self._listening.fileno(), self._take)

    def _take(self) -> None:
        for _ in range(_ACCEPTS_PER_EVENT):
            try:
                line, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors: what waits stays in the backlog for a while
                self._loop.remove_reader(self._listening.fileno())
                self._retry = self._loop.call_later(_RETRY_S, self._begin)
                return
            line.setblocking(False)
            self._connections.shake_hands(line, self._factory(), self._context)

    def close(self) -> None:
        """Stops to listen."""
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()


def _bound_socket(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound
