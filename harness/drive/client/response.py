"""HTTP responses: the parser that collects one from the bytes received, and the headers that the client interprets."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import httptools

from harness.drive.client.outcomes import ConnectionClosedError, MalformedResponseError

_MAX_BODY_BYTES = 1_048_576
"""A server under test may answer anything: a larger body is malformed, so that it can't exhaust the generator's memory."""
_FIRST_FINAL_STATUS = 200
_NAN = float("nan")
_MAX_SPAN_S = 1e9
"""Longest time span accepted from a header: 31 years, well within the journal's 32-bit floats."""
_PRINTABLE = re.compile(r"[!-~]+")


class HttpResponse:
    """A complete HTTP response.

    `raw_headers` are in the order received. `keep_alive` says whether the connection may carry another request.
    """

    __slots__ = ("_headers", "body", "keep_alive", "raw_headers", "status")

    def __init__(
        self, status: int, raw_headers: Sequence[tuple[bytes, bytes]], body: bytes, *, keep_alive: bool
    ) -> None:
        self.status = status
        self.raw_headers = raw_headers
        self.body = body
        self.keep_alive = keep_alive
        self._headers: dict[str, str] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Values by lower-case name; the last value of a repeated header."""
        # Decoded on first use: an upload's response is judged by its status, and decoding costs microseconds per attempt.
        if self._headers is None:
            self._headers = decode_headers(self.raw_headers)
        return self._headers


def decode_headers(raw_headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Values by lower-case name; the last value of a repeated header."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw_headers}


class ResponseParser:
    """Collects the responses of one connection, one after another, from httptools' callbacks.

    Call `expect` before each request, `feed` with what was received until `complete`, then `response`. Call `close` with
    the connection: this object and httptools refer to each other, and would otherwise wait for the garbage collector,
    which runs rarely here.
    """

    __slots__ = ("_body", "_body_bytes", "_feed", "_headers", "bodiless", "complete", "has_headers", "keep_alive")

    def __init__(self) -> None:
        self.bodiless = False
        """The request was a HEAD: its response ends with the headers, whatever Content-Length they name."""
        self.has_headers = False
        self.complete = False
        self.keep_alive = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._feed: Any = httptools.HttpResponseParser(self)

    def expect(self, *, bodiless: bool) -> None:
        """Prepare for the next response."""
        # After the response to a HEAD, httptools still waits for the body that Content-Length announced.
        if self.bodiless:
            self._feed = httptools.HttpResponseParser(self)
        self.bodiless = bodiless
        self.on_message_begin()

    def close(self) -> None:
        """Break the reference cycle with httptools; nothing can be parsed afterwards."""
        self._feed = None

    def on_message_begin(self) -> None:
        """Discard what belongs to an interim response."""
        self._headers = []
        self._body = []
        self._body_bytes = 0
        self.has_headers = self.complete = False

    def on_headers_complete(self) -> None:
        """All headers were received."""
        self.has_headers = True
        if self.bodiless:
            # httptools doesn't know the request's method and has no option for it, so keep-alive is worked out here
            # (RFC 9112, 9.3).
            is_old = self._feed.get_http_version() == "1.0"
            self.keep_alive = not is_old and "close" not in decode_headers(self._headers).get("connection", "").lower()
            self.complete = True
        else:
            # Asked now: once the message is over, httptools answers False.
            self.keep_alive = bool(self._feed.should_keep_alive())

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header was received."""
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        """A part of the body was received."""
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > _MAX_BODY_BYTES:
            raise MalformedResponseError

    def on_message_complete(self) -> None:
        """The response is complete."""
        self.complete = True

    @property
    def is_final(self) -> bool:
        """Whether the headers of a final response were received, not just an interim one such as 100 Continue."""
        return self.has_headers and self._feed.get_status_code() >= _FIRST_FINAL_STATUS

    def feed(self, data: bytes) -> None:
        """Parse received bytes; b"" means that the server closed the connection.

        Raises MalformedResponseError for bytes that are not HTTP, and ConnectionClosedError for an incomplete response.
        """
        if not data:
            self._end_of_stream()
            return
        try:
            self._feed.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise MalformedResponseError(str(error)) from error
        if self.complete and self._feed.get_status_code() < _FIRST_FINAL_STATUS:
            self.complete = False  # an interim response: the final one follows on the same connection

    def response(self, *, reusable: bool) -> HttpResponse:
        """The response received; `reusable` says whether the request was sent completely."""
        body = b"".join(self._body)
        return HttpResponse(self._feed.get_status_code(), self._headers, body, keep_alive=reusable and self.keep_alive)

    def _end_of_stream(self) -> None:
        """Accept the end of the stream as the end of a body that has no length (RFC 9112, 6.3); else raise."""
        if not self.has_headers or decode_headers(self._headers).keys() & {"content-length", "transfer-encoding"}:
            raise ConnectionClosedError
        self.keep_alive = False
        self.complete = True


def _parse_seconds(text: str) -> float:
    """A number of seconds, limited to what the journal can hold; NaN for any other text."""
    try:
        value = float(text)
    except ValueError:
        return _NAN
    return value if math.isnan(value) else min(max(0.0, value), _MAX_SPAN_S)


def parse_retry_after(header: str, now: datetime) -> float:
    """Seconds that a Retry-After header asks to wait: a number or an HTTP date (RFC 9110, 10.2.3); NaN for other text.

    >>> from datetime import UTC
    >>> parse_retry_after("Wed, 14 Feb 2024 17:00:30 GMT", datetime(2024, 2, 14, 17, 0, tzinfo=UTC))
    30.0
    """
    seconds = _parse_seconds(header)
    if not math.isnan(seconds):
        return seconds
    try:
        return max(0.0, (parsedate_to_datetime(header) - now).total_seconds())
    except (ValueError, TypeError):
        return _NAN


def parse_server_timing(header: str) -> dict[str, float]:
    """Seconds by metric name in a Server-Timing header (W3C Server Timing; its durations are milliseconds).

    >>> parse_server_timing("queue;dur=12.5, service;dur=100")
    {'queue': 0.0125, 'service': 0.1}
    """
    timing = {}
    for entry in header.split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key == "dur":
                timing[name] = _parse_seconds(value.strip('"')) / 1000
    return timing


def resolve_location(location: str, host: str, requested_path: str) -> str:
    """Path and query that a Location header points to, absolute or relative to the path that was requested.

    `host` is the Host header of the request. Raises MalformedResponseError if the location is on another host: an upload
    is never taken elsewhere, as the consent to load was for this host alone.

    >>> resolve_location("http://127.0.0.1:80/v1/files/x", "127.0.0.1:80", "/v1/files")
    '/v1/files/x'
    >>> resolve_location("x?y", "h", "/v1/files/")
    '/v1/files/x?y'
    """
    try:
        parts = urlsplit(urljoin(f"http://{host}{requested_path}", location))
    except ValueError:
        parts = None
    # The scheme is not compared: a server behind a TLS proxy names http, as it doesn't know about the proxy.
    if parts is None or not _PRINTABLE.fullmatch(location) or parts.netloc.lower() != host.lower():
        message = f'Location "{location}" points outside {host}'
        raise MalformedResponseError(message)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
