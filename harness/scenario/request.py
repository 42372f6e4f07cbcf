"""What requests to an upload server may contain: the texts, headers and parts of [target], and what statuses mean."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from harness.base.model import Outcome
from harness.scenario import templating
from mock_server.profile.units import FrozenModel

PAGE_PLACEHOLDERS = frozenset({"station", "form", "page", "sha256", "digest", "size", "attempt", "reading"})
"""Values of a page that a request can contain; `digest` is the SHA-256 in base64."""
KEY_PLACEHOLDERS = frozenset({"station", "form", "page", "sha256"})
"""Values that identify a stored page."""
LOGIN_PLACEHOLDERS = frozenset({"station", "pin"})

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CLIENT_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "trailer", "te"}
)
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]*")
_PATH = re.compile(r"/[!-\[\]-~]*")


def path_validator(words: frozenset[str] | None) -> AfterValidator:
    """A validator of a path on the target; `words` are the placeholders that it may contain, None: checked elsewhere."""

    def check(text: str) -> str:
        if not _PATH.fullmatch(text) or "#" in text or text.startswith("//"):
            message = 'should be a path on the target such as "/photos/{station}/{form}/{page}"'
            raise ValueError(message)
        if templating.variables_in(text):
            message = "must not contain ${…}: paths are written to logs everywhere; use a header"
            raise ValueError(message)
        return templating.check_placeholders(text, words)

    return AfterValidator(check)


def text_validator(words: frozenset[str] | None) -> AfterValidator:
    """A validator of the placeholders of a text."""
    return AfterValidator(lambda text: templating.check_placeholders(text, words))


def headers_validator(words: frozenset[str] | None) -> AfterValidator:
    """A validator of headers: their names, no secrets, and the placeholders of their values."""

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


PagePath = Annotated[str, path_validator(PAGE_PLACEHOLDERS)]
PageHeaders = Annotated[dict[str, str], headers_validator(None)]
Method = Literal["PUT", "POST", "PATCH"]
StepMethod = Literal["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]


class MultipartPart(FrozenModel):
    """One part of a multipart body."""

    name: Annotated[str, Field(pattern=r"^[\w.\[\]-]{1,100}$")]
    """Name of the form field."""
    value: Annotated[str, text_validator(None)] | None = None
    """A text; if left out, the photo."""
    filename: (
        Annotated[str, Field(pattern=r'^[^"\\/\x00-\x1f\x7f]{1,200}$'), text_validator(PAGE_PLACEHOLDERS)] | None
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
    path: Annotated[str, path_validator(LOGIN_PLACEHOLDERS)]
    """Its path, with {station} and {pin}."""
    headers: Annotated[dict[str, str], headers_validator(LOGIN_PLACEHOLDERS)] = Field(
        default_factory=lambda: {"Content-Type": "application/json"}
    )
    """Its headers, with ${TARGET_…} from the environment."""
    body: Annotated[str, Field(max_length=10_000), text_validator(LOGIN_PLACEHOLDERS)] = ""
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


class RequestSigning(FrozenModel):
    """How requests to the target are signed, with keys from the environment.

    They are TARGET_ACCESS_KEY_ID, TARGET_SECRET_ACCESS_KEY and, if there is one, TARGET_SESSION_TOKEN.
    """

    variables: ClassVar[tuple[str, str, str]] = (
        "TARGET_ACCESS_KEY_ID",
        "TARGET_SECRET_ACCESS_KEY",
        "TARGET_SESSION_TOKEN",
    )
    """Names of the environment variables that it reads."""
    kind: Literal["aws-v4"]
    """AWS Signature Version 4, which S3-like stores share."""
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    """The store's region; "us-east-1" for most that are not Amazon's."""
    service: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")] = "s3"
    """The API's name in the signature."""
    payload: Literal["unsigned", "digest"] = "unsigned"
    """Whether the signature covers the photo: "digest" does, with the planned SHA-256; "unsigned" is for S3 alone."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.payload == "unsigned" and self.service != "s3":
            message = f'payload = "unsigned" is for service = "s3" alone: {self.service} needs payload = "digest"'
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
_STATUS_CLASS = {"accepted": "23", "pending": "2"}
"""First digits that are allowed. A redirect can be the success of a login, say; of what acknowledges a page it can't."""


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
                if status[0] not in _STATUS_CLASS.get(name, status[0]):
                    message = f"{name}: {status} is not a success status: it cannot acknowledge a page"
                    raise ValueError(message)
                meaning_of[status] = name
        return self

    @property
    def acknowledges_by_redirect(self) -> bool:
        """Whether a redirect is among the statuses of success: then these are not for what acknowledges a page."""
        return any(status.startswith("3") for status in self.accepted)

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
