"""Connections to the target: a worker's pool, each station's share of it, and the one that an attempt uses."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from ssl import SSLSession
from typing import Any, Literal

import gevent

from harness.drive.client.connection import Connection, Endpoint, Progress
from harness.drive.client.outcomes import RESET_ERRNOS, AttemptTimeoutError, Stage
from harness.drive.client.response import HttpResponse, OnInterim
from harness.drive.client.shaped_connection import ShapedConnection
from harness.station.link import LinkModel

_NAN = float("nan")
_BAD_REQUEST = 400
_CONNECT = Stage.CONNECT


class ConnectionPool:
    """Makes the connections of one worker, by the scenario's connection policy."""

    def __init__(self, target: Endpoint, policy: Literal["new", "each", "reuse"], clock: Callable[[], float]) -> None:
        """`new` keeps one connection per station, `each` makes one per attempt, `reuse` shares idle ones among stations."""
        self.target = target
        self._policy = policy
        self._clock = clock
        self._source_addresses = itertools.cycle(target.source_addresses or (None,))
        self._idle: list[Connection] = []
        self.stale_connections = 0
        """Kept connections that the server had closed while they were idle. Nothing was sent on them: no failure of anybody."""

    def source(self, link: LinkModel | None = None) -> ConnectionSource:
        """Where one station gets its connections from; without `link` their bandwidth is unlimited.

        Either every station of a worker has a link or none: `reuse` hands a connection from one station to another.
        """
        if self._policy == "reuse":
            return ConnectionSource(self, self._idle, link, keeps=True, shared=True)
        return ConnectionSource(self, [], link, keeps=self._policy == "new", shared=False)

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def create(self, link: LinkModel | None = None, session: SSLSession | None = None) -> Connection:
        """A new connection, not connected yet. With TLS it will try to resume `session`."""
        source_address = next(self._source_addresses)
        if link is None:
            return Connection(self.target, source_address, self._clock, session)
        return ShapedConnection(self.target, source_address, self._clock, link, session)


class ConnectionSource:
    """Where one station gets its connections from. `lease` one for an attempt, `release` it afterwards."""

    def __init__(
        self, pool: ConnectionPool, idle: list[Connection], link: LinkModel | None = None, *, keeps: bool, shared: bool
    ) -> None:
        """`idle` may be `shared` with other stations; without `keeps` every attempt makes a connection."""
        self._pool = pool
        self._idle = idle
        self._link = link
        self._keeps = keeps
        self._shared = shared
        self._session: SSLSession | None = None
        """Of this station's latest TLS connection: a phone can resume its own sessions, not those of other phones."""

    def lease(self) -> Connection:
        """An idle connection that the server has not closed, else a new one that is not connected yet."""
        while self._idle:
            connection = self._idle.pop()
            # Without this check the first request on a connection that the server has timed out would fail, and a server
            # would be blamed for what every HTTP client retries silently.
            if not connection.is_stale():
                if self._link is not None and isinstance(connection, ShapedConnection):
                    connection.link = self._link
                return connection
            self.discard_stale(connection)
        return self._pool.create(self._link, self._session)

    def discard_stale(self, connection: Connection) -> None:
        """Close and count a kept connection that the server had closed while it was idle."""
        self._pool.stale_connections += 1
        connection.close()

    def release(self, connection: Connection, *, alive: bool) -> None:
        """Keep a connection for later, or close it if it is not `alive` or the policy keeps none."""
        if alive and self._keeps:
            self._idle.append(connection)
        else:
            # Read the session only here: TLS 1.3 tickets come after the first response, and Python copies the session,
            # which costs 0.2 ms.
            if connection.tls is not None and connection.used and not connection.tls.is_resumed:
                self._session = connection.tls.session
            connection.close()

    def close(self) -> None:
        """Close the connections that belong to this station alone: the station is done."""
        while self._idle and not self._shared:
            self._idle.pop().close()


