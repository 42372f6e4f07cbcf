"""The API of an upload server that is not the mock: the table [target]. Its address comes from `--target URL`.

The address is deliberately not a key: which server is loaded is the user's decision, never that of a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, model_validator

from harness.base.model import Outcome
from harness.base.safe_files import LIST_AS_TUPLE
from harness.scenario import templating
from mock_server.profile.units import Duration, FrozenModel

PAGE_PLACEHOLDERS = frozenset({"station", "form", "page", "sha256", "digest", "size", "attempt", "reading"})
"""Values of a page that a request can contain; `digest` is the SHA-256 in base64."""
KEY_PLACEHOLDERS = frozenset({"station", "form", "page", "sha256"})
"""Values that identify a stored page."""
LISTING_PLACEHOLDERS = frozenset({"number", "cursor"})
"""Values that choose a page of a list."""
LOGIN_PLACEHOLDERS = frozenset({"station", "pin"})

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CLIENT_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "trailer", "te"}
)
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]*")
_PATH = re.compile(r"/[!-\[\]-~]*")


def _path_validator(words: frozenset[str]) -> AfterValidator:
    def check(text: str) -> str:
        if not _PATH.fullmatch(text) or "#" in text or text.startswith("//"):
            message = 'should be a path on the target such as "/photos/{station}/{form}/{page}"'
            raise ValueError(message)
        if templating.variables_in(text):
            message = "must not contain ${…}: paths are written to logs everywhere; use a header"
            raise ValueError(message)
        return templating.check_placeholders(text, words)

    return AfterValidator(check)


def _text_validator(words: frozenset[str]) -> AfterValidator:
    return AfterValidator(lambda text: templating.check_placeholders(text, words))


def _headers_validator(words: frozenset[str]) -> AfterValidator:
    def check(headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _CLIENT_HEADERS:
                message = f'"{name}" cannot be set: not a header name, or one that the client sets itself'
                raise ValueError(message)
            if not _PRINTABLE.fullmatch(value):
                message = f"{name} contains control characters"
                raise ValueError(message)
            if templating.header_has_secret(name, value):
                message = f"{name}: {templating.ADVICE}"
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
    """Name of the form field."""
    value: Annotated[str, _text_validator(PAGE_PLACEHOLDERS)] | None = None
    """A text; if left out, the photo."""
    filename: (
        Annotated[str, Field(pattern=r'^[^"\\/\x00-\x1f\x7f]{1,200}$'), _text_validator(PAGE_PLACEHOLDERS)] | None
    ) = None
    """File name of the part."""
    content_type: Annotated[str, Field(pattern=r"^[\x21-\x7e ]{1,100}$")] | None = None
    """If left out: image/jpeg for the photo, none for a text."""

    @model_validator(mode="after")
    def _has_no_literal_secret(self) -> Self:
        if self.value is not None and templating.part_has_secret(self.name, self.value):
            message = f"{self.name}: {templating.ADVICE}"
            raise ValueError(message)
        return self


class LoginRequest(FrozenModel):
    """A request that gets a token: once per station, and again after a 401."""

    method: Method = "POST"
    """Method of the login request."""
    path: Annotated[str, _path_validator(LOGIN_PLACEHOLDERS)]
    """Its path, with {station} and {pin}."""
    headers: Annotated[dict[str, str], _headers_validator(LOGIN_PLACEHOLDERS)] = Field(
        default_factory=lambda: {"Content-Type": "application/json"}
    )
    """Its headers, with ${TARGET_…} from the environment."""
    body: Annotated[str, Field(max_length=10_000), _text_validator(LOGIN_PLACEHOLDERS)] = ""
    """Its body, with the same placeholders."""
    token: Annotated[str, Field(pattern=r"^(/[^/]+)+$|^header:[A-Za-z0-9-]+$")]
    """Where the response has the token: a JSON pointer such as "/access_token", or "header:X-Token"."""

    @model_validator(mode="after")
    def _has_no_literal_secret(self) -> Self:
        if templating.fields_have_secret(
            self.body
        ):  # an error of the table, not of the key: its message would repeat the body
            message = templating.ADVICE_ON_BODY
            raise ValueError(message)
        return self


Statuses = Annotated[
    tuple[str, ...],
    BeforeValidator(
        lambda value: tuple(map(str, value)) if isinstance(value, list) else value,
        json_schema_input_type=tuple[int | str, ...],
    ),
]
_STATUS = re.compile(r"[2-5](?:\d\d|xx)")
_STATUS_CLASS = {"accepted": "2", "pending": "2"}


class StatusMeanings(FrozenModel):
    """What each status means: numbers, or classes such as "4xx"; a number takes precedence over its class."""

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
        meaning_of: dict[str, str] = {}
        for name, statuses in self:
            for status in statuses:
                if not _STATUS.fullmatch(status):
                    message = f'{name}: "{status}" is neither a status from 200 to 599 nor a class such as "4xx"'
                    raise ValueError(message)
                if status in meaning_of:
                    message = f"{status} means both {meaning_of[status]} and {name}"
                    raise ValueError(message)
                if not status.startswith(_STATUS_CLASS.get(name, status[0])):
                    message = f"{name}: {status} is not a success status: it cannot acknowledge a page"
                    raise ValueError(message)
                meaning_of[status] = name
        return self

    def outcomes(self) -> dict[int, Outcome]:
        """Status -> outcome, for statuses from 200 to 599. One that is not listed is missing: such an answer is malformed."""
        found: dict[int, Outcome] = {}
        for is_class in (True, False):  # classes first, so that single statuses overwrite them
            for name, statuses in self:
                for status in statuses:
                    if status.endswith("xx") == is_class:
                        first = int(status[0]) * 100
                        codes = range(first, first + 100) if is_class else [int(status)]
                        found.update(dict.fromkeys(codes, Outcome(name)))
        return found


class _StoreReading(FrozenModel):
    timeout: Annotated[Duration, Field(gt=0)] = 60.0
    """Timeout for reading all of it."""


Pointer = Annotated[str, Field(pattern=r"^(/[^/]*)*$")]


class ListedFields(FrozenModel):
    """Where each item of a JSON list has its values: JSON pointers (RFC 6901) from the item."""

    station: Pointer = "/station"
    """Code of the station."""
    form: Pointer = "/form"
    """Name of the form."""
    page: Pointer = "/page"
    """Number of the page."""
    name: Pointer | None = None
    """A file's name or path that identifies the page, instead of station, form and page; made like `name` of [target.stored]."""
    sha256: Pointer = "/sha256"
    """Digest of the stored bytes (hex). May be missing if there is a size: then the bytes are not compared."""
    size_bytes: Pointer = "/size_bytes"
    """Size of the stored photo."""
    reading: Pointer = "/reading"
    """The stored figures, if there are any."""
    stored_at: Pointer = "/stored_at"
    """When it was stored, in Unix seconds, if that is known."""


