"""The bytes of one step's request, from the templates of [target]: request line, headers, and what surrounds the photo.

Values taken from answers are escaped as the place needs it where they stand: percent-encoded in a path or a form, as a JSON
string in JSON. Headers get them as they are: harness/station/flow.py has checked that a header can hold them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal
from urllib.parse import quote_plus

from harness.protocol.photo import url_part
from harness.scenario.flow import Step
from harness.scenario.request import MultipartPart
from harness.scenario.templating import PLACEHOLDER_PATTERN, Template

_BOUNDARY = "----station-photo-6f0c1a"
_URL_SAFE = frozenset({"page", "sha256", "size", "attempt"})
"""Placeholders whose values are letters and digits, so that they need no escaping in a path."""
_JPEG = "image/jpeg"
_CONTENT_TYPES = {
    "none": "",
    "raw": "",  # the photo's own
    "multipart": f"multipart/form-data; boundary={_BOUNDARY}",
    "text": "text/plain; charset=utf-8",
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
}
_NO_LENGTH = frozenset({"GET", "HEAD", "DELETE"})
"""Methods whose requests have no Content-Length if they have no body (RFC 9110, 8.6)."""


@dataclass(frozen=True)
class StepFormat:
    """One step, ready to send: the environment's values are filled in already."""

    method: str
    path: Template
    """Path on the target, or an address if `is_url`."""
    headers: list[tuple[str, Template]]
    body: Literal["none", "raw", "multipart", "text", "json", "form"] = "raw"
    is_url: bool = False
    content: Content | None = None
    parts: list[tuple[MultipartPart, Template | None, Template | None]] = field(default_factory=list)
    """(the part as written, its value or None for the photo, its file name)."""
    each_part: Content | None = None

    @cached_property
    def words(self) -> frozenset[str]:
        """The placeholders that a request needs values for, but for those of the photo's parts."""
        in_parts = [template.words for _, *both in self.parts for template in both if template is not None]
        contents = [content.template.words for content in (self.content, self.each_part) if content is not None]
        in_headers = [template.words for _, template in self.headers]
        return self.path.words.union(*in_headers, *in_parts, *contents)

    @cached_property
    def sets_cookie(self) -> bool:
        """Whether the scenario writes the Cookie header itself: then the station's cookies are left out."""
        return any(name.lower() == "cookie" for name, _ in self.headers)

    def fill_path(self, values: Mapping[str, str], taken: frozenset[str] = frozenset()) -> str:
        """The path, percent-encoded; of an address the values `taken` from answers stand as they are."""
        raw = _URL_SAFE | taken if self.is_url else _URL_SAFE
        filled = [values[word] if word in raw else url_part(values[word]) for word in self.path.order]
        return self.path.format % tuple(filled)

    def fill_headers(self, values: Mapping[str, str]) -> list[str]:
        """The header lines."""
        return [f"{name}: {template.fill(values)}" for name, template in self.headers if template.format]

    def amz_headers(self, values: Mapping[str, str]) -> dict[str, str]:
        """The headers that a signature of AWS must cover."""
        return {name: template.fill(values) for name, template in self.headers if name.lower().startswith("x-amz-")}

    def fill_body(
        self, values: Mapping[str, str], part_values: Sequence[Mapping[str, str]] = (), photo_type: str = _JPEG
    ) -> tuple[bytes, bytes]:
        """The bytes of the body before the photo, and those after it."""
        if self.body == "multipart":
            return self._frame_parts(values, photo_type)
        if self.content is None:
            return b"", b""
        if self.each_part is not None:
            separator = "," if self.body == "json" else ""
            parts = separator.join(self.each_part.fill({**values, **one}) for one in part_values)
            values = {**values, "parts": parts}
        return self.content.fill(values).encode(), b""

    def head(
        self, host: str, path: str, values: Mapping[str, str], length: int, cookies: str = "", more: Sequence[str] = (),
        photo_type: str = _JPEG,
    ) -> bytes:  # fmt: skip
        """The head of a request with a body of `length` bytes; `more` are further header lines."""
        in_headers = [values[word] for _, template in self.headers for word in template.order]
        text = self._format % (path, host, *in_headers)
        extra = [f"Cookie: {cookies}"] if cookies and not self.sets_cookie else []
        if self.body == "raw" and not self.sets_type:
            extra.append(f"Content-Type: {photo_type}")
        if length or self.body != "none" or self.method not in _NO_LENGTH:
            extra.append(f"Content-Length: {length}")
        return "\r\n".join([text, *extra, *more, "", ""]).encode()

    @cached_property
    def sets_type(self) -> bool:
        """Whether the scenario has a Content-Type: it wins, because two of them would make the request ambiguous."""
        return any(name.lower() == "content-type" for name, _ in self.headers)

    @cached_property
    def header_formats(self) -> list[str]:
        """The header lines as `%` formats, but for Host, a photo's own type and Content-Length."""
        lines = [f"{escape_percent(name)}: {template.format}" for name, template in self.headers if template.format]
        content_type = _CONTENT_TYPES[self.body]
        if content_type and not self.sets_type:
            lines.append(f"Content-Type: {escape_percent(content_type)}")
        return lines

    @cached_property
    def _format(self) -> str:
        """The head as a `%` format, made once: joining lines costs microseconds per request."""
        return "\r\n".join([f"{escape_percent(self.method)} %s HTTP/1.1", "Host: %s", *self.header_formats])

    def _frame_parts(self, values: Mapping[str, str], photo_type: str) -> tuple[bytes, bytes]:
        """The bytes of a multipart body before the photo, and those after it; all before it if it has no photo."""
        before, text = b"", ""
        for part, value, filename in self.parts:
            # a code of the user's own may have quotes (HTML, multipart/form-data encoding)
            file = "" if filename is None else filename.fill(values).replace('"', "%22")
            name = f'; filename="{file}"' if filename else ""
            kind = part.content_type or (photo_type if value is None else "")
            text += f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{part.name}"{name}\r\n'
            text += f"Content-Type: {kind}\r\n\r\n" if kind else "\r\n"
            if value is None:
                before, text = text.encode(), "\r\n"
            else:
                text += f"{value.fill(values)}\r\n"
        return before, f"{text}--{_BOUNDARY}--\r\n".encode()


