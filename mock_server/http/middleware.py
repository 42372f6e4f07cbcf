"""What every request goes through: its context, checks of its header, metrics, problems, faults in its response."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from mock_server.faults.faulted_request import ConnectionEnded
from mock_server.http.fault_scheduler import FaultScheduler
from mock_server.http.forms import KnownPages
from mock_server.http.metrics import OTHER_METHOD, UNMATCHED_ROUTE, ServerMetrics
from mock_server.http.request_context import AttemptCounter, RequestContext
from mock_server.http.responses import Problem
from mock_server.net.connection import ServerConnection

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
REQUEST_CONTEXT = web.RequestKey("EXCHANGE", RequestContext)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_LINGER_S = 10.0
_LINGER_IDLE_S = 1.0
_IDEMPOTENCY_KEY = re.compile(r"[ -~]{1,255}")
_log = logging.getLogger(__name__)


class AlreadySent(web.Response):
    """Stands for a response that has been sent already, or never will be."""

    async def prepare(self, request: web.BaseRequest) -> None:  # noqa: ARG002
        """Sends nothing."""
        return

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002
        """Sends nothing."""
        return


def data_port_middleware(
    faults: FaultScheduler, metrics: ServerMetrics, pages: KnownPages, in_flight: set[RequestContext]
) -> Middleware:
    """The middleware of the data port: checks a request's header, gives it its context, and counts it.

    A context is `in_flight` until its response is ready. One function for all of it: each middleware costs every request.
    """
    attempts = AttemptCounter()

    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        begun = time.monotonic()
        response: web.StreamResponse | None = None
        metrics.active += 1
        context = RequestContext(request, faults, attempts, pages)
        context.body_is_coming = request.headers.get("Expect", "").lower() != "100-continue"
        request[REQUEST_CONTEXT] = context
        connection = context.connection
        if connection is not None:
            connection.begin_request()
        try:
            in_flight.add(context)
            try:
                response = await respond_with_problems(request, handler, check_headers)
            finally:
                in_flight.discard(context)
            response = await _finish_response(context, response)
            return response
        finally:
            del request[REQUEST_CONTEXT]  # they refer to each other: only the garbage collector would free them
            if connection is not None:
                connection.end_request()
            metrics.active -= 1
            context.release_hits()
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else UNMATCHED_ROUTE
            method = request.method if request.method in _METHODS else OTHER_METHOD  # a label from a fixed list
            status, ended = _observed_status(context, response)
            metrics.request(method, route, status, ended - begun, context.key.trace_id)

    return handle


def _observed_status(context: RequestContext, response: web.StreamResponse | None) -> tuple[int | None, float]:
    """The status that the client can have received (None: nothing), and when its last byte was sent."""
    connection, now = context.connection, time.monotonic()
    if connection is not None and connection.sent_s is not None:  # sent: the time since then was lingering
        return connection.sent_status, connection.sent_s
    if context.is_disconnected or isinstance(response, AlreadySent):
        return None, now
    return (500 if response is None else response.status), now


@contextlib.contextmanager
def request_in_progress(request: web.Request) -> Iterator[None]:
    """Marks a request's connection as busy with it: the time for the next header begins afterwards."""
    connection = request.transport
    if not isinstance(connection, ServerConnection):
        yield
        return
    connection.begin_request()
    try:
        yield
    finally:
        connection.end_request()


def check_headers(request: web.Request) -> None:
    """Raises Problem 400 if the header is not UTF-8, or its Idempotency-Key not valid.

    Bytes that are not UTF-8 arrive as surrogates, which neither SQLite nor JSON can carry.
    """
    for name, value in request.headers.items():
        if not value.isascii() and not _is_utf8(value):
            raise Problem(400, f"The header {name} is not UTF-8")
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise Problem(400, "An Idempotency-Key has 1 to 255 printable ASCII characters")


def _is_utf8(value: str) -> bool:
    """Whether all of it can be encoded as UTF-8.

    >>> _is_utf8("pelé"), _is_utf8(bytes([255]).decode("utf-8", "surrogateescape"))
    (True, False)
    """
    return not any("\ud800" <= character <= "\udfff" for character in value)


async def _finish_response(context: RequestContext, response: web.StreamResponse) -> web.StreamResponse:
    """Lets faults act on the response, and discards what is left of the request's body."""
    try:
        if context.hits and not isinstance(response, AlreadySent):
            response = await _apply_response_faults(context, response)
    except ConnectionEnded:
        response = _already_sent(response)
    if not context.request.content.is_eof() and not context.is_disconnected:
        await _respond_and_discard_body(context, response)
    return response


async def _apply_response_faults(context: RequestContext, response: web.StreamResponse) -> web.StreamResponse:
    connection = context.connection
    if connection is None or response.prepared:
        return response
    # Faults act on the bytes as aiohttp would send them: it writes them into the connection, which keeps them.
    connection.capture()
    try:
        await response.prepare(context.request)
        await response.write_eof()
    finally:
        raw = connection.captured()
    if not await context.hit_response(raw):
        await context.write(raw)
    return response


async def _respond_and_discard_body(context: RequestContext, response: web.StreamResponse) -> None:
    """Responds before the body is whole, then reads on for a while, so that a client still sending is not reset."""
    if not context.body_is_coming:
        response.force_close()
    await response.prepare(context.request)
    await response.write_eof()
    if not context.body_is_coming:
        return
    if context.request.content.exception() is not None:  # too late, or the server stops: aiohttp reads no more of it
        response.force_close()
        if context.connection is not None:
            await context.connection.linger(_LINGER_S, _LINGER_IDLE_S)
        return
    end = time.monotonic() + _LINGER_S
    with contextlib.suppress(TimeoutError, ConnectionError, web.RequestPayloadError, HttpProcessingError):
        while not context.request.content.at_eof() and time.monotonic() < end:
            async with asyncio.timeout(_LINGER_IDLE_S):
                await context.request.content.readany()


def _already_sent(response: web.StreamResponse) -> AlreadySent:
    sent = AlreadySent(status=response.status)
    sent.force_close()
    return sent


async def respond_with_problems(
    request: web.Request, handler: Handler, check: Callable[[web.Request], None] = lambda _request: None
) -> web.StreamResponse:
    """The handler's response to a request that passes the check, every error turned into a problem."""
    try:
        check(request)
        return await handler(request)
    except ConnectionEnded:
        return _already_sent(web.Response(status=499))  # nginx's status for a client that closed the request
    except Problem as problem:
        return problem.response()
    except web.HTTPException as error:
        # Of aiohttp's headers only Allow is part of the API; its Content-Type would contradict the problem's.
        headers: dict[str, Any] | None = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return Problem(error.status, headers=headers).response()
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError) as error:
        return Problem(400, f"The body broke off: {error}", headers={"Connection": "close"}).response()
    except sqlite3.Error:
        _log.exception("the store failed")
        return Problem(500, "The store failed").response()
