"""Uploads to an API that the scenario's [target] describes: requests from its templates, outcomes from its list of statuses.

Values of environment variables are filled in here, in the process that sends: they are never written to a file, and travel
only to remote workers, over the encrypted connection.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from harness.base.model import Outcome
from harness.drive.client.headers import check_token
from harness.drive.client.pool import AttemptConnection
from harness.drive.client.protocols.base import (
    NO_COLUMNS,
    HighWaterMark,
    Photo,
    UploadContext,
    UploadResult,
    send_photo,
    url_part,
)
from harness.drive.client.response import HttpResponse
from harness.scenario.target import MultipartPart, TargetApi
from harness.scenario.templating import Template

_BOUNDARY = "----station-photo-6f0c1a"
_URL_SAFE = frozenset({"page", "sha256", "size", "attempt"})
"""Placeholders whose values are letters and digits, so that they need no escaping in a path."""


@dataclass(frozen=True)
class _RequestTemplate:
    """A request line and headers with placeholders."""

    method: str
    path: Template
    headers: list[tuple[str, Template]]
    _formats: dict[str, str] = field(default_factory=dict)

    def head(self, host: str, values: Mapping[str, str], length: int, content_type: str) -> bytes:
        """The head of a request with a body of `length` bytes."""
        in_path = [values[name] if name in _URL_SAFE else url_part(values[name]) for name in self.path.order]
        in_headers = [values[name] for _, template in self.headers for name in template.order]
        return (self._format(content_type) % (*in_path, host, *in_headers, length)).encode()

    def _format(self, content_type: str) -> str:
        """The head as a `%` format, made once per content type: joining lines costs microseconds per request."""
        known = self._formats.get(content_type)
        if known is None:
            lines = [f"{_escape_percent(self.method)} {self.path.format} HTTP/1.1", "Host: %s"]
            lines += [f"{_escape_percent(name)}: {template.format}" for name, template in self.headers]
            # A Content-Type in the scenario wins: two of them would make the request ambiguous.
            if content_type and not any(name.lower() == "content-type" for name, _ in self.headers):
                lines.append(f"Content-Type: {_escape_percent(content_type)}")
            known = self._formats[content_type] = "\r\n".join([*lines, "Content-Length: %d", "", ""])
        return known

    @property
    def placeholders(self) -> frozenset[str]:
        """The placeholders of path and headers."""
        return self.path.words.union(*(template.words for _, template in self.headers))

    def lines(self, values: Mapping[str, str]) -> list[str]:
        """The header lines, filled in."""
        return [f"{name}: {template.fill(values)}" for name, template in self.headers]


def _escape_percent(text: str) -> str:
    """The text as it must be written in a `%` format."""
    return text.replace("%", "%%")


@dataclass(frozen=True)
class TemplatedApi:
    """An API described by [target], ready to send: the environment's values are filled in already."""

    upload: _RequestTemplate
    parts: list[tuple[MultipartPart, Template | None, Template | None]]
    """(the part as written, its value or None for the photo, its file name)."""
    login: _RequestTemplate | None
    login_body: Template | None
    token_at: str
    outcomes: dict[int, Outcome]
    multipart: bool

    def classify_status(self, status: int) -> Outcome:
        """The outcome of an upload answered with this status; a status that the scenario doesn't list is malformed."""
        return self.outcomes.get(status, Outcome.MALFORMED)

    @property
    def requires_login(self) -> bool:
        """Whether a station must log in before it uploads."""
        return self.login is not None

    @cached_property
    def makes_claims(self) -> bool:
        """Whether requests contain the photo's digest or the page's reading: only then are they computed."""
        return not self._placeholders.isdisjoint({"sha256", "digest", "reading"})

    @property
    def path(self) -> str:
        """The path of the upload request if it is the same for all pages: tus creates its uploads there."""
        return self.upload.path.fill({})

    def frame(self, photo: Photo, context: UploadContext) -> tuple[bytes, bytes]:
        """The bytes of an upload request before the photo, and those after it."""
        values = self._values(photo, context)
        before, after, kind = b"", b"", photo.content_type
        if self.multipart:
            (before, after), kind = (
                self._frame_parts(values, photo.content_type),
                f"multipart/form-data; boundary={_BOUNDARY}",
            )
        length = len(before) + photo.size_bytes + len(after)
        return self.upload.head(context.host, values, length, kind) + before, after

    def _values(self, photo: Photo, context: UploadContext) -> Mapping[str, str]:
        """Values by placeholder, for those that occur: computing a digest that nobody sends would cost CPU."""
        values: dict[str, str] = {}
        for placeholder in self._placeholders:
            known = _VALUES.get(placeholder)
            values[placeholder] = photo.columns[placeholder] if known is None else known(photo, context)
        return values

    @cached_property
    def _placeholders(self) -> frozenset[str]:
        in_parts = [template.words for _, *both in self.parts for template in both if template is not None]
        return self.upload.placeholders.union(*in_parts)

    def headers(self, photo: Photo, context: UploadContext) -> list[str]:
        """The upload's header lines alone, for a protocol that makes its own requests (tus)."""
        values = self._values(photo, context)
        return [f"Host: {context.host}", *self.upload.lines(values)]

    def format_login(self, host: str, station: str, pin: str, columns: Mapping[str, str] = NO_COLUMNS) -> bytes:
        """The request by which a station gets its token; b"" if there is none."""
        values = {"station": station, "pin": pin, **columns}
        if self.login is None or self.login_body is None:
            return b""
        body = self.login_body.fill(values).encode()
        return self.login.head(host, values, len(body), "") + body

    def parse_token(self, response: HttpResponse) -> str:
        """The token in the response to a login. Raises MalformedResponseError if there is none that a header can hold."""
        if self.token_at.startswith("header:"):
            found: object = response.headers.get(self.token_at.removeprefix("header:").lower())
        else:
            found = _resolve_pointer(response.body, self.token_at)
        return check_token(found)

    def _frame_parts(self, values: Mapping[str, str], photo_type: str) -> tuple[bytes, bytes]:
        """The bytes of a multipart body before the photo, and those after it."""
        before, after, text = b"", b"", ""
        for part, value, filename in self.parts:
            name = f'; filename="{filename.fill(values)}"' if filename else ""
            kind = part.content_type or (photo_type if value is None else "")
            text += f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{part.name}"{name}\r\n'
            text += f"Content-Type: {kind}\r\n\r\n" if kind else "\r\n"
            if value is None:
                before, text = text.encode(), "\r\n"
            else:
                text += f"{value.fill(values)}\r\n"
        after = f"{text}--{_BOUNDARY}--\r\n".encode()
        return before, after


