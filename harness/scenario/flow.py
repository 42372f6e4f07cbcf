"""The steps of an upload that takes several requests: [[target.steps]], and the checks that they fit together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from harness.base.safe_files import LIST_AS_TUPLE
from harness.scenario import templating
from harness.scenario.request import (
    PAGE_PLACEHOLDERS,
    MultipartPart,
    PageHeaders,
    Statuses,
    StatusMeanings,
    StepMethod,
    path_validator,
    text_validator,
)
from mock_server.profile.units import FrozenModel, Size

PART_PLACEHOLDERS = frozenset({"part", "part_start", "part_end", "part_size"})
"""Values of a part of the photo: its number from 1, its first and its last byte, its size."""
STATION_PLACEHOLDERS = frozenset({"station", "pin"})
_BODIES_WITH_CONTENT = frozenset({"text", "json", "form"})
_RESERVED = PAGE_PLACEHOLDERS | PART_PLACEHOLDERS | STATION_PLACEHOLDERS | {"parts"}
_TAKEN_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_POINTER = re.compile(r"(?:/[^/]+)+")
_HEADER_SOURCE = re.compile(r"[A-Za-z0-9-]{1,100}")
_COOKIE_SOURCE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_URL = re.compile(r"\{\w+\}[!-\[\]-~]*")
_MIN_PART_BYTES = 1000


class TakeSource(NamedTuple):
    """Where an answer has a value."""

    kind: Literal["pointer", "header", "cookie", "regex"]
    what: str
    """The JSON pointer, the name in lower case (of a cookie: as it is), or the regular expression."""


def parse_source(text: str) -> TakeSource:
    """The source that a text names. Raises ValueError with the allowed forms.

    >>> parse_source("/data/url"), parse_source("header:X-Id")
    (TakeSource(kind='pointer', what='/data/url'), TakeSource(kind='header', what='x-id'))
    """
    kind, colon, what = text.partition(":")
    if _POINTER.fullmatch(text):
        return TakeSource("pointer", text)
    if colon and kind == "header" and _HEADER_SOURCE.fullmatch(what):
        return TakeSource("header", what.lower())
    if colon and kind == "cookie" and _COOKIE_SOURCE.fullmatch(what):
        return TakeSource("cookie", what)
    if colon and kind == "regex":
        _check_regex(what, groups=1)
        return TakeSource("regex", what)
    message = (
        f'"{text}" should be a JSON pointer such as "/data/url", "header:X-Id", "cookie:csrftoken", '
        'or "regex:" and a regular expression with one group'
    )
    raise ValueError(message)


def _check_regex(text: str, groups: int | None = None) -> str:
    try:
        compiled = re.compile(text)
    except re.error as error:
        message = f'"{text}" is not a valid regular expression: {error}'
        raise ValueError(message) from None
    if groups is not None and compiled.groups != groups:
        message = f'"{text}" has {compiled.groups} groups; exactly one is needed: what it matches is the value'
        raise ValueError(message)
    return text


def _check_take(take: dict[str, str]) -> dict[str, str]:
    for name, source in take.items():
        if not _TAKEN_NAME.fullmatch(name):
            message = f'"{name}" is not a valid name: use lowercase letters, digits and _, beginning with a letter'
            raise ValueError(message)
        if name in _RESERVED:
            message = f'"{name}" is a value that every page has: choose another name'
            raise ValueError(message)
        try:
            parse_source(source)
        except ValueError as error:
            message = f"{name}: {error}"
            raise ValueError(message) from None
    return take


class Success(FrozenModel):
    """What the body of an answer with a success status must say, or the step has failed all the same."""

    pointer: Annotated[str, Field(pattern=r"^(/[^/]+)+$")] | None = None
    """JSON pointer of the value that counts; if left out, `matches` searches the whole body."""
    equals: bool | int | float | str | None = None
    """The value must be this one."""
    matches: Annotated[str, Field(max_length=1000), AfterValidator(_check_regex)] | None = None
    """A regular expression that must be found in the value, or in the body."""
    exists: bool | None = None
    """Whether there must be a value (null counts as none)."""
    otherwise: Literal["rejected", "unreadable", "throttled", "unavailable", "server_error"] = "rejected"
    """The outcome of an answer that says something else: `rejected` is final, all others are tried again."""

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        asked = [name for name in ("equals", "matches", "exists") if getattr(self, name) is not None]
        if len(asked) != 1:
            message = f"needs exactly one of equals, matches and exists; it has {' and '.join(asked) or 'none'}"
            raise ValueError(message)
        if self.pointer is None and self.matches is None:
            message = f"{asked[0]} needs a pointer, which says where the value is"
            raise ValueError(message)
        return self


class Step(FrozenModel):
    """One request of an upload, and what its answer means."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
    """Names the step in rows and messages."""
    once: Literal["station"] | None = None
    """"station": a station makes this request before its first page, and not for every page. A login, for example."""
    method: StepMethod = "POST"
    """Method of the request."""
    path: Annotated[str, path_validator(None)] | None = None
    """Path on the target; exactly one of `path` and `url` is needed."""
    url: str | None = None
    """Instead of a path: an address that begins with a value taken earlier, as in "{upload_url}"."""
    headers: PageHeaders = Field(default_factory=dict)
    """Headers of the request, besides those of the target; an empty value leaves one out."""
    body: Literal["none", "raw", "multipart", "text", "json", "form"] = "none"
    """raw: the photo. multipart: `parts`. text, json, form: `content`. Exactly one step has the photo in its body."""
    content: Annotated[str, Field(max_length=10_000), text_validator(None)] = ""
    """The text of the body; in json and form the values are escaped as these need it."""
    parts: Annotated[tuple[MultipartPart, ...], LIST_AS_TUPLE] = ()
    """Parts of a multipart body; the one without a value is the photo."""
    part_size: Annotated[Size, Field(ge=_MIN_PART_BYTES)] | None = None
    """With body = "raw": the photo is sent in parts of this size, one request each."""
    each_part: Annotated[str, Field(max_length=2_000), text_validator(None)] | None = None
    """A text that is made for every part of the photo; {parts} in `content` is all of them, in json with commas between."""
    take: Annotated[dict[str, str], AfterValidator(_check_take)] = Field(default_factory=dict)
    """Values of the answer that later requests contain, by name."""
    statuses: StatusMeanings | None = None
    """What each status means; if left out, as in `target.statuses`."""
    success: Success | None = None
    """What the body must say besides."""
    again_after: Statuses = ("401",)
    """Of a step with `once`: after a later answer with one of these statuses it is made again."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        yield from self._body_problems()
        if (self.path is None) == (self.url is None):
            yield "needs either a path on the target, or a url that was taken earlier"
        if self.url is not None and not _URL.fullmatch(self.url):
            yield f'url = "{self.url}" should begin with a value that an earlier step has taken, such as "{{upload_url}}"'
        if self.once is not None and self.carries_photo:
            yield 'a step with once = "station" can\'t have the photo in its body: it is not made for every page'
        if self.once is None and self.again_after != type(self).model_fields["again_after"].default:
            yield 'again_after belongs to a step with once = "station"'
        if self.method in {"GET", "HEAD"} and self.body != "none":
            yield f"a {self.method} has no body"

    def _body_problems(self) -> Iterator[str]:
        if self.content and self.body not in _BODIES_WITH_CONTENT:
            yield f'content belongs to body = "text", "json" or "form", not to "{self.body}"'
        if self.parts and self.body != "multipart":
            yield 'parts belong to body = "multipart"'
        if self.body == "multipart" and not self.parts:
            yield 'body = "multipart" needs [[target.steps.parts]]'
        if self.part_size is not None and self.body != "raw":
            yield 'part_size needs body = "raw": it divides the photo'
        if ("parts" in templating.placeholders_in(self.content)) != (self.each_part is not None):
            yield "each_part is the text of one part, and {parts} in content is all of them: one needs the other"
        if self.body in _BODIES_WITH_CONTENT and templating.fields_have_secret(self.content):
            yield templating.ADVICE_ON_BODY
        if self.body == "json":
            yield from self._json_problems()

    def _json_problems(self) -> Iterator[str]:
        sample = self.content.replace("{parts}", self.each_part or "")
        sample = re.sub(r"\$\{[^{}]*\}|\{\w+\}", "0", sample)
        try:
            json.loads(sample)
        except ValueError as error:
            yield f"content is not JSON, with 0 for every placeholder: {error}"

    @property
    def carries_photo(self) -> bool:
        """Whether the photo, or a part of it, is in the body."""
        return self.body == "raw" or (self.body == "multipart" and any(part.value is None for part in self.parts))

    @property
    def part_texts(self) -> Iterator[str]:
        """Texts of a multipart body."""
        for part in self.parts:
            yield from (text for text in (part.value, part.filename) if text is not None)

    def texts(self) -> Iterator[str]:
        """Every text that may contain placeholders."""
        yield from filter(None, (self.path, self.url, self.content, self.each_part))
        yield from self.headers.values()
        yield from self.part_texts


def find_flow_problems(steps: Sequence[Step]) -> Iterator[str]:
    """What keeps steps, each valid by itself, from being a flow: their order, the photo, and values that nobody took."""
    names = [step.name for step in steps]
    yield from (f"steps: duplicate name {name}" for name in sorted({name for name in names if names.count(name) > 1}))
    photos = [step.name for step in steps if step.carries_photo]
    if len(photos) != 1:
        found = f"{' and '.join(photos)} do" if photos else "none does"
        yield f"steps: exactly one step sends the photo (body = raw, or multipart with a part without value); {found}"
    for before, step in pairwise(steps):
        if step.once is not None and before.once is None:
            yield f'steps.{step.name}: once = "station" must come before {before.name}, which is made for every page'
    if steps[-1].statuses is not None and steps[-1].statuses.acknowledges_by_redirect:
        yield f"steps.{steps[-1].name}.statuses.accepted: the last step acknowledges the page: only 2xx can mean that"
    yield from _placeholder_problems(steps)


def _placeholder_problems(steps: Sequence[Step]) -> Iterator[str]:
    known: set[str] = set(STATION_PLACEHOLDERS)
    in_parts: set[str] = set()
    for step in steps:
        if step.once is None:
            known |= PAGE_PLACEHOLDERS
        own = known | (PART_PLACEHOLDERS if step.part_size is not None else set())
        each = known | in_parts | PART_PLACEHOLDERS
        for text in step.texts():
            allowed = each if text is step.each_part else own | ({"parts"} if text is step.content else set())
            try:
                templating.check_placeholders(text, allowed)
            except ValueError as error:
                yield f"steps.{step.name}: {error}"
        if step.each_part is not None and not any(before.part_size is not None for before in steps):
            yield f"steps.{step.name}: each_part needs an earlier step with part_size"
        (in_parts if step.part_size is not None else known).update(step.take)
