"""What every request to the data port goes through: its exchange, its metrics, its problems, faults in its answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from mock_server.faults.scheduler import FaultScheduler
from mock_server.http.metrics import ServerMetrics
from mock_server.http.request_context import AttemptCounter, ConnectionEnded, RequestContext
from mock_server.http.responses import Problem
from mock_server.net.connection import ServerConnection
from mock_server.profile.profile import ServerProfile

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
REQUEST_CONTEXT = web.RequestKey("EXCHANGE", RequestContext)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "_OTHER"
_UNMATCHED = "unmatched"
_STORAGE_SCOPES = ("acknowledgement", "rows")
_LINGER_S = 10.0
_LINGER_IDLE_S = 1.0
_KEEP_ALIVE_S = 75.0
_READ_BUFFER_BYTES = 2**18
_log = logging.getLogger(__name__)
_no_log = logging.getLogger(f"{__name__}.access")
_no_log.disabled = True


class AlreadySent(web.Response):
    """Stands for an answer that is on the wire already, or never will be."""

    async def prepare(self, request: web.BaseRequest) -> None:  # noqa: ARG002
        """Sends nothing."""
        return

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002
        """Sends nothing."""
        return


class _ProblemRequestHandler(web.RequestHandler):
    """The library's protocol, whose own errors are problems too."""

    __slots__ = ("_metrics",)

    def __init__(self, *arguments: Any, metrics: ServerMetrics | None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._metrics = metrics

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A problem for a request that could not be parsed, or whose handler broke."""
        if status >= 500:
            _log.error("a handler broke", exc_info=exc)
        elif self._metrics is not None:  # it came to no handler: nobody else has counted it
            self._metrics.request(_OTHER, _UNMATCHED, status, 0.0)
        if request.writer.output_size > 0:
            raise ConnectionError
        detail = "" if message is None or status >= 500 else message.partition("\n")[0].strip(" :")
        answer = Problem(status, detail).answer()
        answer.force_close()
        return answer


def protocol_factory(
    runner: web.AppRunner, profile: ServerProfile, metrics: ServerMetrics | None = None
) -> Callable[[], asyncio.Protocol]:
    """Makes the protocols of a port's connections; what cannot be parsed is counted in `metrics`."""
    server = runner.server
    if server is None:
        message = "the runner is not set up"
        raise RuntimeError(message)
    loop = asyncio.get_running_loop()

    def make() -> asyncio.Protocol:
        return _ProblemRequestHandler(
            server, metrics=metrics, loop=loop, access_log=_no_log, keepalive_timeout=_KEEP_ALIVE_S, lingering_time=0,
            read_bufsize=_READ_BUFFER_BYTES, max_line_size=profile.max_header, max_field_size=profile.max_header,
        )  # fmt: skip

    return make


def data_port_middleware(rules: FaultScheduler, metrics: ServerMetrics) -> Middleware:
    """The middleware of the data port."""
    attempts = AttemptCounter()

    @web.middleware
    async def go_through(request: web.Request, handler: Handler) -> web.StreamResponse:
        begun = time.monotonic()
        answer: web.StreamResponse | None = None
        metrics.active += 1
        exchange = RequestContext(request, rules, attempts)
        exchange.continues = request.headers.get("Expect", "").lower() != "100-continue"
        request[REQUEST_CONTEXT] = exchange
        try:
            with request_in_progress(request):
                answer = await _finish_response(exchange, await respond_with_problems(request, handler))
                return answer
        finally:
            metrics.active -= 1
            exchange.let_go()
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else _UNMATCHED
            method = request.method if request.method in _METHODS else _OTHER
            status, ended = _observed_status(exchange, answer)
            metrics.request(method, route, status, ended - begun)

    return go_through


def _observed_status(exchange: RequestContext, answer: web.StreamResponse | None) -> tuple[int | None, float]:
    """The status that the client can see of an answer (None: nothing), and when its last byte was sent."""
    connection, now = exchange.connection, time.monotonic()
    if connection is not None and connection.sent_s is not None:  # sent already; what came after it was lingering
        return connection.sent_status, connection.sent_s
    if exchange.is_gone or isinstance(answer, AlreadySent):
        return None, now
    return (500 if answer is None else answer.status), now


@contextlib.contextmanager
def request_in_progress(request: web.Request) -> Iterator[None]:
    """Tells a request's connection when it is busy with it: the time for the next header begins afterwards."""
    connection = request.transport
    if not isinstance(connection, ServerConnection):
        yield
        return
    connection.begin_request()
    try:
        yield
    finally:
        connection.end_request()


async def _finish_response(exchange: RequestContext, answer: web.StreamResponse) -> web.StreamResponse:
    """The answer after its faults, and after what is left of the request's body is out of the way."""
    try:
        if exchange.hits and not isinstance(answer, AlreadySent):
            answer = await _apply_response_faults(exchange, answer)
    except ConnectionEnded:
        answer = _already_sent(answer)
    if not exchange.request.content.is_eof() and not exchange.is_gone:
        await _respond_and_discard_body(exchange, answer)
    return answer


async def _apply_response_faults(exchange: RequestContext, answer: web.StreamResponse) -> web.StreamResponse:
    connection = exchange.connection
    if connection is None or answer.prepared:
        return answer
    connection.catch()
    try:
        await answer.prepare(exchange.request)
        await answer.write_eof()
    finally:
        wire = connection.caught()
    # Who ends the connection comes first, a lost ack before all: behind one that sends the answer it could not any more.
    for hit in sorted(
        exchange.hits, key=lambda hit: (not hit.fault.ends_answers, hit.fault.reach not in _STORAGE_SCOPES)
    ):
        if await exchange.act(hit, hit.fault.on_answer(exchange, wire, hit.draw)):
            return answer
    await exchange.write(wire)
    return answer


async def _respond_and_discard_body(exchange: RequestContext, answer: web.StreamResponse) -> None:
    """Answers before the body is whole; reads on for a while, so that a client still sending is not reset."""
    if not exchange.continues:
        answer.force_close()
    await answer.prepare(exchange.request)
    await answer.write_eof()
    if not exchange.continues:
        return
    if exchange.request.content.exception() is not None:  # too late, or the server stops: nobody reads it any more
        answer.force_close()
        if exchange.connection is not None:
            await exchange.connection.linger(_LINGER_S, _LINGER_IDLE_S)
        return
    end = time.monotonic() + _LINGER_S
    with contextlib.suppress(TimeoutError, ConnectionError, web.RequestPayloadError, HttpProcessingError):
        while not exchange.request.content.at_eof() and time.monotonic() < end:
            async with asyncio.timeout(_LINGER_IDLE_S):
                await exchange.request.content.readany()


def _already_sent(answer: web.StreamResponse) -> AlreadySent:
    sent = AlreadySent(status=answer.status)
    sent.force_close()
    return sent


async def respond_with_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What the handler answers, everything that goes wrong turned into a problem."""
    try:
        return await handler(request)
    except ConnectionEnded:
        return _already_sent(web.Response(status=499))
    except Problem as problem:
        return problem.answer()
    except web.HTTPException as error:
        headers: dict[str, Any] | None = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return Problem(error.status, headers=headers).answer()
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError) as error:
        return Problem(400, f"The body broke off: {error}", headers={"Connection": "close"}).answer()
    except sqlite3.Error:
        _log.exception("the store failed")
        return Problem(500, "The store failed").answer()