class TemplatedUpload:
    """The upload of a page to an API that [target] describes; every attempt sends it from the beginning."""

    __slots__ = ("_api", "_photo", "high_water")

    def __init__(self, photo: Photo, api: TemplatedApi) -> None:
        self._photo = photo
        self._api = api
        self.high_water = HighWaterMark()

    def attempt(self, connection: AttemptConnection, context: UploadContext) -> UploadResult:
        """Send the photo, and interpret the response, as the scenario says."""
        photo = self._photo
        before, after = self._api.frame(photo, context)
        response = send_photo(connection, before, photo.whole, after, 0, self.high_water)
        return UploadResult(self._api.classify_status(response.status), response)


@dataclass(slots=True)
class TemplatedContext(UploadContext):
    """An upload context whose headers are the scenario's and no others."""

    api: TemplatedApi

    def headers(self, photo: Photo, timeout_s: float | None = None) -> list[str]:  # noqa: ARG002
        """The scenario's header lines; those that only the mock knows (X-Attempt, Upload-Timeout) are left out."""
        return self.api.headers(photo, self)


_VALUES: dict[str, Callable[[Photo, UploadContext], str]] = {
    "station": lambda photo, _: photo.station,
    "form": lambda photo, _: photo.form,
    "page": lambda photo, _: str(photo.page),
    "sha256": lambda photo, _: photo.sha256,
    "digest": lambda photo, _: base64.b64encode(bytes.fromhex(photo.sha256)).decode(),
    "size": lambda photo, _: str(photo.size_bytes),
    "attempt": lambda _, context: str(context.attempt),
    "reading": lambda photo, _: photo.reading,
    "token": lambda _, context: context.token,
}
"""How to compute the value of each placeholder of an upload."""


def build_api(target: TargetApi, environment: Mapping[str, str]) -> TemplatedApi:
    """The API that a scenario's [target] describes. Raises UsageError if an environment variable that it names is not set."""

    def template(text: str) -> Template:
        return Template(text, environment)

    def headers(pairs: Mapping[str, str]) -> list[tuple[str, Template]]:
        return [(name, template(value)) for name, value in pairs.items()]

    login = target.login
    return TemplatedApi(
        upload=_RequestTemplate(target.method, Template(target.path), headers(target.headers)),
        parts=[
            (
                part,
                None if part.value is None else template(part.value),
                template(part.filename) if part.filename else None,
            )
            for part in target.parts
        ],
        login=None if login is None else _RequestTemplate(login.method, Template(login.path), headers(login.headers)),
        login_body=None if login is None else template(login.body),
        token_at="" if login is None else login.token,
        outcomes=target.statuses.outcomes(),
        multipart=target.body == "multipart",
    )


def _resolve_pointer(body: bytes, pointer: str) -> object:
    """The value that a JSON pointer (RFC 6901) refers to; None if there is none."""
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")  # in this order: "~01" means "~1" (RFC 6901, 4)
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value