class Content:
    r"""The text of a body, which escapes the values that are filled in as its kind needs it.

    >>> Content('{"a": "{x}", "b": {y}}', "json", {}).fill({"x": 'say "no"', "y": "7"})
    '{"a": "say \\"no\\"", "b": 7}'
    """

    def __init__(self, text: str, kind: str, environment: Mapping[str, str]) -> None:
        """`kind` is that of the body. Raises UsageError if an environment variable is not set."""
        if kind == "json":
            environment = {name: json.dumps(value)[1:-1] for name, value in environment.items()}
        elif kind == "form":
            environment = {name: quote_plus(value) for name, value in environment.items()}
        self.template = Template(text, environment)
        self._kind = kind
        self._in_string = _find_strings(text) if kind == "json" else ()

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with its words filled in."""
        order = self.template.order
        if self._kind == "form":
            filled = [quote_plus(values[word]) for word in order]
        elif self._kind == "json":
            filled = [_to_json(word, values[word], inside) for word, inside in zip(order, self._in_string, strict=True)]
        else:
            filled = [values[word] for word in order]
        return self.template.format % tuple(filled)


def _find_strings(text: str) -> tuple[bool, ...]:
    """Of each word in braces, whether it stands within a JSON string."""
    found: list[bool] = []
    inside = False
    for match in re.finditer(rf'{PLACEHOLDER_PATTERN}|\\.|"', text):
        if match[0] == '"':
            inside = not inside
        elif match[0].startswith("{"):
            found.append(inside)
    return tuple(found)


def _to_json(word: str, value: str, in_string: bool) -> str:
    if word == "parts":  # JSON already
        return value
    if in_string:
        return json.dumps(value)[1:-1]
    if not value:
        return "null"
    try:
        json.loads(value)
    except ValueError:
        return json.dumps(value)
    return value


def escape_percent(text: str) -> str:
    """The text as it must be written in a `%` format."""
    return text.replace("%", "%%")


def format_step(step: Step, common: Mapping[str, str], environment: Mapping[str, str]) -> StepFormat:
    """A step of [[target.steps]], ready to send; `common` are the target's headers that it sends too.

    Raises UsageError if an environment variable is not set.
    """

    def template(text: str) -> Template:
        return Template(text, environment)

    own = {name.lower() for name in step.headers}
    headers = [(name, template(value)) for name, value in common.items() if name.lower() not in own]
    headers += [(name, template(value)) for name, value in step.headers.items()]
    return StepFormat(
        method=step.method,
        path=Template(step.path or step.url or ""),
        headers=headers,
        body=step.body,
        is_url=step.url is not None,
        content=Content(step.content, step.body, environment) if step.content else None,
        parts=format_parts(step.parts, environment),
        each_part=Content(step.each_part, step.body, environment) if step.each_part is not None else None,
    )


def format_parts(
    parts: Sequence[MultipartPart], environment: Mapping[str, str]
) -> list[tuple[MultipartPart, Template | None, Template | None]]:
    """The parts of a multipart body with their values and file names as templates."""
    return [
        (
            part,
            None if part.value is None else Template(part.value, environment),
            Template(part.filename, environment) if part.filename else None,
        )
        for part in parts
    ]
