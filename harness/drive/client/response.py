"""HTTP responses, and the parser that collects one from the bytes received."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import httptools

from harness.base.model import MalformedReason
from harness.drive.client.headers import decode_headers
from harness.drive.client.outcomes import ConnectionClosedError, MalformedResponseError

_MAX_HEAD_BYTES = 65_536
"""A server under test may answer anything: a longer head, interim responses included, is malformed."""
_MAX_BODY_BYTES = 1_048_576
"""What is kept of a body; the rest is read and dropped."""
_MAX_FRAMING_RATIO = 8
"""Bytes of chunk framing per byte of body, at most: chunks of one byte need five."""
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"\r?\ncontent-length[ \t]*:([^\r\n]*)(?=\r?\n)", re.IGNORECASE)
_FIRST_FINAL_STATUS = 200
OnInterim = Callable[[int, Sequence[tuple[bytes, bytes]]], None]
"""Takes the status and the raw headers of an interim response; must not raise."""
_REASON_BY_WORD = (
    ("content-length", MalformedReason.CONTENT_LENGTH),
    ("transfer-encoding", MalformedReason.TRANSFER_ENCODING),
    ("chunk", MalformedReason.CHUNK),
    ("header", MalformedReason.HEADER),
)


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


class ResponseParser:
    """Collects the responses of one connection, one after another, from httptools' callbacks.

    Call `expect` before each request, `feed` with what was received until `complete`, then `response`. Call `close` with
    the connection: this object and httptools refer to each other, and would otherwise wait for the garbage collector,
    which runs rarely here.

    The first final response is the response. Bytes after it, whether in the same segment or a later one, belong to no request:
    they make the connection unusable and change nothing else. Accepted is what RFC 9112 lets a recipient accept and curl does:
    a bare LF at a line's end, Content-Length beside chunked coding (which then counts), Content-Length repeated with one value.
    """

    __slots__ = (
        "_body", "_body_bytes", "_feed", "_headers", "_on_interim", "_received", "_received_bytes", "bodiless", "complete",
        "has_headers", "is_between", "keep_alive", "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self.bodiless = False
        """The request was a HEAD: its response ends with the headers, whatever Content-Length they name."""
        self.is_between = False
        """Whether an interim response is whole and nothing of the next one has come."""
        self._on_interim: OnInterim | None = None
        self._feed: Any = self._make_parser()
        self._reset()

    def expect(self, *, bodiless: bool, on_interim: OnInterim | None = None) -> None:
        """Prepare for the next response."""
        self._on_interim = on_interim
        # After the response to a HEAD, httptools still waits for the body that Content-Length announced.
        if self.bodiless:
            self._feed = self._make_parser()
        self.bodiless = bodiless
        self._reset()

    def close(self) -> None:
        """Break the reference cycle with httptools; nothing can be parsed afterwards."""
        self._feed = self._on_interim = None

    def _make_parser(self) -> Any:
        parser = httptools.HttpResponseParser(self)
        parser.set_dangerous_leniencies(
            lenient_chunked_length=True, lenient_optional_cr_before_lf=True, lenient_data_after_close=True
        )
        return parser

    def _reset(self) -> None:
        self._received = b""
        """Every byte of this response until its head is complete: what `_repair_head` reads."""
        self._received_bytes = 0
        self.complete = self.keep_alive = self.is_between = False
        self._discard_message()

    def _discard_message(self) -> None:
        """Discard what belongs to an interim response."""
        self.status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self.has_headers = False

    # --- httptools' callbacks

    def on_message_begin(self) -> None:
        """Another message starts: the final response after an interim one, or one that no request asked for."""
        if self.complete:
            # Ends the parsing of this segment: what servers send before they close an idle connection (408) must not replace
            # the response.
            raise _SurplusError
        if self.is_between:
            self.is_between = False
            self._discard_message()

    def on_headers_complete(self) -> None:
        """All headers were received."""
        self.has_headers = True
        self.status = self._feed.get_status_code()
        if self.bodiless and self.status >= _FIRST_FINAL_STATUS:
            # httptools doesn't know the request's method and has no option for it, so keep-alive is worked out here
            # (RFC 9112, 9.3).
            is_old = self._feed.get_http_version() == "1.0"
            self.keep_alive = not is_old and "close" not in decode_headers(self._headers).get("connection", "").lower()
            self.complete = True
        else:
            # Asked now: once the message is over, httptools answers False.
            self.keep_alive = bool(self._feed.should_keep_alive())

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header was received, or a trailer, which nothing here interprets."""
        if not self.has_headers:
            self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        """A part of the body was received."""
        if self.complete:  # after the response to a HEAD
            raise _SurplusError
        before = self._body_bytes
        self._body_bytes = after = before + len(body)
        # Read to its end within the attempt's time, as curl does, but a server can't fill the generator's memory.
        if after <= _MAX_BODY_BYTES:
            self._body.append(body)
        elif before < _MAX_BODY_BYTES:
            self._body.append(body[: _MAX_BODY_BYTES - before])

    def on_message_complete(self) -> None:
        """The response is complete, unless it is an interim one: the final one follows on the same connection."""
        if self.status >= _FIRST_FINAL_STATUS:
            self.complete = True
            return
        self.has_headers, self.is_between = False, True
        if self._on_interim is not None:
            self._on_interim(self.status, self._headers)

    # --- what the connection calls

    @property
    def is_final(self) -> bool:
        """Whether the headers of a final response were received, not just an interim one such as 100 Continue."""
        return self.has_headers and self.status >= _FIRST_FINAL_STATUS

    def feed(self, data: bytes) -> None:
        """Parse received bytes; b"" means that the server closed the connection.

        Raises MalformedResponseError for bytes that are not a response, and ConnectionClosedError for an incomplete response.
        """
        if not data:
            self._end_of_stream()
            return
        self._received_bytes += len(data)
        if not self.has_headers:
            self._received = self._received + data if self._received else data
        try:
            self._feed.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise MalformedResponseError(MalformedReason.UPGRADE) from None
        except httptools.HttpParserError as error:
            self._on_parser_error(str(error))
        if not self.complete:
            self._check_size()

    def response(self, *, reusable: bool) -> HttpResponse:
        """The response received; `reusable` says whether the request was sent completely."""
        self._on_interim = None  # an idle connection must not keep its owner, and the photo, in memory
        return HttpResponse(self.status, self._headers, b"".join(self._body), keep_alive=reusable and self.keep_alive)

    def _on_parser_error(self, message: str) -> None:
        """Continue after what the parser refused, if it does not matter; else raise MalformedResponseError."""
        if self.complete:
            self.keep_alive = False
            return
        # Also where the parser was in the error before: the rest of a head arrives in later segments.
        if not self.has_headers and "content-length" in self._received.decode("latin-1").lower():
            head = merge_content_lengths(self._received)
            if head is None:
                return
            if head != self._received:
                self._received = head
                self._feed = self._make_parser()
                self._discard_message()
                self._feed_again(head)
                return
        raise MalformedResponseError(_reason_of(message), message)

    def _feed_again(self, data: bytes) -> None:
        """Parse a repaired head and what came after it."""
        try:
            self._feed.feed_data(data)
        except httptools.HttpParserError as error:
            if not self.complete:
                raise MalformedResponseError(_reason_of(str(error)), str(error)) from None
            self.keep_alive = False

    def _check_size(self) -> None:
        """Raise MalformedResponseError if the head, or what frames the body, is longer than any server needs."""
        if not self.has_headers:
            if self._received_bytes > _MAX_HEAD_BYTES:
                raise MalformedResponseError(MalformedReason.HEAD_TOO_LONG)
            return
        framing_bytes = self._received_bytes - self._body_bytes
        if framing_bytes > 2 * _MAX_HEAD_BYTES + _MAX_FRAMING_RATIO * min(self._body_bytes, _MAX_BODY_BYTES):
            raise MalformedResponseError(MalformedReason.FRAMING)

    def _end_of_stream(self) -> None:
        """Accept the end of the stream as the end of a body that has no length (RFC 9112, 6.3); else raise."""
        if not self.is_final or decode_headers(self._headers).keys() & {"content-length", "transfer-encoding"}:
            raise ConnectionClosedError
        self.keep_alive = False
        self.complete = True


