"""The data port's routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from mock_server.api.openapi import openapi_document
from mock_server.api.public import PublicApi
from mock_server.http.auth import Authenticator
from mock_server.http.fault_scheduler import FaultScheduler
from mock_server.http.forms import KnownPages, page_number
from mock_server.http.metrics import ServerMetrics
from mock_server.http.middleware import REQUEST_CONTEXT, Handler, data_port_middleware
from mock_server.http.request_context import RequestContext
from mock_server.http.responses import Problem, json_response
from mock_server.profile.routes import FILE_ROUTE, FILES_ROUTE, LOGIN_ROUTE, PAGE_ROUTE, UPLOAD_ROUTE
from mock_server.profile_file import Profile
from mock_server.storage.resumable import ResumableStore
from mock_server.upload import body
from mock_server.upload.drain import InFlightRequests
from mock_server.upload.multipart_form import MultipartForm, multipart_boundary
from mock_server.upload.photo import PhotoAlone
from mock_server.upload.pipeline import UploadPipeline
from mock_server.upload.readings import parse_reading_header
from mock_server.upload.resumable import COMPLETE, ResumableHandlers
from mock_server.upload.tus import TusHandlers, add_version_header

_MAX_LOGIN_BYTES = 1024
_ANY_PAGE = PAGE_ROUTE.replace("{code}", "{code:[^/]+}").replace("{form}", "{form:[^/]+}")
"""A code may have braces, which aiohttp's own pattern of a segment leaves out."""


@dataclass(frozen=True)
class DataPortServices:
    """What the handlers of the data port use."""

    profile: Profile
    authenticator: Authenticator
    pipeline: UploadPipeline
    in_flight: InFlightRequests
    faults: FaultScheduler
    metrics: ServerMetrics
    resumable: ResumableStore
    public: PublicApi
    pages: KnownPages


def data_app(services: DataPortServices) -> web.Application:
    """The application of the data port."""
    app = web.Application(
        middlewares=[
            data_port_middleware(services.faults, services.metrics, services.pages, services.in_flight.contexts),
        ],
        client_max_size=_MAX_LOGIN_BYTES,
    )
    parts = (services.profile, services.authenticator, services.pipeline, services.resumable)
    tus, resumable = TusHandlers(*parts), ResumableHandlers(*parts)
    routes = UploadRoutes(services, resumable)
    add = app.router.add_route
    app.on_response_prepare.append(add_version_header)
    app.router.add_resource(LOGIN_ROUTE).add_route("POST", routes.login, expect_handler=_defer_continue)
    page = app.router.add_resource(_ANY_PAGE)
    page.add_route("POST", routes.multipart, expect_handler=_defer_continue)
    page.add_route("PUT", routes.put, expect_handler=_defer_continue)
    page.add_route("OPTIONS", resumable.options)
    add("GET", _ANY_PAGE + "/status", routes.status)
    files = app.router.add_resource(FILES_ROUTE)
    files.add_route("OPTIONS", tus.options)
    files.add_route("POST", tus.create, expect_handler=_defer_continue)
    file = app.router.add_resource(FILE_ROUTE)
    file.add_route("HEAD", tus.head)
    file.add_route("PATCH", tus.patch, expect_handler=_defer_continue)
    file.add_route("DELETE", tus.delete)
    file.add_route("POST", tus.overridden, expect_handler=_defer_continue)
    file.add_route("OPTIONS", tus.options)
    upload = app.router.add_resource(UPLOAD_ROUTE)
    upload.add_route("HEAD", resumable.head)
    upload.add_route("GET", resumable.head)
    upload.add_route("PATCH", resumable.patch, expect_handler=_defer_continue)
    upload.add_route("DELETE", resumable.delete)
    upload.add_route("OPTIONS", resumable.options)
    for path, handler in services.public.routes().items():
        app.router.add_get(path, handler)
    for path, handler in health_routes(services.metrics, lambda: not services.pipeline.is_closing).items():
        app.router.add_get(path, handler)
    app.router.add_get("/openapi.json", _openapi)
    return app


