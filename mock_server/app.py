"""The data port: routes, and what every request goes through."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from mock_server import metrics as exposition
from mock_server.accounts import Accounts
from mock_server.answers import Problem, json_answer
from mock_server.exchange import AttemptCounts, Exchange
from mock_server.intake import Intake
from mock_server.metrics import Metrics
from mock_server.photo import PhotoSink, Upload
from mock_server.profile import Profile
from mock_server.protocols import multipart
from mock_server.rules import Rules

PAGES = {"ppwp": 3, "pdpr": 18, "pdpd": 8, "pdprdp": 17, "pdprdk": 17}
"""Forms, and how many pages each has (only PPWP's count is published; the others are assumed)."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
EXCHANGE = web.RequestKey("EXCHANGE", Exchange)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What the routes need."""

    profile: Profile
    accounts: Accounts
    intake: Intake
    rules: Rules
    metrics: Metrics


def data_app(parts: Parts) -> web.Application:
    """The application of the data port."""
    app = web.Application(middlewares=[_observed(parts)], client_max_size=65_536)
    routes = Routes(parts)
    app.router.add_post("/v1/login", routes.login)
    page = app.router.add_resource("/v1/stations/{code}/forms/{form}/pages/{page}")
    page.add_route("POST", routes.multipart, expect_handler=_expected_later)
    for path, handler in health_routes(parts.metrics, lambda: not parts.intake.is_closing).items():
        app.router.add_get(path, handler)
    return app


async def _expected_later(_request: web.Request) -> None:
    """Leaves `Expect: 100-continue` to the handler: a refused upload is refused before its body comes."""


def health_routes(metrics: Metrics, is_ready: Callable[[], bool]) -> dict[str, Handler]:
    """What both ports answer about the server itself."""

    async def exposed(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": exposition.CONTENT_TYPE})

    async def healthy(_request: web.Request) -> web.Response:
        return json_answer({"status": "ok"})

    async def ready(_request: web.Request) -> web.Response:
        if not is_ready():
            raise Problem(503, "The server is stopping")
        return json_answer({"status": "ready"})

    return {"/metrics": exposed, "/healthz": healthy, "/readyz": ready}


def _observed(parts: Parts) -> Middleware:
    attempts = AttemptCounts()

    @web.middleware
    async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
        begun = time.monotonic()
        parts.metrics.active += 1
        exchange = Exchange(request, parts.rules, attempts)
        request[EXCHANGE] = exchange
        try:
            answer = await answered(request, handler)
        finally:
            parts.metrics.active -= 1
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unmatched"
        method = request.method if request.method in _METHODS else "_OTHER"
        parts.metrics.request(method, route, answer.status, time.monotonic() - begun)
        return answer

    return observe


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What the handler answers, everything that goes wrong turned into a problem."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.answer()
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return Problem(error.status, headers=headers).answer()
    except (web.PayloadAccessError, web.RequestPayloadError, HttpProcessingError, ConnectionError) as error:
        return Problem(400, "The body broke off", str(error), headers={"Connection": "close"}).answer()
    except sqlite3.Error:
        _log.exception("the store failed")
        return Problem(500, "The store failed").answer()


class Routes:
    """The handlers of the data port."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def login(self, request: web.Request) -> web.Response:
        """{station, pin} -> {token, expires_at}."""
        try:
            content = json.loads(await request.read())
        except (ValueError, RecursionError) as error:
            raise Problem(400, detail="The body is not JSON") from error
        station, pin = (content.get("station"), content.get("pin")) if isinstance(content, dict) else (None, None)
        if not isinstance(station, str) or not isinstance(pin, str):
            raise Problem(400, detail="Send {station, pin} as text")
        exchange = request[EXCHANGE]
        await exchange.begin("login", station)
        token, expires = self._parts.accounts.login(station, pin)
        expires_at = datetime.fromtimestamp(expires, UTC).isoformat(timespec="seconds")
        return json_answer({"token": token, "expires_at": expires_at})

    async def multipart(self, request: web.Request) -> web.Response:
        """A page as a multipart form."""
        exchange = await self._begun(request)
        boundary = multipart.boundary_of(request.headers.get("Content-Type", ""))
        largest = self._parts.profile.max_body

        async def read_body(chunks: object, sink: PhotoSink) -> Upload:
            return await multipart.read(chunks, boundary, sink, largest)  # type: ignore[arg-type]

        return await self._parts.intake.take(exchange, read_body)

    async def _begun(self, request: web.Request) -> Exchange:
        exchange = request[EXCHANGE]
        code, form, number = (request.match_info[name] for name in ("code", "form", "page"))
        page = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else 0
        await exchange.begin("upload", code, form, page)
        self._parts.accounts.authorise(request.headers.get("Authorization"), code)
        if not 1 <= page <= PAGES.get(form, 0):
            raise Problem(404, "No such page", f"Forms and their pages: {PAGES}")
        return exchange