class StoredUrl(_StoreReading):
    """A path of the target that lists what is stored."""

    kind: Literal["url"]
    path: Annotated[str, _path_validator(LISTING_PLACEHOLDERS)]
    """Path of the list; {number} or {cursor} stands for the page of a list in pages."""
    headers: Annotated[dict[str, str], _headers_validator(frozenset())] = Field(default_factory=dict)
    """Headers, with ${TARGET_…} from the environment."""
    format: Literal["sha256sum", "digests", "json", "array", "s3"] = "json"
    """sha256sum, digests, json: one copy per line. array: a JSON document with an array. s3: ListObjectsV2 of a bucket, all pages."""
    name: KeyPath = "/{station}-{form}-{page}.jpg"
    """For `sha256sum`, `s3` and `fields.name`: the end of each file's path, which identifies its page."""
    fields: ListedFields = Field(default_factory=ListedFields)
    """For `json` and `array`: where an item has its values."""
    items: Pointer = ""
    """For `array`: where a document has its array; left out: the document is the array."""
    next: Annotated[str, Field(pattern=r"^(/[^/]*)+$|^link$|^number$|^$")] = ""
    """For `array`, how the next page is found: a pointer to its URL (or to the {cursor}), link (the Link header), or number: {number}
    counts up until a page is empty. Left out: one page."""
    first: Annotated[int, Field(ge=0)] = 1
    """The first {number}."""
    etag: Literal["none", "md5"] = "none"
    """For `s3`: md5 if the store's ETag is the MD5 of a whole object. With none only sizes are compared."""

    @model_validator(mode="after")
    def _pages_fit(self) -> Self:
        words = templating.placeholders_in(self.path)
        if self.next and self.format != "array":
            message = f'next belongs to format = "array"; {self.format} is {"paged by itself" if self.format == "s3" else "one list"}'
            raise ValueError(message)
        if ("number" in words) != (self.next == "number"):
            message = 'a path with {number} and next = "number" go together'
            raise ValueError(message)
        if "cursor" in words and not self.next.startswith("/"):
            message = "{cursor} in the path needs next, the pointer to the next page's cursor"
            raise ValueError(message)
        if self.etag != "none" and self.format != "s3":
            message = 'etag belongs to format = "s3"'
            raise ValueError(message)
        return self

    @property
    def uses_cursor(self) -> bool:
        """Whether `next` refers to a part of the path, not to a whole URL."""
        return "cursor" in templating.placeholders_in(self.path)


