"""The protocol of an own client: its attempts, with a sender that keeps time, connections and outcomes the harness's."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gevent

from harness.base.model import ANSWERED, MalformedReason, Outcome
from harness.drive.client.headers import resolve_location
from harness.drive.client.outcomes import AttemptTimeoutError, MalformedResponseError, OwnClientError
from harness.drive.client.own_client import OwnClient
from harness.drive.client.pool import AttemptConnection
from harness.drive.client.protocols.base import HighWaterMark, UploadContext, UploadResult, format_head
from harness.drive.client.response import HttpResponse
from harness.protocol import Body, Delivery, Photo, PhotoSlice, Response, ResponseError
from harness.protocol.photo import Buffer

_RETURNABLE = ANSWERED | {Outcome.MALFORMED}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH = re.compile(r"(?:/|https?://)[!-~]*", re.IGNORECASE)
_VALUE = re.compile(r"[\t -~\xa0-\xff]*")
_HARNESS_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


@dataclass(slots=True)
class OwnContext(UploadContext):
    """What an own client knows of its station beyond the requests' common part."""

    pin: str
    client: OwnClient
    memory: dict[str, Any] = field(default_factory=dict)


class OwnUpload:
    """The upload of a page by an own client, whose object lives as long as the page."""

    __slots__ = ("_client", "_delivery", "_photo", "high_water")

    def __init__(self, photo: Photo, client: OwnClient) -> None:
        self._photo = photo
        self._client = client
        self._delivery: Delivery | None = None
        self.high_water = HighWaterMark()

    def attempt(self, connection: AttemptConnection, context: UploadContext) -> UploadResult:
        """Let the client try once; its bugs are raised as OwnClientError, and failures of requests as they were."""
        if not isinstance(context, OwnContext):
            raise TypeError(context)
        sender = OwnSender(connection, context, self.high_water, self._client.variables)
        try:
            if self._delivery is None:
                self._delivery = self._client.make(self._photo)
            outcome = self._delivery.attempt(sender)
        except (AttemptTimeoutError, gevent.GreenletExit):
            raise
        except ResponseError as error:
            sender.raise_failure()
            raise MalformedResponseError(MalformedReason.OWN_CLIENT, str(error)) from error
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: they would end the worker
            sender.raise_failure()
            self._client.note_bug(error)
            raise OwnClientError from error
        # A client may have caught the failure of a request: how an attempt ended is not for it to say.
        sender.raise_failure()
        if connection.remaining_s <= 0:
            raise AttemptTimeoutError
        return self._check_result(outcome, sender.latest)

    def _check_result(self, outcome: object, response: HttpResponse | None) -> UploadResult:
        """The client's result. Raises OwnClientError for one that it may not give."""
        problem = ""
        if not isinstance(outcome, Outcome) or outcome not in _RETURNABLE:
            names = ", ".join(sorted(one.name for one in _RETURNABLE))
            problem = f"attempt returned {outcome!r}, not one of Outcome's {names}"
        elif response is not None:
            return UploadResult(outcome, response)
        else:
            problem = f"attempt returned {outcome} without having received a response"
        error = OwnClientError(problem)
        self._client.note_bug(TypeError(problem))
        raise error


