"""Serves the live page: the page itself, its events (server-sent), its stop button, and the reports that are written meanwhile.

It runs in a thread of its own with its own event loop, and only reads what the feed has. While no browser is connected nothing
is computed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from harness.base.errors import HarnessError, UsageError
from harness.base.signals import ImmediateExit
from harness.live.access import AccessRule, WebAddress, new_token
from harness.live.feed import Cursor, LiveFeed
from reports.live_page import LIVE_FILES, render_live_page

_INTERVAL_S = 1.0
_FAREWELL_S = 15.0
"""How long connected browsers may take to fetch the report once it is written: the command waits no longer for them."""
_MOST_BROWSERS = 20
_START_TIMEOUT_S = 10.0
_REPORT_FILE = re.compile(r"(?:[A-Za-z0-9_., +=-]+/)*report/[A-Za-z0-9_.-]+\.(?:html|svg|png|csv)")
_LIVE_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # fmt: skip
_REPORT_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # fmt: skip
"""A report brings its script and styles inside. It can't connect anywhere, so not press the button either."""
_HEADERS = {
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class PageServer:
    """While entered, the page is served at `url`. On leaving, connected browsers get the report first."""

    def __init__(self, feed: LiveFeed, address: WebAddress, stop: Callable[[], None]) -> None:
        """`stop` is called once, from another thread, if somebody presses the button."""
        self._feed = feed
        self._address = address
        self._stop = stop
        self._stop_lock = threading.Lock()
        self._is_stopped = False
        self._token = new_token()
        self._thread = threading.Thread(target=self._run, name="live-page", daemon=True)
        self._ready = threading.Event()
        self._failure: OSError | None = None
        self._port = address.port
        self._browsers = 0
        self._unfetched = 0
        """Browsers that have been sent where the report is, and have not fetched it yet."""

    @property
    def url(self) -> str:
        """Address of the page, with its token."""
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        return f"http://{host}:{self._port}/{self._token}/"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(_START_TIMEOUT_S)
        if self._failure is not None:
            self._thread.join()
            message = f"--web {self._address.host}:{self._address.port} is not available: {self._failure.strerror or self._failure}"
            raise UsageError(message)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._feed.is_finished:
            self._feed.finish(None, str(error) if isinstance(error, HarnessError) else "The command has ended.")
        self._farewell_s = 0.0 if isinstance(error, ImmediateExit) else _FAREWELL_S
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    # --- the thread

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        self._changed = asyncio.Condition()
        self._state: dict[str, Any] | None = None
        application = web.Application(middlewares=[self._guard])
        application.add_routes(
            [
                web.get("/{token}/", self._page),
                web.get("/{token}/events", self._events),
                web.post("/{token}/stop", self._pressed),
                *(web.get(f"/{{token}}/{name}", self._file) for name in LIVE_FILES),
                web.get("/{token}/{path:.+}", self._report),
            ]
        )
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._address.host, self._address.port)
            await site.start()
            self._port = runner.addresses[0][1]
            self._access = AccessRule(self._token, self._address.host, self._port)
            self._ready.set()
            ticking = asyncio.create_task(self._tick())
            await self._closing.wait()
            await self._see_off()
            ticking.cancel()
        finally:
            await runner.cleanup()

    async def _tick(self) -> None:
        """Compute the state once a second for all browsers together, as long as there are any."""
        while True:
            if self._browsers:
                self._state = await asyncio.to_thread(self._feed.state)
                await self._notify()
            await asyncio.sleep(_INTERVAL_S)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _see_off(self) -> None:
        """Let every connected browser fetch the report."""
        await self._notify()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._farewell_s), self._changed:
                await self._changed.wait_for(lambda: not self._browsers and not self._unfetched)

    # --- requests

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        token = request.match_info.get("token", "")
        why = self._access.why_refused(token, request.method, request.headers)
        if why:
            return web.Response(status=403, text=f"refused: {why}\n", headers=_HEADERS)
        return await handler(request)

    async def _page(self, _: web.Request) -> web.Response:
        headers = {**_HEADERS, "Content-Security-Policy": _LIVE_POLICY}
        return web.Response(
            text=render_live_page(self._feed.title, self._feed.kind), content_type="text/html", headers=headers
        )

    async def _file(self, request: web.Request) -> web.Response:
        text, content_type = LIVE_FILES[request.path.rpartition("/")[2]]()
        return web.Response(text=text, content_type=content_type, headers=_HEADERS)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._browsers >= _MOST_BROWSERS:
            return web.Response(status=503, text=f"{_MOST_BROWSERS} browsers are watching already\n", headers=_HEADERS)
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        self._browsers += 1
        try:
            await self._send_events(response)
        finally:
            self._browsers -= 1
            await self._notify()
        return response

    async def _send_events(self, response: web.StreamResponse) -> None:
        cursor, state = Cursor(), await asyncio.to_thread(self._feed.state)
        while True:
            is_last = self._feed.is_finished
            text, cursor = self._feed.message(cursor, state)
            if is_last and self._feed.report:
                self._unfetched += 1
            await response.write(f"data: {text}\n\n".encode())
            if is_last:
                return
            async with self._changed:
                await self._changed.wait()
            state = self._state

    async def _pressed(self, _: web.Request) -> web.Response:
        with self._stop_lock:
            is_first, self._is_stopped = not self._is_stopped, True
        if is_first:
            self._feed.log("Stopped by the button of the live page")
            self._stop()
        return web.json_response({"stopped": True}, headers=_HEADERS)

    async def _report(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        found = report_file(self._feed.root, path)
        if found is None:
            return web.Response(status=404, text="there is no such file\n", headers=_HEADERS)
        body = await asyncio.to_thread(found.read_bytes)
        if path == self._feed.report:
            self._unfetched = max(0, self._unfetched - 1)
            await self._notify()
        response = web.Response(body=body, headers={**_HEADERS, "Content-Security-Policy": _REPORT_POLICY})
        response.content_type = _CONTENT_TYPES[found.suffix]
        if found.suffix in {".html", ".csv"}:
            response.charset = "utf-8"
        return response


_CONTENT_TYPES = {".html": "text/html", ".svg": "image/svg+xml", ".png": "image/png", ".csv": "text/csv"}


def report_file(root: Path, path: str) -> Path | None:
    """A file of a report below `root`, None for any other path: nothing else of a run folder is served, and no symbolic link."""
    if not _REPORT_FILE.fullmatch(path) or ".." in path.split("/"):
        return None
    found = root / path
    if not found.is_file() or found.resolve() != root.resolve() / path:
        return None
    return found
