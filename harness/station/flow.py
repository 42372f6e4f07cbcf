"""What an upload of several requests does next: a state machine without sockets, as session.py is.

The caller asks `PageFlow.next` which step to send, sends it, and reports the answer. The values that a step takes from its
answer are in `values` for the steps after it. A flow begins with the steps that a station makes once (a login), and goes on
with those of every page; the last one acknowledges the page. An upload of one request is a flow of one step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol

from harness.base.address import Origin
from harness.base.model import DELIVERED, MalformedReason, Outcome
from harness.scenario.flow import Success, TakeSource
from harness.station.cookies import CookieJar

_GOES_ON = DELIVERED | {Outcome.PENDING}
"""Of a step that isn't the last: the next one is sent."""
_RESUMABLE = frozenset({Outcome.SERVER_ERROR, Outcome.UNAVAILABLE, Outcome.THROTTLED, Outcome.PENDING})
_RESUMABLE_STATUSES = frozenset({408, 423, 425})
"""Answers that refuse this request now, and not what came before it."""
_MAX_VALUE = 16_384
_MAX_SEARCHED = 65_536
"""How much of a body a regular expression searches."""
_MAX_KEYS_NAMED = 8
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]+")
_HEADER_VALUE = re.compile(r"[!-~\xa1-\xff](?:[ -~\xa0-\xff]*[!-~\xa1-\xff])?")
_MISSING = object()


class Answer(Protocol):
    """An HTTP response, as far as a flow reads it."""

    status: int
    body: bytes
    raw_headers: Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class StepRule:
    """What a step takes from its answer, and what the answer means."""

    name: str
    outcomes: Mapping[int, Outcome]
    """Status -> outcome; one that is missing is malformed."""
    takes: tuple[tuple[str, TakeSource], ...] = ()
    success: Success | None = None
    part_bytes: int | None = None
    """The photo is sent in parts of this size, one request each; None: in one, or not at all."""
    again_after: frozenset[int] = frozenset()
    """Of a step made once: later statuses after which it is made again."""
    missing: MalformedReason = MalformedReason.VALUE
    """What an answer without a value is called."""


@dataclass(frozen=True)
class Flow:
    """The steps of an upload: first the `once` ones that each station makes once, then those of every page."""

    steps: tuple[StepRule, ...]
    once: int = 0
    resumable: bool = False
    keeps_cookies: bool = False
    header_words: frozenset[str] = field(default=frozenset())
    """Values that stand in headers, and must be fit for that."""


class StepRequest(NamedTuple):
    """The next request: which step, and which bytes of the photo if it sends a part."""

    step: int
    """Index in the flow's steps."""
    part: int = 0
    """From 1; 0 if the photo isn't sent in parts."""
    start: int = 0
    end: int = 0


class StationFlow:
    """What a station keeps over all its pages: the values that its own steps took, and its cookies."""

    __slots__ = ("cookies", "done", "values")

    def __init__(self) -> None:
        self.done = 0
        """How many of the flow's `once` steps need not be made (again)."""
        self.values: dict[str, str] = {}
        self.cookies = CookieJar()

    def expire(self, flow: Flow, status: int) -> None:
        """Forget the steps that a later answer with this status asks to make again. A step doesn't ask for itself."""
        for number, rule in enumerate(flow.steps[: self.done]):
            if status in rule.again_after:
                self.done = number
                return


