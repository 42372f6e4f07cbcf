"""How an upload server that is not the mock is spoken to: the table [target]. `--target URL` says where it is.

Where it is doesn't stand in the file: whose server is loaded is the user's word, never a file's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, model_validator

from harness.base.model import Outcome
from harness.scenario import secrets, templating
from mock_server.profile.units import Duration, FrozenModel

PAGE_PLACEHOLDERS = frozenset({"station", "form", "page", "sha256", "digest", "size", "attempt", "reading"})
"""What a request can tell of a page; `digest` is the SHA-256 in base64."""
KEY_PLACEHOLDERS = frozenset({"station", "form", "page", "sha256"})
"""What a page's own address is made of: what is known without the photo's plan."""
LOGIN_PLACEHOLDERS = frozenset({"station", "pin"})

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CLIENT_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "trailer", "te"}
)
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]*")
_PATH = re.compile(r"/[!-\[\]-~]*")


def _list_as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _path_validator(words: frozenset[str]) -> AfterValidator:
    def check(text: str) -> str:
        if not _PATH.fullmatch(text) or "#" in text or text.startswith("//"):
            message = 'should be a path on the target such as "/photos/{station}/{form}/{page}"'
            raise ValueError(message)
        if templating.variables_in(text):
            message = "can't hold ${…}: paths are written to logs everywhere; use a header"
            raise ValueError(message)
        return templating.check_placeholders(text, words)

    return AfterValidator(check)


def _text_validator(words: frozenset[str]) -> AfterValidator:
    def check(text: str) -> str:
        return templating.check_placeholders(text, words)

    return AfterValidator(check)


def _headers_validator(words: frozenset[str]) -> AfterValidator:
    def check(headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _CLIENT_HEADERS:
                message = f"\"{name}\" can't be set: it is no header name, or the client's own"
                raise ValueError(message)
            if not _PRINTABLE.fullmatch(value):
                message = f"{name} has control characters"
                raise ValueError(message)
            if secrets.header_has_secret(name, value):
                message = f"{name}: {secrets.ADVICE}"
                raise ValueError(message)
            templating.check_placeholders(value, words)
        return headers

    return AfterValidator(check)


PagePath = Annotated[str, _path_validator(PAGE_PLACEHOLDERS)]
KeyPath = Annotated[str, _path_validator(KEY_PLACEHOLDERS)]
PageHeaders = Annotated[dict[str, str], _headers_validator(PAGE_PLACEHOLDERS | {"token"})]
Method = Literal["PUT", "POST", "PATCH"]


class MultipartPart(FrozenModel):
    """One part of a multipart body."""

    name: Annotated[str, Field(pattern=r"^[\w.\[\]-]{1,100}$")]
    """Of the form's field."""
    value: Annotated[str, _text_validator(PAGE_PLACEHOLDERS)] | None = None
    """A text; the photo if left out."""
    filename: (
        Annotated[str, Field(pattern=r'^[^"\\/\x00-\x1f\x7f]{1,200}$'), _text_validator(PAGE_PLACEHOLDERS)] | None
    ) = None
    """What the part says its file is called."""
    content_type: Annotated[str, Field(pattern=r"^[\x21-\x7e ]{1,100}$")] | None = None
    """image/jpeg for the photo if left out, nothing for a text."""

    @model_validator(mode="after")
    def _has_no_literal_secret(self) -> Self:
        if self.value is not None and secrets.part_has_secret(self.name, self.value):
            message = f"{self.name}: {secrets.ADVICE}"
            raise ValueError(message)
        return self


