"""One request and its answer: who it is about, which faults strike it, and what may be done to its connection."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, NoReturn

from aiohttp import web

from mock_server.faults.base import Fault, RequestKey, Scope
from mock_server.faults.scheduler import FaultScheduler, Hit
from mock_server.http.responses import Problem, retry_after_header
from mock_server.net.connection import ServerConnection
from mock_server.storage.records import PageRow
from mock_server.storage.resumable import ResumableUpload
from mock_server.upload.forms import known_station_and_form

_REMEMBERED_PAGES = 50_000


class ConnectionEnded(Exception):  # noqa: N818
    """The connection was ended on purpose: there is nothing left to answer."""


class ProcessKilled(ConnectionEnded):
    """The process is to die before anything else happens."""

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
    """A request under way."""

    def __init__(self, request: web.Request, rules: FaultScheduler, attempts: AttemptCounter) -> None:
        self.request = request
        self._rules = rules
        self._attempts = attempts
        self.connection = request.transport if isinstance(request.transport, ServerConnection) else None
        self.target = RequestKey("", "", 0, 0, request.method, "public")
        self.hits: tuple[Hit, ...] = ()
        self.struck_s = 0.0
        """Seconds since T0 at which the fault that acts now struck."""
        self.lose_after_s: float | None = None
        self.losing: Hit | None = None
        """The fault that will lose what this request stored, if one promised to."""
        self._over = asyncio.Event()
        """Of the fault that acts now: what it waits for ends with it."""
        self.continues = True
        """Whether the body comes unasked, or was asked for (Expect: 100-continue)."""

    async def begin(self, phase: str, station: str = "", form: str = "", page: int = 0) -> None:
        """Says what the request is about; faults that act before the body do so now."""
        station, form = known_station_and_form(station, form)
        text = self.request.headers.get("X-Attempt", "")
        attempt = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        method = self._method()
        if attempt == 0:
            # Asking how far an upload is, or what the results are, is no attempt at the upload.
            what = "status" if method == "HEAD" else phase
            page_key = (station, form, page) if station else ("", "", hash(self.request.path))
            attempt = self._attempts.next((f"{what} {page_key[0]}", *page_key[1:]))
        self.target = RequestKey(station, form, page, attempt, method, phase)
        self.hits = self._rules.hits(self.target)
        for hit in self.hits:
            if type(hit.fault).on_request is not Fault.on_request:
                hit.act()
                self._over, self.struck_s = hit.over, hit.time_s
                await hit.fault.on_request(self, hit.draw)

    def _method(self) -> str:
        """What the request means to be: a POST to a resumable upload may say that it is something else."""
        if self.request.method == "POST" and self.request.path.startswith("/v1/files/"):
            return self.request.headers.get("X-HTTP-Method-Override", "POST").upper()
        return self.request.method

    async def act(self, hit: Hit, place: Awaitable[bool]) -> bool:
        """Lets a fault act at a place; whether it did. If it ends the request it did too."""
        self._over, self.struck_s = hit.over, hit.time_s
        try:
            acted = await place
        except (ConnectionEnded, Problem) as end:
            self._end(hit, end)
            raise
        if acted:
            hit.act()
        return acted

    def strike_upload(self, upload: ResumableUpload) -> None:
        """Lets the faults of resumable uploads act on this one."""
        for hit in self.strike("resumable"):
            try:
                acted = hit.fault.on_resumable(self, upload, hit.draw)
            except Problem:
                hit.act()
                raise
            if acted:
                hit.act()

    def strike_rows(self, rows: tuple[PageRow, ...]) -> tuple[tuple[PageRow, ...], tuple[Hit, ...]]:
        """The rows that faults make of these, and the faults to be counted if they are stored like that."""
        acting: list[Hit] = []
        for hit in self.strike("rows"):
            loss_before, self.lose_after_s = self.lose_after_s, None
            try:
                changed = hit.fault.on_rows(self, rows, hit.draw)
            except (ConnectionEnded, Problem) as end:
                self._end(hit, end)
                raise
            if self.lose_after_s is None:
                self.lose_after_s = loss_before
            else:
                self.losing = hit
            if rows and not changed:  # nothing is stored: whatever was done to it before is without effect
                acting, self.lose_after_s, self.losing = [hit], None, None
            elif changed != rows:
                acting.append(hit)
            rows = changed
        return rows, tuple(acting)

    def _end(self, hit: Hit, end: Exception) -> None:
        """Counts a fault that ended the request, and the process where it was that."""
        hit.act()
        if isinstance(end, ProcessKilled):
            self._rules.kill(end.restart_after_s)

    def let_go(self) -> None:
        """It is over: what did not act will not."""
        for hit in self.hits:
            hit.let_go()

    def strike(self, reach: Scope) -> tuple[Hit, ...]:
        """The faults that strike what has come up now; they may act on the answer too."""
        hits = self._rules.hits(self.target, reach)
        self.hits += hits
        return hits

    def ask_for_body(self) -> None:
        """Tells a client that waits for it to send the body."""
        if not self.continues and self.connection is not None:
            self.connection.interim(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.continues = True

    @property
    def is_gone(self) -> bool:
        """Whether the client has closed the connection."""
        return self.connection is None or self.connection.is_closing()

    async def sleep(self, delay_s: float) -> None:
        """Waits; ends early when the client leaves or the fault that acts is over."""
        if delay_s > 0:
            await self.hold(delay_s)

    async def hold(self, longest_s: float | None = None) -> None:
        """Waits for the client to leave, the fault that acts to be over, or the time to pass."""
        if self.connection is None:
            return
        over = asyncio.ensure_future(self._over.wait())
        either: set[asyncio.Future[Any]] = {over, self.connection.lost}
        try:
            await asyncio.wait(either, timeout=longest_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()

    async def write(self, data: bytes) -> None:
        """Puts bytes on the wire as they are."""
        if self.connection is not None and not self.is_gone:
            self.connection.write(data)
            with suppress(ConnectionError):
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

    def forget_later(self, delay_s: float) -> None:
        """Deletes what this request stored, after a while."""
        self.lose_after_s = delay_s

    def kill(self, restart_after_s: float | None) -> NoReturn:
        """Ends the process at once, as `kill -9` would; it is started again after a while, or never."""
        raise ProcessKilled(restart_after_s)
