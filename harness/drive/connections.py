"""Which connection an attempt uses: one a station, one an attempt, or a pool shared by the worker's stations."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

from harness.drive.upload.http import Connection, Target


class Connections:
    """Hands out connections of one worker. `lease` gives one, `back` takes it back while it can still be used."""

    def __init__(self, target: Target, policy: Literal["new", "each", "reuse"], clock: Callable[[], float]) -> None:
        """`new` keeps a connection with its station's lane, `reuse` in a pool, `each` not at all."""
        self.target = target
        self._policy = policy
        self._clock = clock
        self._sources = itertools.cycle(target.source_addresses or (None,))
        self._pool: list[Connection] = []

    def lane(self) -> Lane:
        """A station's own way to the server."""
        if self._policy == "reuse":
            return Lane(self, self._pool, keeps=True, shared=True)
        return Lane(self, [], keeps=self._policy == "new", shared=False)

    def close(self) -> None:
        """Close what lies in the pool."""
        while self._pool:
            self._pool.pop().close()

    def fresh(self) -> Connection:
        """A connection that isn't connected yet."""
        return Connection(self.target, next(self._sources), self._clock)


class Lane:
    """Where one station gets its connections from."""

    def __init__(self, connections: Connections, idle: list[Connection], *, keeps: bool, shared: bool) -> None:
        """`idle` may be shared with other lanes; a lane that keeps nothing connects for every attempt."""
        self._connections = connections
        self._idle = idle
        self._keeps = keeps
        self._shared = shared

    def lease(self) -> Connection:
        """An idle connection that still lives, else a fresh one, not connected yet."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.stale():
                return connection
            connection.close()
        return self._connections.fresh()

    def back(self, connection: Connection, *, alive: bool) -> None:
        """Take a connection back; it is kept for later or closed."""
        if alive and self._keeps:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """The station is done: close what is its own."""
        while self._idle and not self._shared:
            self._idle.pop().close()