class LoginRequest(FrozenModel):
    """A request that gets a token; one a station, and again after a 401."""

    method: Method = "POST"
    """Of the login."""
    path: Annotated[str, _path_validator(LOGIN_PLACEHOLDERS)]
    """Where it goes, with {station} and {pin}."""
    headers: Annotated[dict[str, str], _headers_validator(LOGIN_PLACEHOLDERS)] = Field(
        default_factory=lambda: {"Content-Type": "application/json"}
    )
    """What it carries, with ${TARGET_…} from the environment."""
    body: Annotated[str, Field(max_length=10_000), _text_validator(LOGIN_PLACEHOLDERS)] = ""
    """The same."""
    token: Annotated[str, Field(pattern=r"^(/[^/]+)+$|^header:[A-Za-z0-9-]+$")]
    """Where the token is in the answer: a JSON pointer such as "/access_token", or "header:X-Token"."""

    @model_validator(mode="after")
    def _has_no_literal_secret(self) -> Self:
        if secrets.fields_have_secret(self.body):  # told of the table, not of the body: a body would be repeated
            message = secrets.ADVICE_ON_BODY
            raise ValueError(message)
        return self


Statuses = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: tuple(map(str, value)) if isinstance(value, list) else value)
]
_STATUS = re.compile(r"[2-5](?:\d\d|xx)")
_STATUS_CLASS = {"accepted": "2", "pending": "2"}


class StatusMeanings(FrozenModel):
    """Which status means what: numbers, or whole classes such as "4xx"; a number goes before its class."""

    accepted: Statuses = ("200", "201", "204")
    replayed: Statuses = ()
    pending: Statuses = ("202",)
    unreadable: Statuses = ()
    throttled: Statuses = ("429",)
    unavailable: Statuses = ("503",)
    rejected: Statuses = ("4xx",)
    server_error: Statuses = ("5xx",)

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        seen: dict[str, str] = {}
        for name, statuses in self:
            for status in statuses:
                if not _STATUS.fullmatch(status):
                    message = f'{name}: "{status}" is neither a status from 200 to 599 nor a class such as "4xx"'
                    raise ValueError(message)
                if status in seen:
                    message = f"{status} means both {seen[status]} and {name}"
                    raise ValueError(message)
                if not status.startswith(_STATUS_CLASS.get(name, status[0])):
                    message = f"{name}: {status} is no success: it can't acknowledge anything"
                    raise ValueError(message)
                seen[status] = name
        return self

    def outcomes(self) -> dict[int, Outcome]:
        """What each status from 200 to 599 means; one that stands nowhere is missing (it is malformed)."""
        found: dict[int, Outcome] = {}
        for is_class in (True, False):
            for name, statuses in self:
                for status in statuses:
                    if status.endswith("xx") == is_class:
                        first = int(status[0]) * 100
                        codes = range(first, first + 100) if is_class else [int(status)]
                        found.update(dict.fromkeys(codes, Outcome(name)))
        return found


class _StoreReading(FrozenModel):
    timeout: Annotated[Duration, Field(gt=0)] = 60.0
    """For reading all of it."""


class StoredUrl(_StoreReading):
    """A path that lists what is stored."""

    kind: Literal["url"]
    path: Annotated[str, _path_validator(frozenset())]
    """On the target."""
    headers: Annotated[dict[str, str], _headers_validator(frozenset())] = Field(default_factory=dict)
    """With ${TARGET_…} from the environment."""
    format: Literal["sha256sum", "digests", "json"] = "json"
    """What a line of it looks like."""
    name: KeyPath = "/{station}-{form}-{page}.jpg"
    """For `sha256sum`: what a file's name looks like, from its last common folder on."""


class StoredCommand(_StoreReading):
    """A command that lists what is stored; runs only with --allow-command."""

    kind: Literal["command"]
    command: Annotated[tuple[str, ...], BeforeValidator(_list_as_tuple), Field(min_length=1)]
    """Program and arguments; no shell reads them."""
    format: Literal["sha256sum", "digests", "json"] = "sha256sum"
    """What a line of its output looks like."""
    name: KeyPath = "/{station}-{form}-{page}.jpg"
    """As with `url`."""