async def _openapi(_request: web.Request) -> web.Response:
    return json_response(openapi_document())


async def _defer_continue(_request: web.Request) -> None:
    """Leaves `Expect: 100-continue` to the handler, so that an upload can be refused before its body is sent."""


def health_routes(metrics: ServerMetrics, is_ready: Callable[[], bool]) -> dict[str, Handler]:
    """What both ports offer about the server itself: metrics, liveness, readiness."""

    async def exposed(request: web.Request) -> web.Response:
        body, content_type = metrics.negotiate(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type, "Vary": "Accept"})

    async def healthy(_request: web.Request) -> web.Response:
        return json_response({"status": "ok"})

    async def ready(_request: web.Request) -> web.Response:
        if not is_ready():
            raise Problem(503, "The server is stopping")
        return json_response({"status": "ready"})

    return {"/metrics": exposed, "/healthz": healthy, "/readyz": ready}


class UploadRoutes:
    """The handlers of logins, of uploads in one request, and of their status."""

    def __init__(self, services: DataPortServices, resumable: ResumableHandlers) -> None:
        self._services = services
        self._resumable = resumable

    async def login(self, request: web.Request) -> web.Response:
        """{station, pin} -> {token, expires_at}."""
        context = request[REQUEST_CONTEXT]
        context.ask_for_body()
        try:
            async with asyncio.timeout(self._services.profile.body_timeout):
                content = json.loads(await request.read())
        except TimeoutError as error:
            raise Problem(408, "The body took too long", headers={"Connection": "close"}) from error
        except (ValueError, RecursionError) as error:  # deeply nested JSON exhausts the parser's stack
            raise Problem(400, "The body is not JSON") from error
        station, pin = (content.get("station"), content.get("pin")) if isinstance(content, dict) else (None, None)
        if not isinstance(station, str) or not isinstance(pin, str):
            raise Problem(400, "Send {station, pin} as strings")
        await context.begin("login", station)
        token, expires = await self._services.authenticator.login(station, pin)
        expires_at = datetime.fromtimestamp(expires, UTC).isoformat(timespec="seconds")
        return json_response({"token": token, "expires_at": expires_at})

    async def multipart(self, request: web.Request) -> web.Response:
        """A page as a multipart form; as the photo alone if it is to be resumable."""
        context = await self._begun(request, "upload")
        if self._resumable.is_asked_for(request) and not request.content_type.startswith("multipart/"):
            return await self._raw(context)
        boundary = multipart_boundary(request.headers.get("Content-Type", ""))
        largest = self._services.profile.max_body
        return await self._services.pipeline.receive(context, lambda sink: MultipartForm(boundary, sink, largest))

    async def put(self, request: web.Request) -> web.Response:
        """A page as the photo alone, its reading in a header."""
        return await self._raw(await self._begun(request, "upload"))

    async def _raw(self, context: RequestContext) -> web.Response:
        request = context.request
        body.check_photo_type(request.headers.get("Content-Type", ""), self._services.profile.accepts)
        if self._resumable.is_possible(request):
            return await self._resumable.create(context)
        reading = request.headers.get("Reading", "")
        response = await self._services.pipeline.receive(
            context, lambda sink: PhotoAlone(parse_reading_header(reading), sink)
        )
        if self._resumable.is_asked_for(request):
            response.headers.update(COMPLETE)
        return response

    async def status(self, request: web.Request) -> web.Response:
        """The status of a page: queued, reading, stored, unreadable, conflict or refused."""
        context = await self._begun(request, "status")
        return await self._services.pipeline.status(context)

    async def _begun(self, request: web.Request, phase: str) -> RequestContext:
        context = request[REQUEST_CONTEXT]
        code, form = request.match_info["code"], request.match_info["form"]
        page = page_number(request.match_info["page"])
        await context.begin(phase, code, form, page)
        self._services.authenticator.authorise(request.headers.get("Authorization"), code)
        context.pages.check_page(form, page)
        return context
