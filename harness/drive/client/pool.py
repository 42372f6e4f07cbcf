"""Which connection an attempt uses: one a station, one an attempt, or a pool shared by the worker's stations."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from ssl import SSLSession
from typing import Literal

from harness.drive.client.connection import Connection, Endpoint
from harness.drive.client.shaped_connection import ShapedConnection
from harness.station.link import LinkModel


class ConnectionPool:
    """Hands out connections of one worker. `lease` gives one, `back` takes it back while it can still be used."""

    def __init__(self, target: Endpoint, policy: Literal["new", "each", "reuse"], clock: Callable[[], float]) -> None:
        """`new` keeps a connection with its station's lane, `reuse` in a pool, `each` not at all."""
        self.target = target
        self._policy = policy
        self._clock = clock
        self._sources = itertools.cycle(target.source_addresses or (None,))
        self._pool: list[Connection] = []

    def lane(self, line: LinkModel | None = None) -> ConnectionSource:
        """A station's own way to the server; without a `line` nothing limits it. All stations have one, or none."""
        if self._policy == "reuse":
            return ConnectionSource(self, self._pool, line, keeps=True, shared=True)
        return ConnectionSource(self, [], line, keeps=self._policy == "new", shared=False)

    def close(self) -> None:
        """Close what lies in the pool."""
        while self._pool:
            self._pool.pop().close()

    def fresh(self, line: LinkModel | None = None, session: SSLSession | None = None) -> Connection:
        """A connection that isn't connected yet; with TLS it will take up the `session` of an earlier one."""
        source = next(self._sources)
        if line is None:
            return Connection(self.target, source, self._clock, session)
        return ShapedConnection(self.target, source, self._clock, line, session)


class ConnectionSource:
    """Where one station gets its connections from."""

    def __init__(
        self,
        connections: ConnectionPool,
        idle: list[Connection],
        line: LinkModel | None = None,
        *,
        keeps: bool,
        shared: bool,
    ) -> None:
        """`idle` may be shared with other lanes; a lane that keeps nothing connects for every attempt."""
        self._connections = connections
        self._idle = idle
        self._line = line
        self._keeps = keeps
        self._shared = shared
        self._session: SSLSession | None = None
        """Of the latest TLS connection: a phone remembers its own sessions, not other phones'."""

    def lease(self) -> Connection:
        """An idle connection that still lives, else a fresh one, not connected yet."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.stale():
                if self._line is not None and isinstance(connection, ShapedConnection):
                    connection.line = self._line
                return connection
            connection.close()
        return self._connections.fresh(self._line, self._session)

    def back(self, connection: Connection, *, alive: bool) -> None:
        """Take a connection back; it is kept for later or closed."""
        if alive and self._keeps:
            self._idle.append(connection)
        else:
            if connection.tls is not None and connection.used and not connection.tls.is_resumed:
                self._session = connection.tls.session
            connection.close()

    def close(self) -> None:
        """The station is done: close what is its own."""
        while self._idle and not self._shared:
            self._idle.pop().close()
