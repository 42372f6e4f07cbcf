"""aiohttp's protocol of a connection, with the errors of this API, and with bodies that can be tapped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import StreamReader

from mock_server.http.metrics import OTHER_METHOD, UNMATCHED_ROUTE, ServerMetrics
from mock_server.http.request_context import read_trace_id
from mock_server.http.responses import Problem
from mock_server.net.body_tap import BodyTap, TakeBytes
from mock_server.net.connection import ServerConnection
from mock_server.profile.server_profile import ServerProfile

_KEEP_ALIVE_S = 75.0
_READ_BUFFER_BYTES = 2**18
_UNTAPPABLE = ("Transfer-Encoding", "Content-Encoding", "Upgrade")
"""With one of these headers a body has no known length, is not what was sent, or is followed by something else than HTTP."""
_log = logging.getLogger(__name__)
_no_log = logging.getLogger(f"{__name__}.access")
_no_log.disabled = True


class RequestProtocol(web.RequestHandler):
    """aiohttp's protocol; what cannot be parsed is answered with a problem and counted in `metrics`."""

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
        """A problem for a request that could not be parsed, or whose handler raised."""
        if status >= 500:
            trace_id = read_trace_id(request.headers.get("traceparent", ""))
            _log.error("a request handler raised%s", f" (trace {trace_id})" if trace_id else "", exc_info=exc)
        elif self._metrics is not None:  # it reached no handler, so the middleware has not counted it
            self._metrics.request(OTHER_METHOD, UNMATCHED_ROUTE, status, 0.0)
        if request.writer.output_size > 0:  # part of a response is sent: a second one would corrupt it
            raise ConnectionError
        detail = "" if message is None or status >= 500 else message.partition("\n")[0].strip(" :")
        response = Problem(status, detail).response()
        response.force_close()
        return response

    def tap_body(self, request: web.Request, take: TakeBytes) -> BodyTap | None:
        """Has `take` called with what remains of the body: `request.content` gets no more of it, only its end.

        None if the body is whole already, or cannot be tapped: it has to be read from `request.content`.
        """
        connection, content = self.transport, request.content
        length = request.content_length
        if length is None or not isinstance(connection, ServerConnection) or type(content) is not StreamReader:
            return None
        left_bytes = length - content.total_bytes
        # While aiohttp has paused reading, its parser may hold bytes of the body.
        if left_bytes <= 0 or self._reading_paused or any(name in request.headers for name in _UNTAPPABLE):
            return None

        def end() -> None:
            connection.tap = None
            if self._parser is not None:  # None: the connection was lost
                self._parser = self._new_parser()  # the other one still waits for the rest of this body
            content.feed_eof()

        connection.tap = BodyTap(left_bytes, take, content.feed_data, end)
        return connection.tap

    def _new_parser(self) -> HttpRequestParser:
        """A parser as aiohttp makes it for a new connection."""
        return HttpRequestParser(
            self, self._loop, self._read_bufsize, payload_exception=web.RequestPayloadError,
            max_line_size=self.max_line_size, max_field_size=self.max_field_size, max_headers=self.max_headers,
            max_msg_queue_size=self._max_msg_queue_size,
        )  # fmt: skip


def tap_body(request: web.Request, take: TakeBytes) -> BodyTap | None:
    """`RequestProtocol.tap_body`, if the request came by such a protocol."""
    protocol = request.protocol
    return protocol.tap_body(request, take) if isinstance(protocol, RequestProtocol) else None


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
        return RequestProtocol(
            # lingering_time=0: the middleware lingers, and knows when to stop.
            server, metrics=metrics, loop=loop, access_log=_no_log, keepalive_timeout=_KEEP_ALIVE_S, lingering_time=0,
            read_bufsize=_READ_BUFFER_BYTES, max_line_size=profile.max_header, max_field_size=profile.max_header,
        )  # fmt: skip

    return make
