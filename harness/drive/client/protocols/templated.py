"""Uploads as a scenario's [target] says: requests made of its templates, answers read by its list of statuses.

The environment's values are filled in here, in the process that sends: they never travel and are never written down.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote

from harness.base.model import Outcome
from harness.drive.client.outcomes import MalformedResponseError
from harness.drive.client.protocols.base import HighWaterMark, Photo, UploadContext, UploadResult, send_photo
from harness.drive.client.response import HttpResponse
from harness.drive.client.session import AttemptConnection
from harness.scenario.target import MultipartPart, TargetApi
from harness.scenario.templating import Template

_BOUNDARY = "----station-photo-6f0c1a"
_MAX_TOKEN_CHARACTERS = 16_384
_URL_SAFE = frozenset({"station", "form", "page", "sha256", "size", "attempt"})
"""Letters and digits: nothing in them that a path would have to escape."""


@dataclass(frozen=True)
class _RequestTemplate:
    """A request line and headers to fill in."""

    method: str
    path: Template
    headers: list[tuple[str, Template]]
    _formats: dict[str, str] = field(default_factory=dict)

    def head(self, host: str, values: Mapping[str, str], length: int, content_type: str) -> bytes:
        """The head of a request with a body of so many bytes."""
        in_path = [values[name] if name in _URL_SAFE else quote(values[name], safe="") for name in self.path.order]
        in_headers = [values[name] for _, template in self.headers for name in template.order]
        return (self._format(content_type) % (*in_path, host, *in_headers, length)).encode()

    def _format(self, content_type: str) -> str:
        """The head as a format of `%`: made once, not for each request."""
        known = self._formats.get(content_type)
        if known is None:
            lines = [f"{_escape_percent(self.method)} {self.path.format} HTTP/1.1", "Host: %s"]
            lines += [f"{_escape_percent(name)}: {template.format}" for name, template in self.headers]
            if content_type and not any(name.lower() == "content-type" for name, _ in self.headers):
                lines.append(f"Content-Type: {_escape_percent(content_type)}")
            known = self._formats[content_type] = "\r\n".join([*lines, "Content-Length: %d", "", ""])
        return known

    @property
    def words(self) -> frozenset[str]:
        """Of all its templates."""
        return self.path.words.union(*(template.words for _, template in self.headers))

    def lines(self, values: Mapping[str, str]) -> list[str]:
        """The headers, filled in."""
        return [f"{name}: {template.fill(values)}" for name, template in self.headers]


def _escape_percent(text: str) -> str:
    """As it stands in a format of `%`."""
    return text.replace("%", "%%")


@dataclass(frozen=True)
class TemplatedApi:
    """A target's API, ready to send: templates with the environment's values in them."""

    upload: _RequestTemplate
    parts: list[tuple[MultipartPart, Template | None, Template | None]]
    """(as written, its text or None for the photo, its file's name)."""
    login: _RequestTemplate | None
    login_body: Template | None
    token_at: str
    outcomes: dict[int, Outcome]
    multipart: bool

    def outcome_of(self, status: int) -> Outcome:
        """What a status means; one that the scenario doesn't mention is no answer to an upload."""
        return self.outcomes.get(status, Outcome.MALFORMED)

    @property
    def logs_in(self) -> bool:
        """Whether a token is needed."""
        return self.login is not None

    @cached_property
    def makes_claims(self) -> bool:
        """Whether uploads tell a photo's digest or its page's reading."""
        return not self._words.isdisjoint({"sha256", "digest", "reading"})

    @property
    def path(self) -> str:
        """Where uploads go, where that is one path for all: tus creates them there."""
        return self.upload.path.fill({})

    def around(self, photo: Photo, sender: UploadContext) -> tuple[bytes, bytes]:
        """What goes before the photo, and what behind it."""
        values = self._values(photo, sender)
        before, after, kind = b"", b"", "image/jpeg"
        if self.multipart:
            (before, after), kind = self._parts(values), f"multipart/form-data; boundary={_BOUNDARY}"
        length = len(before) + photo.size_bytes + len(after)
        return self.upload.head(sender.host, values, length, kind) + before, after

    def _values(self, photo: Photo, sender: UploadContext) -> Mapping[str, str]:
        """What the templates' words stand for, as far as they are in any."""
        values: dict[str, str] = {}
        for word in self._words:
            values[word] = _VALUES[word](photo, sender)
        return values

    @cached_property
    def _words(self) -> frozenset[str]:
        in_parts = [template.words for _, *both in self.parts for template in both if template is not None]
        return self.upload.words.union(*in_parts)

    def headers(self, photo: Photo, sender: UploadContext) -> list[str]:
        """The headers alone, for a protocol that has requests of its own."""
        values = self._values(photo, sender)
        return [f"Host: {sender.host}", *self.upload.lines(values)]

    def login_request(self, host: str, station: str, pin: str) -> bytes:
        """The request that gets a station's token."""
        values = {"station": station, "pin": pin}
        if self.login is None or self.login_body is None:
            return b""
        body = self.login_body.fill(values).encode()
        return self.login.head(host, values, len(body), "") + body

    def token_in(self, answer: HttpResponse) -> str:
        """The token in the answer to a login. Raises MalformedAnswerError where there is none that a header can hold."""
        if self.token_at.startswith("header:"):
            found: object = answer.headers.get(self.token_at.removeprefix("header:").lower())
        else:
            found = _resolve_pointer(answer.body, self.token_at)
        if not isinstance(found, str) or not 0 < len(found) <= _MAX_TOKEN_CHARACTERS or not found.isprintable():
            message = f"there is no token at {self.token_at} in the login's answer"
            raise MalformedResponseError(message)
        return found

    def _parts(self, values: Mapping[str, str]) -> tuple[bytes, bytes]:
        """What stands before and behind the photo."""
        before, after, text = b"", b"", ""
        for part, value, filename in self.parts:
            name = f'; filename="{filename.fill(values)}"' if filename else ""
            kind = part.content_type or ("image/jpeg" if value is None else "")
            text += f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{part.name}"{name}\r\n'
            text += f"Content-Type: {kind}\r\n\r\n" if kind else "\r\n"
            if value is None:
                before, text = text.encode(), "\r\n"
            else:
                text += f"{value.fill(values)}\r\n"
        after = f"{text}--{_BOUNDARY}--\r\n".encode()
        return before, after


class TemplatedUpload:
    """A page on its way to a server of the user's: every attempt sends it from the beginning."""

    __slots__ = ("_api", "_photo", "mark")

    def __init__(self, photo: Photo, api: TemplatedApi) -> None:
        self._photo = photo
        self._api = api
        self.mark = HighWaterMark()

    def attempt(self, wire: AttemptConnection, sender: UploadContext) -> UploadResult:
        """Send the photo as the scenario says, and read the answer as it says."""
        photo = self._photo
        before, after = self._api.around(photo, sender)
        answer = send_photo(wire, before, photo.whole, after, 0, self.mark)
        return UploadResult(self._api.outcome_of(answer.status), answer)


@dataclass(slots=True)
class TemplatedContext(UploadContext):
    """Who sends to a server of the user's: with the scenario's headers and no others."""

    api: TemplatedApi

    def headers(self, photo: Photo, timeout_s: float | None = None) -> list[str]:  # noqa: ARG002
        """The scenario's headers; what is the mock's alone is left out."""
        return self.api.headers(photo, self)


_VALUES: dict[str, Callable[[Photo, UploadContext], str]] = {
    "station": lambda photo, _: photo.station,
    "form": lambda photo, _: photo.form,
    "page": lambda photo, _: str(photo.page),
    "sha256": lambda photo, _: photo.sha256,
    "digest": lambda photo, _: base64.b64encode(bytes.fromhex(photo.sha256)).decode(),
    "size": lambda photo, _: str(photo.size_bytes),
    "attempt": lambda _, sender: str(sender.attempt),
    "reading": lambda photo, _: photo.reading,
    "token": lambda _, sender: sender.token,
}
"""What the words of an upload's templates stand for."""


def build_api(target: TargetApi, environment: Mapping[str, str]) -> TemplatedApi:
    """The API that a scenario describes. Raises UsageError where a variable that it asks for isn't set."""

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
    """What a JSON pointer leads to (RFC 6901); None where it leads nowhere."""
    try:
        place: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(place, list) and key.isdigit() and int(key) < len(place):
            place = place[int(key)]
        else:
            place = place.get(key) if isinstance(place, dict) else None
    return place
