"""One request and its response: what it is about, which faults hit it, and what may be done to its connection."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable
from contextlib import suppress
from typing import NoReturn

from aiohttp import web

from mock_server.faults.base import Fault, RequestKey, ResumableState, Row, Scope
from mock_server.faults.matching import Hit
from mock_server.http.fault_scheduler import FaultScheduler
from mock_server.http.forms import known_station_and_form
from mock_server.http.responses import Problem, retry_after_header
from mock_server.net.connection import ServerConnection

_REMEMBERED_PAGES = 50_000


class ConnectionEnded(Exception):  # noqa: N818 - not an error: a fault did it on purpose
    """The connection was ended on purpose: there is nothing left to respond to."""


class ProcessKilled(ConnectionEnded):
    """The process is to be killed before anything else happens."""

    def __init__(self, restart_after_s: float | None) -> None:
        super().__init__()
        self.restart_after_s = restart_after_s


class AttemptCounter:
    """Counts the attempts at each page, for clients that send no X-Attempt; remembers the latest pages only."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, str, int], int] = OrderedDict()

    def next(self, page: tuple[str, str, int]) -> int:
        """The number of this attempt, from 1."""
        count = self._counts.pop(page, 0) + 1
        self._counts[page] = count
        if len(self._counts) > _REMEMBERED_PAGES:
            self._counts.popitem(last=False)
        return count