class StoredFetch(_StoreReading):
    """Every planned page is fetched again, and its bytes are hashed."""

    kind: Literal["fetch"]
    path: KeyPath
    """Of one page: 200 is there, 404 and 410 are not."""
    headers: Annotated[dict[str, str], _headers_validator(KEY_PLACEHOLDERS)] = Field(default_factory=dict)
    """With ${TARGET_…} from the environment."""


class StoredNone(FrozenModel):
    """There is no way to read what is stored: safety is unknown."""

    kind: Literal["none"] = "none"


Stored = Annotated[StoredUrl | StoredCommand | StoredFetch | StoredNone, Discriminator("kind")]


def _check_not_reserved(name: str) -> str:
    if name.startswith(("worker", "server", "generator")):
        message = "is what our own scrapes are called: choose another"
        raise ValueError(message)
    return name


class MetricsEndpoint(FrozenModel):
    """A Prometheus endpoint of the target, at the target's own address."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$"), AfterValidator(_check_not_reserved)]
    """What its scrapes are called: not server, generator or worker…, which are ours."""
    port: Annotated[int, Field(ge=1, le=65_535)]
    """Where it listens."""
    path: Annotated[str, _path_validator(frozenset())] = "/metrics"
    """Scraped once a second."""
    tls: bool = False
    """Whether that port speaks TLS; its certificate is held against the target's name."""


class TargetApi(FrozenModel):
    """How a server of the user's takes uploads."""

    method: Method = "PUT"
    """Of an upload."""
    path: PagePath
    """Where a page goes; with client.protocol = "tus" where uploads are created."""
    body: Literal["raw", "multipart"] = "raw"
    """raw: the photo is the body. multipart: the parts are."""
    headers: PageHeaders = Field(default_factory=dict)
    """What each upload carries; no others are sent but Host, Content-Length and Content-Type."""
    parts: Annotated[tuple[MultipartPart, ...], BeforeValidator(_list_as_tuple)] = ()
    """Of a multipart body: exactly one without a value, the photo."""
    login: LoginRequest | None = None
    """How a station's token is got, if one is needed."""
    statuses: StatusMeanings = Field(default_factory=StatusMeanings)
    """Which status means what."""
    stored: Stored = Field(default_factory=StoredNone)
    """How what the server holds is read in the end."""
    accept_unknown_safety: bool = False
    """Whether a run may pass although nobody knows what the server holds."""
    metrics: Annotated[tuple[MetricsEndpoint, ...], BeforeValidator(_list_as_tuple)] = ()
    """What is scraped beside our own metrics."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        photos = sum(part.value is None for part in self.parts)
        if self.body == "multipart" and photos != 1:
            message = 'body = "multipart" needs [[target.parts]], exactly one of them without a value: the photo'
            raise ValueError(message)
        if self.body == "raw" and self.parts:
            message = 'parts belong to body = "multipart"'
            raise ValueError(message)
        if self.login is None and any("token" in templating.placeholders_in(value) for value in self.headers.values()):
            message = "{token} in a header needs [target.login], which gets one"
            raise ValueError(message)
        if len({endpoint.name for endpoint in self.metrics}) < len(self.metrics):
            message = "metrics: a name stands twice"
            raise ValueError(message)
        return self

    @property
    def takes_tus(self) -> bool:
        """Whether there is nothing in it that the tus protocol says itself: uploads are created at the one path."""
        return not templating.placeholders_in(self.path) and self.body == "raw" and self.method in {"PUT", "POST"}

    def texts(self) -> Iterator[str]:
        """Every text that may ask for the environment."""
        yield from self.headers.values()
        yield from (part.value for part in self.parts if part.value is not None)
        if self.login is not None:
            yield from (*self.login.headers.values(), self.login.body)
        if isinstance(self.stored, StoredUrl | StoredFetch):
            yield from self.stored.headers.values()
        if isinstance(self.stored, StoredCommand):
            yield from self.stored.command

    def variables(self) -> set[str]:
        """Names of the environment's variables that are asked for."""
        return {name for text in self.texts() for name in templating.variables_in(text)}
