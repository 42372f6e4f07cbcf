"""The data port's routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.typedefs import Middleware

from mock_server.faults.scheduler import FaultScheduler
from mock_server.http import metrics as exposition
from mock_server.http.auth import Authenticator
from mock_server.http.headers import check_headers
from mock_server.http.metrics import ServerMetrics
from mock_server.http.middleware import REQUEST_CONTEXT, Handler, data_port_middleware
from mock_server.http.openapi import openapi_document
from mock_server.http.public_api import PublicApi
from mock_server.http.request_context import RequestContext
from mock_server.http.responses import Problem, json_response
from mock_server.profile.profile import Profile
from mock_server.storage.resumable_store import ResumableStore
from mock_server.upload.forms import check_page, page_number
from mock_server.upload.photo import PhotoSink, ReceivedUpload
from mock_server.upload.pipeline import UploadPipeline
from mock_server.upload.protocols import multipart, put
from mock_server.upload.protocols.tus import TusHandlers, add_version_header

_MAX_LOGIN_BYTES = 1024
_PAGE_PATH = "/v1/stations/{code}/forms/{form}/pages/{page}"


@dataclass(frozen=True)
class DataPortServices:
    """What the routes need."""

    profile: Profile
    accounts: Authenticator
    intake: UploadPipeline
    rules: FaultScheduler
    metrics: ServerMetrics
    uploads: ResumableStore
    public: PublicApi


def data_app(parts: DataPortServices) -> web.Application:
    """The application of the data port."""
    app = web.Application(
        middlewares=[data_port_middleware(parts.rules, parts.metrics), check_headers, _track_in_flight(parts.intake)],
        client_max_size=_MAX_LOGIN_BYTES,
    )
    routes = UploadRoutes(parts)
    tus = TusHandlers(parts.profile, parts.accounts, parts.intake, parts.uploads)
    add = app.router.add_route
    app.on_response_prepare.append(add_version_header)
    app.router.add_resource("/v1/login").add_route("POST", routes.login, expect_handler=_defer_continue)
    page = app.router.add_resource(_PAGE_PATH)
    page.add_route("POST", routes.multipart, expect_handler=_defer_continue)
    page.add_route("PUT", routes.put, expect_handler=_defer_continue)
    add("GET", _PAGE_PATH + "/status", routes.status)
    files = app.router.add_resource("/v1/files")
    files.add_route("OPTIONS", tus.options)
    files.add_route("POST", tus.create, expect_handler=_defer_continue)
    file = app.router.add_resource("/v1/files/{id}")
    file.add_route("HEAD", tus.head)
    file.add_route("PATCH", tus.patch, expect_handler=_defer_continue)
    file.add_route("DELETE", tus.delete)
    file.add_route("POST", tus.overridden, expect_handler=_defer_continue)
    file.add_route("OPTIONS", tus.options)
    for path, handler in parts.public.routes().items():
        app.router.add_get(path, handler)
    for path, handler in health_routes(parts.metrics, lambda: not parts.intake.is_closing).items():
        app.router.add_get(path, handler)
    app.router.add_get("/openapi.json", _openapi)
    return app


def _track_in_flight(intake: UploadPipeline) -> Middleware:
    """Lets the intake know who is in the house."""

    @web.middleware
    async def stay(request: web.Request, handler: Handler) -> web.StreamResponse:
        with intake.present(request[REQUEST_CONTEXT]):
            return await handler(request)

    return stay


async def _openapi(_request: web.Request) -> web.Response:
    return json_response(openapi_document())


async def _defer_continue(_request: web.Request) -> None:
    """Leaves `Expect: 100-continue` to the handler: a refused upload is refused before its body comes."""


def health_routes(metrics: ServerMetrics, is_ready: Callable[[], bool]) -> dict[str, Handler]:
    """What both ports answer about the server itself."""

    async def exposed(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": exposition.CONTENT_TYPE})

    async def healthy(_request: web.Request) -> web.Response:
        return json_response({"status": "ok"})

    async def ready(_request: web.Request) -> web.Response:
        if not is_ready():
            raise Problem(503, "The server is stopping")
        return json_response({"status": "ready"})

    return {"/metrics": exposed, "/healthz": healthy, "/readyz": ready}


class UploadRoutes:
    """The handlers of logins and of uploads in one request."""

    def __init__(self, parts: DataPortServices) -> None:
        self._parts = parts

    async def login(self, request: web.Request) -> web.Response:
        """{station, pin} -> {token, expires_at}."""
        exchange = request[REQUEST_CONTEXT]
        exchange.ask_for_body()
        try:
            async with asyncio.timeout(self._parts.profile.body_timeout):
                content = json.loads(await request.read())
        except TimeoutError as error:
            raise Problem(408, "The body took too long", headers={"Connection": "close"}) from error
        except (ValueError, RecursionError) as error:
            raise Problem(400, "The body is not JSON") from error
        station, pin = (content.get("station"), content.get("pin")) if isinstance(content, dict) else (None, None)
        if not isinstance(station, str) or not isinstance(pin, str):
            raise Problem(400, "Send {station, pin} as text")
        await exchange.begin("login", station)
        token, expires = await self._parts.accounts.login(station, pin)
        expires_at = datetime.fromtimestamp(expires, UTC).isoformat(timespec="seconds")
        return json_response({"token": token, "expires_at": expires_at})

    async def multipart(self, request: web.Request) -> web.Response:
        """A page as a multipart form."""
        exchange = await self._begun(request, "upload")
        boundary = multipart.multipart_boundary(request.headers.get("Content-Type", ""))
        largest = self._parts.profile.max_body

        async def read_body(chunks: AsyncIterator[bytes], sink: PhotoSink) -> ReceivedUpload:
            return await multipart.read(chunks, boundary, sink, largest)

        return await self._parts.intake.take(exchange, read_body)

    async def put(self, request: web.Request) -> web.Response:
        """A page as the raw photo."""
        exchange = await self._begun(request, "upload")
        put.check_type(request.headers.get("Content-Type", ""))
        reading = request.headers.get("Reading", "")

        async def read_body(chunks: AsyncIterator[bytes], sink: PhotoSink) -> ReceivedUpload:
            return await put.read(chunks, reading, sink)

        return await self._parts.intake.take(exchange, read_body)

    async def status(self, request: web.Request) -> web.Response:
        """What became of a page: queued, reading, stored, unreadable, conflict or refused."""
        exchange = await self._begun(request, "status")
        return await self._parts.intake.status(exchange)

    async def _begun(self, request: web.Request, phase: str) -> RequestContext:
        exchange = request[REQUEST_CONTEXT]
        code, form = request.match_info["code"], request.match_info["form"]
        page = page_number(request.match_info["page"])
        await exchange.begin(phase, code, form, page)
        self._parts.accounts.authorise(request.headers.get("Authorization"), code)
        check_page(form, page)
        return exchange