class PageFlow:
    """The upload of one page over all its attempts. `begin_attempt`, then `next` and `answered` in turn.

    >>> rule = StepRule("upload", {201: Outcome.ACCEPTED})
    >>> page = PageFlow(Flow((rule,)), StationFlow(), 100)
    >>> page.begin_attempt(); page.next()
    StepRequest(step=0, part=0, start=0, end=100)
    """

    __slots__ = ("_anew", "_flow", "_part", "_request", "_size_bytes", "_station", "_step", "detail", "part_values", "reason", "values")  # fmt: skip

    def __init__(self, flow: Flow, station: StationFlow, size_bytes: int) -> None:
        self._flow = flow
        self._station = station
        self._size_bytes = size_bytes
        self._anew = True
        self.begin_attempt()

    def begin_attempt(self) -> None:
        """Begin at the first step of the page, or, where the flow is resumable, at the one that failed."""
        if self._anew or not self._flow.resumable:
            self._step, self._part = self._flow.once, 0
            self.values = dict(self._station.values)
            self.part_values: list[dict[str, str]] = []
        self._anew = False
        self.reason = MalformedReason.NONE
        """Why an answer with a success status was not a success."""
        self.detail = ""
        """A sentence on that, with what the answer has instead; nothing of its values."""

    def next(self) -> StepRequest:
        """The request to be sent now."""
        if self._station.done < self._flow.once:
            self._request = StepRequest(self._station.done)
            return self._request
        part_bytes = self._flow.steps[self._step].part_bytes if self._step < len(self._flow.steps) else None
        if part_bytes is None:
            self._request = StepRequest(self._step, 0, 0, self._size_bytes)
        else:
            start = self._part * part_bytes
            end = min(start + part_bytes, self._size_bytes)
            self._request = StepRequest(self._step, self._part + 1, start, end)
        return self._request

    @property
    def is_station_step(self) -> bool:
        """Whether the next request is one that the station makes once."""
        return self._station.done < self._flow.once

    def answered(
        self, answer: Answer, origin: Origin | None = None, path: str = "/", now_s: float = 0.0
    ) -> Outcome | None:
        """Take in the answer to the latest request; the outcome if the attempt is over.

        `origin` and `path` say where the request went and `now_s` when, in Unix time, for its cookies; without `origin` none
        are kept.
        """
        number, rule = self._request.step, self._flow.steps[self._request.step]
        jar = None
        if origin is not None and self._flow.keeps_cookies:
            jar = self._station.cookies
            jar.store(origin, path, _all_headers(answer, b"set-cookie"), now_s)
        outcome, taken = self._judge(rule, answer, jar, origin)
        self._station.expire(self._flow, answer.status)
        if outcome not in _GOES_ON:
            again = any(answer.status in one.again_after for one in self._flow.steps[: self._flow.once])
            self._anew = not (again or outcome in _RESUMABLE or answer.status in _RESUMABLE_STATUSES)
            return outcome
        if number < self._flow.once:
            self._station.values.update(taken)
            self._station.done = number + 1
            self.values.update(taken)
            return None
        if self._request.part:
            self.part_values.append({**taken, **part_words(self._request)})
        else:
            self.values.update(taken)
        if self._request.end < self._size_bytes:
            self._part += 1
            return None
        if number + 1 < len(self._flow.steps):
            self._step, self._part = number + 1, 0
            return None
        return outcome

    def _judge(
        self, rule: StepRule, answer: Answer, jar: CookieJar | None, origin: Origin | None
    ) -> tuple[Outcome, dict[str, str]]:
        """What an answer means, and the values taken from it; sets `reason` and `detail` where a success is none."""
        outcome = rule.outcomes.get(answer.status, Outcome.MALFORMED)
        if outcome is Outcome.MALFORMED:
            self.reason = MalformedReason.STATUS
        if outcome not in _GOES_ON or not (rule.takes or rule.success):
            return outcome, {}
        reader = _AnswerReader(answer)
        if rule.success is not None and not _confirms(rule.success, reader):
            self.reason = MalformedReason.SUCCESS
            self.detail = (
                f"{rule.name} answered {answer.status}, and {_describe_success(rule.success)}{reader.describe()}"
            )
            return Outcome(rule.success.otherwise), {}
        taken: dict[str, str] = {}
        for name, source in rule.takes:
            found = jar.get(origin, source.what) if source.kind == "cookie" and jar and origin else reader.find(source)
            value = _to_text(found)
            if value is None or not _is_usable(value, in_header=name in self._flow.header_words):
                self.reason = rule.missing
                where = f"{source.kind} {source.what}" if source.kind != "pointer" else source.what
                what = "without" if found is _MISSING or found is None else "with an unusable value at"
                self.detail = f"{rule.name} answered {answer.status} {what} {where}{reader.describe(source)}"
                return Outcome.MALFORMED, {}
            taken[name] = value
        return outcome, taken