class StoredCommand(_StoreReading):
    """A command that lists what is stored; runs only with --allow-command."""

    kind: Literal["command"]
    command: Annotated[tuple[str, ...], LIST_AS_TUPLE, Field(min_length=1)]
    """Program and arguments, not interpreted by a shell."""
    format: Literal["sha256sum", "digests", "json"] = "sha256sum"
    """Format of a line of its output."""
    name: KeyPath = "/{station}-{form}-{page}.jpg"
    """As with `url`."""


class StoredFetch(_StoreReading):
    """Every planned page is downloaded, and its bytes are hashed."""

    kind: Literal["fetch"]
    path: KeyPath
    """Path of one page: 200 means stored, 404 and 410 not stored."""
    headers: Annotated[dict[str, str], _headers_validator(KEY_PLACEHOLDERS)] = Field(default_factory=dict)
    """Headers, with ${TARGET_…} from the environment."""


class StoredNone(FrozenModel):
    """The store cannot be read: safety is unknown."""

    kind: Literal["none"] = "none"


Stored = Annotated[StoredUrl | StoredCommand | StoredFetch | StoredNone, Discriminator("kind")]


def _check_not_reserved(name: str) -> str:
    if name.startswith(("worker", "server", "generator")):
        message = "is a reserved name of the harness's own scrapes: choose another"
        raise ValueError(message)
    return name


class MetricsEndpoint(FrozenModel):
    """A Prometheus endpoint of the target, at the target's own address."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$"), AfterValidator(_check_not_reserved)]
    """Name of its scrapes. Must not begin with server, generator or worker, which are the harness's own."""
    port: Annotated[int, Field(ge=1, le=65_535)]
    """Its port."""
    path: Annotated[str, _path_validator(frozenset())] = "/metrics"
    """Its path, scraped once a second."""
    tls: bool = False
    """Whether that port speaks TLS; its certificate must be valid for the target's name."""


class TargetApi(FrozenModel):
    """How an upload server that is not the mock takes uploads."""

    method: Method = "PUT"
    """Method of an upload."""
    path: PagePath
    """Path of an upload; with client.protocol = "tus" the path at which uploads are created."""
    body: Literal["raw", "multipart"] = "raw"
    """raw: the body is the photo. multipart: the body consists of `parts`."""
    headers: PageHeaders = Field(default_factory=dict)
    """Headers of each upload; besides them only Host, Content-Length and Content-Type are sent."""
    parts: Annotated[tuple[MultipartPart, ...], LIST_AS_TUPLE] = ()
    """Parts of a multipart body: exactly one without a value, which is the photo."""
    login: LoginRequest | None = None
    """How to get a station's token, if one is needed."""
    statuses: StatusMeanings = Field(default_factory=StatusMeanings)
    """What each status means."""
    stored: Stored = Field(default_factory=StoredNone)
    """How the server's store is read after the run."""
    accept_unknown_safety: bool = False
    """Whether a run may pass although it is unknown what the server has stored."""
    metrics: Annotated[tuple[MetricsEndpoint, ...], LIST_AS_TUPLE] = ()
    """Metrics endpoints that are scraped besides the harness's own."""

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
            message = "metrics: duplicate name"
            raise ValueError(message)
        return self

    @property
    def takes_tus(self) -> bool:
        """Whether it can be used with the tus protocol, which defines bodies and methods itself: one fixed path to create uploads."""
        return not templating.placeholders_in(self.path) and self.body == "raw" and self.method in {"PUT", "POST"}

    def texts(self) -> Iterator[str]:
        """Every text that may contain ${TARGET_…}."""
        yield from self.headers.values()
        yield from (part.value for part in self.parts if part.value is not None)
        if self.login is not None:
            yield from (*self.login.headers.values(), self.login.body)
        if isinstance(self.stored, StoredUrl | StoredFetch):
            yield from self.stored.headers.values()
        if isinstance(self.stored, StoredCommand):
            yield from self.stored.command

    def variables(self) -> set[str]:
        """Names of the environment variables that it uses."""
        return {name for text in self.texts() for name in templating.variables_in(text)}