class RequestContext:
    """A request in progress; implements `RequestActions` for the faults that hit it.

    A handler calls `begin` as soon as it knows what the request is about; faults that act before the body act there.
    """

    def __init__(self, request: web.Request, faults: FaultScheduler, attempts: AttemptCounter) -> None:
        self.request = request
        self._faults = faults
        self._attempts = attempts
        self.connection = request.transport if isinstance(request.transport, ServerConnection) else None
        self.key = RequestKey("", "", 0, 0, request.method, "public")
        self.hits: tuple[Hit, ...] = ()
        self.hit_at_s = 0.0
        """Seconds since T0 at which the fault that acts now hit the request."""
        self.delete_after_s: float | None = None
        self.deleting_hit: Hit | None = None
        """The fault that will delete what this request stored, if one scheduled that."""
        self._acting: Hit | None = None
        """The fault that acts now: what it waits for ends with it."""
        self.body_is_coming = True
        """Whether the client sends the body unasked, or was asked for it (Expect: 100-continue)."""

    async def begin(self, phase: str, station: str = "", form: str = "", page: int = 0) -> None:
        """Sets what the request is about; faults that act before the body do so now.

        Raises Problem or ConnectionEnded if one of them ends the request.
        """
        station, form = known_station_and_form(station, form)
        text = self.request.headers.get("X-Attempt", "")
        # A malformed number is ignored, not refused: the header is a hint for faults and metrics.
        attempt = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        method = self._method()
        if attempt == 0:
            # Querying an upload's offset, or reading the results, does not count as an attempt at the upload.
            purpose = "status" if method == "HEAD" else phase
            page_key = (station, form, page) if station else ("", "", hash(self.request.path))
            attempt = self._attempts.next((f"{purpose} {page_key[0]}", *page_key[1:]))
        self.key = RequestKey(station, form, page, attempt, method, phase)
        self.hits = self._faults.hits(self.key)
        for hit in self.hits:
            if type(hit.fault).on_request is not Fault.on_request:  # counted before it acts: it may hold for minutes
                hit.act()
                self._acting, self.hit_at_s = hit, hit.time_s
                await hit.fault.on_request(self, hit.draw)

    def _method(self) -> str:
        # A POST to a resumable upload may stand for another method, for clients that cannot send that one.
        if self.request.method == "POST" and self.request.path.startswith("/v1/files/"):
            return self.request.headers.get("X-HTTP-Method-Override", "POST").upper()
        return self.request.method

    async def act(self, hit: Hit, action: Awaitable[bool]) -> bool:
        """Lets a fault act; True if it did. It also counts as acting if it ends the request."""
        self._acting, self.hit_at_s = hit, hit.time_s
        try:
            acted = await action
        except (ConnectionEnded, Problem) as end:
            self._end(hit, end)
            raise
        if acted:
            hit.act()
        return acted

    def hit_upload(self, upload: ResumableState) -> None:
        """Lets the faults of resumable uploads act on this one."""
        for hit in self.match("resumable"):
            try:
                acted = hit.fault.on_resumable(self, upload, hit.draw)
            except Problem:
                hit.act()
                raise
            if acted:
                hit.act()

    def hit_rows(self, rows: tuple[Row, ...]) -> tuple[tuple[Row, ...], tuple[Hit, ...]]:
        """The rows that faults make of these, and the faults to be counted if they are stored like that."""
        acting: list[Hit] = []
        for hit in self.match("rows"):
            delay_before_s, self.delete_after_s = self.delete_after_s, None
            try:
                changed = hit.fault.on_rows(self, rows, hit.draw)
            except (ConnectionEnded, Problem) as end:
                self._end(hit, end)
                raise
            if self.delete_after_s is None:
                self.delete_after_s = delay_before_s
            else:
                self.deleting_hit = hit
            if rows and not changed:  # nothing is stored: what earlier faults did to the rows has no effect
                acting, self.delete_after_s, self.deleting_hit = [hit], None, None
            elif changed != rows:
                acting.append(hit)
            rows = changed
        return rows, tuple(acting)

    def _end(self, hit: Hit, end: Exception) -> None:
        hit.act()  # before the kill: its line has to be in the log
        if isinstance(end, ProcessKilled):
            self._faults.kill(end.restart_after_s)

    def release_hits(self) -> None:
        """Called when the request is over: hits that did not act will not."""
        for hit in self.hits:
            hit.release()

    def match(self, scope: Scope) -> tuple[Hit, ...]:
        """The faults that hit what has come up now; they may act on the response too."""
        hits = self._faults.hits(self.key, scope)
        self.hits += hits  # for the response, and so that what does not act is released
        return hits

    def ask_for_body(self) -> None:
        """Sends 100 Continue to a client that waits for it before it sends the body."""
        if not self.body_is_coming and self.connection is not None:
            self.connection.write_interim(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.body_is_coming = True

    @property
    def is_disconnected(self) -> bool:
        """Whether the client has closed the connection."""
        return self.connection is None or self.connection.is_closing()

    async def sleep(self, delay_s: float) -> None:
        """Waits; ends early when the client disconnects or the fault that acts is over."""
        if delay_s > 0:
            await self.hold(delay_s)

    async def hold(self, max_s: float | None = None) -> None:
        """Waits until the client disconnects, the fault that acts is over, or `max_s` have passed."""
        if self.connection is None:
            return
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        state = None if self._acting is None else self._acting.state
        if state is not None and state.is_over:
            await asyncio.sleep(0)  # yields: faults call this in a loop over a response's pieces
            return

        def wake() -> None:
            if not over.done():
                over.set_result(None)

        if state is not None:
            state.on_over.add(wake)
        try:
            await asyncio.wait({over, self.connection.lost}, timeout=max_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if state is not None:
                state.on_over.discard(wake)

    async def write(self, data: bytes) -> None:
        """Sends bytes as they are."""
        if self.connection is not None and not self.is_disconnected:
            self.connection.write(data)
            with suppress(ConnectionError):  # the client may leave meanwhile: `is_disconnected` says so
                await self.request.writer.drain()

    def refuse(self, status: int, detail: str, retry_after_s: float | None = None) -> Problem:
        """An exception to raise: the request is answered with this problem."""
        return Problem(status, detail, headers=retry_after_header(retry_after_s))

    def reset(self) -> NoReturn:
        """Ends the connection with RST, and the request with it."""
        if self.connection is not None:
            self.connection.reset()
        raise ConnectionEnded

    def close(self) -> NoReturn:
        """Ends the connection with FIN, and the request with it."""
        if self.connection is not None:
            self.connection.close()
        raise ConnectionEnded

    def delete_later(self, delay_s: float) -> None:
        """Deletes what this request stores, `delay_s` after it is stored."""
        self.delete_after_s = delay_s

    def kill(self, restart_after_s: float | None) -> NoReturn:
        """Ends the process at once, as `kill -9` would; restarted after this time, or never if it is None."""
        raise ProcessKilled(restart_after_s)