class OwnSender:
    """What an own client sends with; implements harness.protocol.Sender."""

    __slots__ = ("_connection", "_context", "_failure", "_high_water", "_variables", "latest")

    def __init__(
        self, connection: AttemptConnection, context: OwnContext, high_water: HighWaterMark, variables: Mapping[str, str]
    ) -> None:  # fmt: skip
        self._variables = variables
        self._connection = connection
        self._context = context
        self._high_water = high_water
        self._failure: BaseException | None = None
        self.latest: HttpResponse | None = None
        """The latest response of the attempt: its status is the row's."""

    @property
    def attempt(self) -> int:
        """Which attempt at this page it is, from 1."""
        return self._context.attempt

    @property
    def remaining_s(self) -> float:
        """Seconds left of the attempt's time."""
        return self._connection.remaining_s

    @property
    def pin(self) -> str:
        """The station's PIN."""
        return self._context.pin

    @property
    def memory(self) -> MutableMapping[str, Any]:
        """What the client keeps for this station from page to page."""
        return self._context.memory

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment variables whose name begins with TARGET_."""
        return self._variables

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: Body = b"",
        timeout_s: float | None = None,
    ) -> Response:  # fmt: skip
        """Send one request and return its response; see harness.protocol.Sender."""
        self.raise_failure()
        parts = _split_body(body)
        size = sum(part.size_bytes for part in parts)
        head = self._format_head(method, path, headers or {}, size)
        try:
            response = self._send(head, parts, timeout_s, bodiless=method == "HEAD")
        except BaseException as error:
            self._failure = error
            raise
        self.latest = response
        return Response(response.status, response.headers, response.body)

    def sleep(self, seconds: float) -> None:
        """Wait while other stations go on."""
        self.raise_failure()
        try:
            gevent.sleep(max(0.0, seconds))
        except BaseException as error:
            self._failure = error
            raise

    def raise_failure(self) -> None:
        """Raise again the error of a request that failed, if one did: it has ended the attempt."""
        if self._failure is not None:
            raise self._failure

    def _send(
        self, head: bytes, parts: Sequence[_Part], timeout_s: float | None, *, bodiless: bool
    ) -> HttpResponse:  # fmt: skip
        buffers = [head, *(buffer for part in parts for buffer in part.buffers)]
        progress = self._connection.progress
        before = progress.sent_bytes + len(head) + len(self._connection.trace)
        try:
            if timeout_s is None:
                return self._connection.request(buffers, bodiless=bodiless)
            with gevent.Timeout(timeout_s, AttemptTimeoutError):
                return self._connection.request(buffers, bodiless=bodiless)
        finally:
            # What the kernel accepted counts as sent: it may have reached the server even if the request failed.
            sent = progress.sent_bytes - before
            for part in parts:
                if part.start is not None and sent > 0:
                    self._high_water.advance(part.start, min(part.size_bytes, sent))
                sent -= part.size_bytes

    def _format_head(self, method: str, path: str, headers: Mapping[str, str], size: int) -> bytes:
        if not _TOKEN.fullmatch(method):
            message = f"method {method!r} is not a word"
            raise ValueError(message)
        lines = [f"Host: {self._context.host}"]
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name) or name.lower() in _HARNESS_HEADERS:
                message = f"header {name!r} can't be set: it is not a header's name, or one that the harness sets"
                raise ValueError(message)
            if not _VALUE.fullmatch(value):
                message = f"the value of {name} has characters that a header can't have, such as a line break"
                raise ValueError(message)
            lines.append(f"{name}: {value}")
        if size or method in _BODY_METHODS:
            lines.append(f"Content-Length: {size}")
        return format_head(f"{method} {self._resolve(path)}", lines)

    def _resolve(self, path: str) -> str:
        """The path to request. Raises ValueError for one that can't be sent, MalformedResponseError for another host's."""
        if not _PATH.fullmatch(path):
            message = f'path {path!r} should begin with "/" (or be a URL) and be percent-encoded'
            raise ValueError(message)
        # URLs come from the server's answers: one that leads elsewhere is its error, and never followed.
        try:
            return resolve_location(path, self._context.host, "/")
        except MalformedResponseError as error:
            self._failure = error
            raise


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a body, with its place in the photo; None for other bytes."""

    buffers: Sequence[Buffer]
    size_bytes: int
    start: int | None


def _split_body(body: Body) -> list[_Part]:
    """The parts of a body. Raises TypeError for what can't be sent."""
    parts = [body] if isinstance(body, bytes | Photo | PhotoSlice) else body
    found = []
    for part in [parts] if isinstance(parts, str) else parts:
        match part:
            case PhotoSlice():
                found.append(_Part(part.buffers, part.size_bytes, part.start))
            case Photo():
                found.append(_Part(part.whole, part.size_bytes, 0))
            case bytes():
                found.append(_Part([part], len(part), None))
            case _:
                message = f"a body consists of bytes, photos and slices of photos, not of {type(part).__name__}"
                raise TypeError(message)
    return found
