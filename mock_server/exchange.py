"""One request and its answer: who it is about, which faults strike it, and what may be done to its connection."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress

from aiohttp import web

from mock_server.answers import Problem, retry_after
from mock_server.faults.base import Target
from mock_server.rules import Hit, Rules

_REMEMBERED_PAGES = 50_000


class AttemptCounts:
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


class Exchange:
    """A request under way."""

    def __init__(self, request: web.Request, rules: Rules, attempts: AttemptCounts) -> None:
        self.request = request
        self._rules = rules
        self._attempts = attempts
        self.target = Target("", "", 0, 0, request.method, "public")
        self.hits: tuple[Hit, ...] = ()

    async def begin(self, phase: str, station: str = "", form: str = "", page: int = 0) -> None:
        """Says what the request is about; faults that act before the body do so now."""
        text = self.request.headers.get("X-Attempt", "")
        attempt = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if attempt == 0 and station:
            attempt = self._attempts.next((station, form, page))
        self.target = Target(station, form, page, attempt, self.request.method, phase)
        self.hits = self._rules.hits(self.target)
        for hit in self.hits:
            await hit.fault.on_request(self, hit.draw)

    @property
    def is_gone(self) -> bool:
        """Whether the client has closed the connection."""
        transport = self.request.transport
        return transport is None or transport.is_closing()

    async def sleep(self, delay_s: float) -> None:
        """Wait; ends early when the faults are healed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._rules.healed.wait()

    def refuse(self, status: int, title: str, retry_after_s: float | None = None) -> Problem:
        """An exception to raise: the request is answered with this problem."""
        return Problem(status, title, headers=retry_after(retry_after_s))
