"""The API of an upload server that is not the mock: the table [target]. Its address comes from `--target URL`.

The address is deliberately not a key: which server is loaded is the user's decision, never that of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, model_validator

from harness.base.safe_files import LIST_AS_TUPLE
from harness.scenario import templating
from harness.scenario.flow import Step, find_flow_problems
from harness.scenario.request import (
    KEY_PLACEHOLDERS,
    PAGE_PLACEHOLDERS,
    LoginRequest,
    Method,
    MultipartPart,
    PageHeaders,
    PagePath,
    RequestSigning,
    StatusMeanings,
    headers_validator,
    path_validator,
)
from mock_server.profile.units import Duration, FrozenModel

LISTING_PLACEHOLDERS = frozenset({"number", "cursor"})
"""Values that choose a page of a list."""
KeyPath = Annotated[str, path_validator(KEY_PLACEHOLDERS)]


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
    path: Annotated[str, path_validator(LISTING_PLACEHOLDERS)]
    """Path of the list; {number} or {cursor} stands for the page of a list in pages."""
    headers: Annotated[dict[str, str], headers_validator(frozenset())] = Field(default_factory=dict)
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
    headers: Annotated[dict[str, str], headers_validator(KEY_PLACEHOLDERS)] = Field(default_factory=dict)
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
    path: Annotated[str, path_validator(frozenset())] = "/metrics"
    """Its path, scraped once a second."""
    tls: bool = False
    """Whether that port speaks TLS; its certificate must be valid for the target's name."""


class TargetApi(FrozenModel):
    """How an upload server that is not the mock takes uploads."""

    method: Method = "PUT"
    """Method of an upload."""
    path: PagePath | None = None
    """Path of an upload; with client.protocol = "tus" the path at which uploads are created. Needed without `steps`."""
    body: Literal["raw", "multipart"] = "raw"
    """raw: the body is the photo. multipart: the body consists of `parts`."""
    headers: PageHeaders = Field(default_factory=dict)
    """Headers of each upload; besides them only Host, Content-Length and Content-Type are sent. With `steps`: of every step
    that goes to the target itself, from the first on in which the values in it are known."""
    parts: Annotated[tuple[MultipartPart, ...], LIST_AS_TUPLE] = ()
    """Parts of a multipart body: exactly one without a value, which is the photo."""
    login: LoginRequest | None = None
    """How to get a station's token, if one is needed."""
    steps: Annotated[tuple[Step, ...], LIST_AS_TUPLE] = ()
    """The requests of an upload, in order, where one request is not enough; instead of method, path, body, parts and login."""
    resumable: bool = False
    """Whether a retry goes on at the step that got no answer, a 5xx or a 429, with the values taken so far."""
    sign: RequestSigning | None = None
    """How requests to the target are signed, those that read its store too; left out: not at all."""
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
        if self.statuses.acknowledges_by_redirect:
            message = "statuses.accepted: a redirect is not a success status: it cannot acknowledge a page"
            raise ValueError(message)
        if self.sign is not None and any(name.lower() == "authorization" for name in self.headers):
            message = "headers.Authorization is what [target.sign] makes: remove one of them"
            raise ValueError(message)
        if self.steps:
            self._check_steps()
        else:
            self._check_flat()
        if len({endpoint.name for endpoint in self.metrics}) < len(self.metrics):
            message = "metrics: duplicate name"
            raise ValueError(message)
        return self

    def _check_steps(self) -> None:
        # By value: run.json has every key, also those that nobody set.
        fields = type(self).model_fields
        flat = [
            name for name in ("method", "path", "body", "parts", "login") if getattr(self, name) != fields[name].default
        ]
        problems = (
            [f"{flat[0]} describes an upload of one request: it can't stand beside [[target.steps]]"] if flat else []
        )
        problems += find_flow_problems(self.steps)
        taken = {name for step in self.steps for name in step.take}
        for name, value in self.headers.items():
            for word in sorted(templating.words_of_steps(value) - PAGE_PLACEHOLDERS - taken - {"pin"}):
                problems.append(f"headers.{name}: no step takes {{{word}}}")
        if problems:
            raise ValueError("; ".join(problems))

    def _check_flat(self) -> None:
        if self.resumable:
            message = "resumable needs [[target.steps]]: an upload of one request begins anew"
            raise ValueError(message)
        for part in self.parts:
            for text in filter(None, (part.value, part.filename)):
                templating.check_placeholders(text, PAGE_PLACEHOLDERS)
        for value in self.headers.values():
            templating.check_placeholders(value, PAGE_PLACEHOLDERS | {"token"})
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

    @property
    def takes_tus(self) -> bool:
        """Whether it can be used with the tus protocol, which defines bodies and methods itself: one fixed path to create uploads."""
        if self.path is None or templating.placeholders_in(self.path):
            return False
        return self.body == "raw" and self.method in {"PUT", "POST"} and self.sign is None

    @property
    def takes_resumable(self) -> bool:
        """Whether its upload can be made resumable by the IETF's draft: one request whose body is the photo."""
        return self.path is not None and self.body == "raw" and self.sign is None

    def texts(self) -> Iterator[str]:
        """Every text that may contain ${TARGET_…}."""
        yield from self.headers.values()
        yield from (part.value for part in self.parts if part.value is not None)
        if self.login is not None:
            yield from (*self.login.headers.values(), self.login.body)
        for step in self.steps:
            yield from step.texts()
        if isinstance(self.stored, StoredUrl | StoredFetch):
            yield from self.stored.headers.values()
        if isinstance(self.stored, StoredCommand):
            yield from self.stored.command

    def variables(self) -> set[str]:
        """Names of the environment variables that it uses."""
        return {name for text in self.texts() for name in templating.variables_in(text)}

    def optional_variables(self) -> set[str]:
        """Names of those that it also reads, with an error of their own where they are needed."""
        return set() if self.sign is None else set(self.sign.variables)
