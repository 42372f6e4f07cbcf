"""An attempt's way to the server: a connection of the station's lane, made when it is needed, and again when it was closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gevent

from harness.drive.client.connection import Connection, Progress
from harness.drive.client.outcomes import AttemptTimeoutError, Stage
from harness.drive.client.pool import ConnectionSource
from harness.drive.client.response import HttpResponse

_NAN = float("nan")


class AttemptConnection:
    """Carries the requests of one attempt, one after another. `let_go` must be called at its end, however it ends."""

    __slots__ = ("_alive", "_clock", "_connect_timeout_s", "_connection", "_lane", "_until_s", "progress")

    def __init__(
        self,
        lane: ConnectionSource,
        clock: Callable[[], float],
        progress: Progress,
        connect_timeout_s: float | None,
        until_s: float,
    ) -> None:
        """`until_s`: when the attempt's time is up; whoever makes the attempt sees to that."""
        self._lane = lane
        self._clock = clock
        self._connect_timeout_s = connect_timeout_s
        self._until_s = until_s
        self._connection: Connection | None = None
        self._alive = False
        self.progress = progress

    @property
    def remaining_s(self) -> float:
        """Seconds that are left of the attempt's time."""
        return max(0.0, self._until_s - self._clock())

    def open(self) -> Connection:
        """The connection, connected."""
        if self._connection is not None:
            return self._connection
        connection = self._connection = self._lane.lease()
        progress = self.progress
        progress.stage = Stage.CONNECT
        if not connection.used:
            self._connect(connection)
        if progress.connected_s != progress.connected_s:  # NaN: not yet; a second connection is part of the sending
            progress.connected_s = self._clock()
        return connection

    def _connect(self, connection: Connection) -> None:
        if self._connect_timeout_s is None:
            connection.connect()
            return
        with gevent.Timeout(self._connect_timeout_s, AttemptTimeoutError):
            connection.connect()

    def ask(self, buffers: Sequence[bytes | memoryview], *, bodiless: bool = False) -> HttpResponse:
        """Send a request and take its answer (`bodiless`: to a HEAD). The times are those of the latest request."""
        connection = self._connection or self.open()
        self._alive = False
        progress = self.progress
        progress.body_sent_s = progress.first_byte_s = _NAN
        answer = connection.exchange(buffers, progress, bodiless=bodiless)
        self._alive = answer.keep_alive
        if not self._alive:
            self.let_go()
        return answer

    def let_go(self) -> None:
        """Give the connection back: for the next attempt if it still lives, else to be closed."""
        if self._connection is not None:
            self._lane.back(self._connection, alive=self._alive)
            self._connection = None
            self._alive = False