def part_words(request: StepRequest) -> dict[str, str]:
    """The placeholders of a part of the photo: its number, its first and last byte, and its size."""
    return {
        "part": str(request.part),
        "part_start": str(request.start),
        "part_end": str(request.end - 1),
        "part_size": str(request.end - request.start),
    }


class _AnswerReader:
    """Finds values in an answer; its body is parsed at most once."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._json: object = None
        self._is_parsed = False

    def find(self, source: TakeSource) -> object:
        """The value, None or `_MISSING`."""
        if source.kind == "pointer":
            return self.pointer(source.what)
        if source.kind == "header":
            return next(reversed(_all_headers(self._answer, source.what.encode())), _MISSING)
        if source.kind == "cookie":
            return _MISSING
        match = _compiled(source.what).search(self.text)
        return _MISSING if match is None or match[1] is None else match[1]

    @property
    def text(self) -> str:
        """The beginning of the body."""
        return self._answer.body[:_MAX_SEARCHED].decode("utf-8", "replace")

    def pointer(self, pointer: str) -> object:
        """The value that a JSON pointer (RFC 6901) refers to, or `_MISSING`."""
        value = self._document()
        for part in pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")  # in this order: "~01" means "~1" (RFC 6901, 4)
            if isinstance(value, list) and key.isdigit() and len(key) < 10 and int(key) < len(value):
                value = value[int(key)]
            elif isinstance(value, dict) and key in value:
                value = value[key]
            else:
                return _MISSING
        return value

    def describe(self, source: TakeSource | None = None) -> str:
        """What the answer has instead of what was looked for: names of keys or headers, never values."""
        if source is not None and source.kind in {"header", "cookie"}:
            return ""
        document = self._document()
        if isinstance(document, dict):
            keys = [_short(str(key)) for key in document]
            more = f" and {len(keys) - _MAX_KEYS_NAMED} more" if len(keys) > _MAX_KEYS_NAMED else ""
            return f"; its keys: {', '.join(keys[:_MAX_KEYS_NAMED]) or 'none'}{more}"
        if document is not _MISSING:
            return f"; its body is a JSON {'array' if isinstance(document, list) else 'value'}"
        return f"; its body ({len(self._answer.body):,} bytes) is not JSON"

    def _document(self) -> object:
        if not self._is_parsed:
            self._is_parsed = True
            try:
                self._json = json.loads(self._answer.body)
            except (ValueError, RecursionError):
                self._json = _MISSING
        return self._json


def _all_headers(answer: Answer, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in answer.raw_headers if key.lower() == name]


def _to_text(value: object) -> str | None:
    """A value as text; None for what is not a single value."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def _is_usable(value: str, *, in_header: bool) -> bool:
    """Whether a request can contain the value without becoming another request: no control characters, of some length."""
    return len(value) <= _MAX_VALUE and (_HEADER_VALUE if in_header else _PRINTABLE).fullmatch(value) is not None


def _confirms(success: Success, reader: _AnswerReader) -> bool:
    value = reader.pointer(success.pointer) if success.pointer is not None else reader.text
    if success.exists is not None:
        return (value is not _MISSING and value is not None) == success.exists
    if success.matches is not None:
        text = _to_text(value)
        return text is not None and _compiled(success.matches).search(text[:_MAX_SEARCHED]) is not None
    # True == 1 in Python, and not in JSON.
    return value == success.equals and isinstance(value, bool) == isinstance(success.equals, bool)


def _describe_success(success: Success) -> str:
    where = success.pointer or "its body"
    if success.exists is not None:
        return f"{where} is {'missing' if success.exists else 'there'}"
    if success.matches is not None:
        return f'{where} does not match "{success.matches}"'
    return f"{where} is not {json.dumps(success.equals)}"


def _short(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:40])


@lru_cache(maxsize=100)
def _compiled(text: str) -> re.Pattern[str]:
    return re.compile(text)
