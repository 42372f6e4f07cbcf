"""A port that can be closed and opened again, and stays ours meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

from mock_server.connection import Connections

BACKLOG = 4096
_RECEIVE_BUFFER_BYTES = 2**20
"""So that a photo comes in few large pieces instead of many small ones; the kernel takes what it allows of it."""


class Listener:
    """Listens on one address."""

    def __init__(
        self, factory: Callable[[], asyncio.Protocol], connections: Connections, tls: ssl.SSLContext | None
    ) -> None:
        self._factory = connections.factory(factory)
        self._connections = connections
        self._tls = tls
        self._anchor: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._opening: asyncio.Task[None] | None = None

    async def open(self, host: str, port: int) -> int:
        """Begins to listen; the port (chosen by the kernel if 0 was asked for)."""
        self._anchor = _bound(host, port)
        await self._listen()
        chosen: int = self._anchor.getsockname()[1]
        return chosen

    async def _listen(self) -> None:
        if self._anchor is None or self._server is not None:
            return
        address = self._anchor.getsockname()
        listening = _bound(address[0], address[1])
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._factory, sock=listening, backlog=BACKLOG, ssl=self._tls)

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


def _bound(host: str, port: int) -> socket.socket:
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
