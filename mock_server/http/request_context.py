"""One request and its response: what it is about, which faults hit it, and what may be done to its connection."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from contextlib import suppress
from typing import NoReturn

from aiohttp import web

from mock_server.faults.base import RequestKey
from mock_server.faults.faulted_request import ConnectionEnded, FaultedRequest
from mock_server.http.fault_scheduler import FaultScheduler
from mock_server.http.forms import KnownPages
from mock_server.http.responses import Problem, retry_after_header
from mock_server.net.connection import ServerConnection

_REMEMBERED_PAGES = 50_000
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


def read_trace_id(traceparent: str) -> str:
    """The trace id of a `traceparent` (W3C Trace Context, 2.2); "" if the header is missing or not valid.

    >>> read_trace_id("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    '4bf92f3577b34da6a3ce929d0e0e4736'
    >>> read_trace_id("00-00000000000000000000000000000000-00f067aa0ba902b7-01"), read_trace_id("no")
    ('', '')
    """
    match = _TRACEPARENT.fullmatch(traceparent)
    # Later versions may append fields; version ff and ids of zeros are forbidden.
    if (
        match is None
        or match[1] == "ff"
        or (match[1] == "00" and match[4])
        or not (match[2].strip("0") and match[3].strip("0"))
    ):
        return ""
    return match[2]


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


class RequestContext(FaultedRequest):
    """A request in progress; implements `RequestActions` for the faults that hit it.

    A handler calls `begin` as soon as it knows what the request is about; faults that act before the body act there.
    """

    def __init__(
        self, request: web.Request, faults: FaultScheduler, attempts: AttemptCounter, pages: KnownPages
    ) -> None:
        traceparent = request.headers.get("traceparent")
        trace_id = "" if traceparent is None else read_trace_id(traceparent)
        super().__init__(RequestKey("", "", 0, 0, request.method, "public", trace_id), faults)
        self.request = request
        self._attempts = attempts
        self.pages = pages
        self.connection = request.transport if isinstance(request.transport, ServerConnection) else None
        self.body_is_coming = True
        """Whether the client sends the body unasked, or was asked for it (Expect: 100-continue)."""

    async def begin(self, phase: str, station: str = "", form: str = "", page: int = 0) -> None:
        """Sets what the request is about; faults that act before the body do so now.

        Raises Refusal or ConnectionEnded if one of them ends the request.
        """
        station, form = self.pages.known(station, form)
        text = self.request.headers.get("X-Attempt", "")
        # A malformed number is ignored, not refused: the header is a hint for faults and metrics.
        attempt = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        method = self._method()
        if attempt == 0:
            # Querying an upload's offset, or reading the results, does not count as an attempt at the upload.
            purpose = "status" if method == "HEAD" else phase
            page_key = (station, form, page) if station else ("", "", hash(self.request.path))
            attempt = self._attempts.next((f"{purpose} {page_key[0]}", *page_key[1:]))
        self.key = RequestKey(station, form, page, attempt, method, phase, self.key.trace_id)
        await self.meet_faults()

    def _method(self) -> str:
        # A POST to a resumable upload may stand for another method, for clients that cannot send that one.
        if self.request.method == "POST" and self.request.path.startswith("/v1/files/"):
            return self.request.headers.get("X-HTTP-Method-Override", "POST").upper()
        return self.request.method

    def ask_for_body(self) -> None:
        """Sends 100 Continue to a client that waits for it before it sends the body."""
        if not self.body_is_coming and self.connection is not None:
            self.connection.write_interim(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.body_is_coming = True

    @property
    def is_disconnected(self) -> bool:
        """Whether the client has closed the connection."""
        return self.connection is None or self.connection.is_closing()

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
            state.on_over[wake] = None
        try:
            await asyncio.wait({over, self.connection.lost}, timeout=max_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if state is not None:
                state.on_over.pop(wake, None)

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
