"""An HTTP answer, and the parser that collects it from what comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httptools

from harness.drive.client.outcomes import ConnectionClosedError, MalformedResponseError

_MAX_BODY_BYTES = 1_048_576
_FIRST_FINAL_STATUS = 200


class HttpResponse:
    """A whole HTTP answer."""

    __slots__ = ("_headers", "body", "keep_alive", "raw_headers", "status")

    def __init__(
        self, status: int, raw_headers: Sequence[tuple[bytes, bytes]], body: bytes, *, keep_alive: bool
    ) -> None:
        self.status = status
        self.raw_headers = raw_headers
        """As they came."""
        self.body = body
        self.keep_alive = keep_alive
        self._headers: dict[str, str] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """By name in lower case; of a repeated header the last counts. Made when they are first asked for: few answers are."""
        if self._headers is None:
            self._headers = decode_headers(self.raw_headers)
        return self._headers


def decode_headers(raw_headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name in lower case; of a repeated header the last counts."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw_headers}


class ResponseParser:
    """Collects one answer after another from httptools' callbacks: one a connection, made when the first bytes come.

    `drop` it with the connection: httptools and this object refer to each other, and would wait for the garbage collector.
    """

    __slots__ = ("_body", "_body_bytes", "_feed", "_headers", "bodiless", "complete", "has_headers", "keep_alive")

    def __init__(self) -> None:
        self.bodiless = False
        """The answer to a HEAD: it ends with its headers, whatever length they tell."""
        self.has_headers = False
        self.complete = False
        self.keep_alive = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._feed: Any = httptools.HttpResponseParser(self)

    def expect(self, *, bodiless: bool) -> None:
        """Get ready for the next answer. After a bodiless one httptools still waits for the body: it is made anew."""
        if self.bodiless:
            self._feed = httptools.HttpResponseParser(self)
        self.bodiless = bodiless
        self.on_message_begin()

    def drop(self) -> None:
        """The connection is closed."""
        self._feed = None

    def on_message_begin(self) -> None:
        """Forget an interim answer."""
        self._headers = []
        self._body = []
        self._body_bytes = 0
        self.has_headers = self.complete = False

    def on_headers_complete(self) -> None:
        """The headers are whole."""
        self.has_headers = True
        if self.bodiless:  # the parser doesn't know what was asked, and would wait for a body
            is_old = self._feed.get_http_version() == "1.0"
            self.keep_alive = not is_old and "close" not in decode_headers(self._headers).get("connection", "").lower()
            self.complete = True
        else:
            self.keep_alive = bool(self._feed.should_keep_alive())  # only true while the parser is within the message

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > _MAX_BODY_BYTES:
            raise MalformedResponseError

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self.complete = True

    @property
    def is_final(self) -> bool:
        """The headers are whole, and they are no interim answer's (100 Continue and its like)."""
        return self.has_headers and self._feed.get_status_code() >= _FIRST_FINAL_STATUS

    def take(self, data: bytes) -> None:
        """Go on with what came; nothing means that the server closed.

        Raises MalformedAnswerError and ConnectionClosedError.
        """
        if not data:
            self._end_of_stream()
            return
        try:
            self._feed.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise MalformedResponseError(str(error)) from error
        if self.complete and self._feed.get_status_code() < _FIRST_FINAL_STATUS:  # the real one follows
            self.complete = False

    def answer(self, *, reusable: bool) -> HttpResponse:
        """What came; `reusable` if the connection may be used again as far as the sender knows."""
        body = b"".join(self._body)
        return HttpResponse(self._feed.get_status_code(), self._headers, body, keep_alive=reusable and self.keep_alive)

    def _end_of_stream(self) -> None:
        """The server closed: the end of an answer without a length, else it broke off."""
        if not self.has_headers or decode_headers(self._headers).keys() & {"content-length", "transfer-encoding"}:
            raise ConnectionClosedError
        self.keep_alive = False
        self.complete = True
