"""An HTTP answer, and the parser that collects it from what comes."""

from __future__ import annotations

from dataclasses import dataclass, field

import httptools

from harness.drive.upload.outcomes import ConnectionClosedError, MalformedAnswerError

_LARGEST_ANSWER_BYTES = 1_048_576
_FIRST_FINAL_STATUS = 200


@dataclass(slots=True)
class Answer:
    """A whole HTTP answer. Header names are in lower case; of a repeated header the last counts."""

    status: int
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


@dataclass(slots=True)
class Parser:
    """Collects an answer from httptools' callbacks."""

    bodiless: bool = False
    """The answer to a HEAD: it ends with its headers, whatever length they tell."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    has_headers: bool = False
    complete: bool = False
    keep_alive: bool = False
    feed: httptools.HttpResponseParser = field(init=False)

    def __post_init__(self) -> None:
        self.feed = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        """Forget an interim answer."""
        self.headers.clear()
        self.body.clear()
        self.has_headers = self.complete = False

    def on_headers_complete(self) -> None:
        """The headers are whole."""
        self.has_headers = True
        if self.bodiless:  # the parser doesn't know what was asked, and would wait for a body
            is_old = self.feed.get_http_version() == "1.0"
            self.keep_alive = not is_old and "close" not in self.headers.get("connection", "").lower()
            self.complete = True
        else:
            self.keep_alive = bool(self.feed.should_keep_alive())  # only true while the parser is within the message

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self.body += body
        if len(self.body) > _LARGEST_ANSWER_BYTES:
            raise MalformedAnswerError

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self.complete = True

    @property
    def is_final(self) -> bool:
        """The headers are whole, and they are no interim answer's (100 Continue and its like)."""
        return self.has_headers and self.feed.get_status_code() >= _FIRST_FINAL_STATUS

    def take(self, data: bytes) -> None:
        """Go on with what came; nothing means that the server closed.

        Raises MalformedAnswerError and ConnectionClosedError.
        """
        if not data:
            self._end_of_stream()
            return
        try:
            self.feed.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise MalformedAnswerError(str(error)) from error
        if self.complete and not self.is_final:  # the real one follows
            self.complete = False

    def answer(self, *, reusable: bool) -> Answer:
        """What came; `reusable` if the connection may be used again as far as the sender knows."""
        return Answer(self.feed.get_status_code(), self.headers, bytes(self.body), reusable and self.keep_alive)

    def _end_of_stream(self) -> None:
        """The server closed: the end of an answer without a length, else it broke off."""
        if not self.has_headers or self.headers.keys() & {"content-length", "transfer-encoding"}:
            raise ConnectionClosedError
        self.keep_alive = False
        self.complete = True