class AttemptConnection:
    """Sends the requests of one attempt, one after another, over a connection of its station.

    Connects when the first request needs it, and again if the server closed in between (tus sends several requests per
    attempt). `release` must be called at the end of the attempt, however it ends.
    """

    __slots__ = (
        "_alive",
        "_clock",
        "_connect_timeout_s",
        "_connection",
        "_leased_just_now",
        "_others",
        "_source",
        "_until_s",
        "progress",
        "trace",
    )

    def __init__(
        self,
        source: ConnectionSource,
        clock: Callable[[], float],
        progress: Progress,
        connect_timeout_s: float | None,
        until_s: float,
    ) -> None:
        """`until_s` is when the attempt's time is up, on `clock`; it is enforced by the caller (see TimeoutQueue)."""
        self._source = source
        self._clock = clock
        self._connect_timeout_s = connect_timeout_s
        self._until_s = until_s
        self._connection: Connection | None = None
        self._alive = False
        self._leased_just_now = False
        self._others: dict[ConnectionSource, AttemptConnection] | None = None
        self.progress = progress
        self.trace = b""
        """A header line that is added to every request, with its line break; b"": none."""

    @property
    def now_s(self) -> float:
        """Seconds since T0."""
        return self._clock()

    def to(self, source: ConnectionSource) -> AttemptConnection:
        """The connection of the same attempt to another server, released with this one."""
        if source is self._source:
            return self
        if self._others is None:
            self._others = {}
        if source not in self._others:
            args = (self._clock, self.progress, self._connect_timeout_s, self._until_s)
            self._others[source] = AttemptConnection(source, *args)
            self._others[source].trace = self.trace
        return self._others[source]

    @property
    def remaining_s(self) -> float:
        """Seconds left of the attempt's time."""
        return max(0.0, self._until_s - self._clock())

    def open(self) -> Connection:
        """The attempt's connection, connected if it was not."""
        if self._connection is not None:
            return self._connection
        connection = self._connection = self._source.lease()
        self._leased_just_now = True
        progress = self.progress
        progress.stage = _CONNECT
        if not connection.used:
            self._connect(connection)
        # NaN, not connected yet: a second connection in the same attempt counts as part of sending.
        if progress.connected_s != progress.connected_s:
            progress.connected_s = self._clock()
        return connection

    def _connect(self, connection: Connection) -> None:
        if self._connect_timeout_s is None:
            connection.connect()
            return
        with gevent.Timeout(self._connect_timeout_s, AttemptTimeoutError):
            connection.connect()

    def request(
        self, buffers: Sequence[bytes | memoryview], *, bodiless: bool = False, on_interim: OnInterim | None = None
    ) -> HttpResponse:
        """Send a request and receive its response (`bodiless`: to a HEAD); `on_interim` gets each interim one before it.

        The times in `progress` are those of the latest request. Its bytes are those that the other side has acknowledged, as far
        as that may matter: without an answer, before a whole body, or with a refusal. Raises what `outcomes.classify_error` knows.
        """
        connection = self._connection or self.open()
        # Checked when it was leased; but the server may have closed it between two requests of this attempt.
        if not self._leased_just_now and connection.is_stale():
            connection = self._reconnect(connection)
        self._leased_just_now = False
        self._alive = False  # until the response is complete: an attempt may end at any point in between
        progress = self.progress
        progress.body_sent_s = progress.first_byte_s = _NAN
        was_kept, sent_bytes = connection.used, progress.sent_bytes
        if self.trace:
            buffers = add_header(buffers, self.trace)
        try:
            try:
                response = connection.request(buffers, progress, bodiless=bodiless, on_interim=on_interim)
            except OSError as error:
                # Closed just before this request, of which nothing was sent: a new connection, once, as every HTTP client does.
                if not was_kept or error.errno not in RESET_ERRNOS or progress.sent_bytes != sent_bytes:
                    raise
                connection = self._reconnect(connection)
                response = connection.request(buffers, progress, bodiless=bodiless, on_interim=on_interim)
        except BaseException:  # the end of the attempt's time, too
            _withdraw_untaken(connection, progress, sent_bytes)
            raise
        # NaN, not all was sent. After any other success the server has read it all, and need not be asked.
        if response.status >= _BAD_REQUEST or progress.body_sent_s != progress.body_sent_s:
            _withdraw_untaken(connection, progress, sent_bytes)
        self._alive = response.keep_alive
        if not self._alive:
            self.release()
        return response

    def _reconnect(self, stale: Connection) -> Connection:
        """Another connection in place of one that the server has closed."""
        self._source.discard_stale(stale)
        self._connection = None
        return self.open()

    def release(self) -> None:
        """Give the connection back to its station's source, to be kept if it is still usable; may be called twice."""
        for other in () if self._others is None else self._others.values():
            other.release()
        if self._connection is not None:
            self._source.release(self._connection, alive=self._alive)
            self._connection = None
            self._alive = False


def _withdraw_untaken(connection: Connection, progress: Progress, before: int) -> None:
    """Count as sent, of what was sent since `before`, only what the other side has acknowledged."""
    progress.sent_bytes = max(before, progress.sent_bytes - connection.untaken_bytes())


def add_header(buffers: Sequence[bytes | memoryview], line: bytes) -> list[bytes | memoryview]:
    r"""The buffers of a request with one more header line, behind the request line.

    >>> add_header([b"PUT / HTTP/1.1\r\nHost: x\r\n\r\n", b"body"], b"A: b\r\n")
    [b'PUT / HTTP/1.1\r\nA: b\r\nHost: x\r\n\r\n', b'body']
    """
    extended = list(buffers)
    head: Any = extended[0]
    # One call in C: finding the place and joining slices takes twice as long, in the middle of the hot path.
    extended[0] = head.replace(b"\n", b"\n" + line, 1)
    return extended