class _SurplusError(Exception):
    """Bytes after the response; raised inside httptools only, to stop it."""


def merge_content_lengths(received: bytes) -> bytes | None:
    r"""The bytes with Content-Length once per head where it was repeated with one value (RFC 9112, 6.3).

    None if a head is incomplete. Raises MalformedResponseError if the values differ.

    >>> merge_content_lengths(b"HTTP/1.1 201 Created\r\nContent-Length: 2, 2\r\ncontent-length: 2\r\n\r\nok")
    b'HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok'
    """
    head_end = _HEAD_END.search(received)
    if head_end is None:
        return None
    head, rest = received[: head_end.end()], received[head_end.end() :]
    values = {value.strip() for line in _CONTENT_LENGTH.findall(head) for value in line.split(b",")}
    if len(values) > 1:
        raise MalformedResponseError(MalformedReason.CONTENT_LENGTHS)
    if values:
        first = iter([b"\r\nContent-Length: " + values.pop()])
        return _CONTENT_LENGTH.sub(lambda _: next(first, b""), head) + rest
    # An interim response: the head in question is a later one.
    following = merge_content_lengths(rest) if rest else rest
    return None if following is None else head + following


def _reason_of(message: str) -> MalformedReason:
    """The reason behind a message of the parser."""
    return next((reason for word, reason in _REASON_BY_WORD if word in message.lower()), MalformedReason.NOT_HTTP)
