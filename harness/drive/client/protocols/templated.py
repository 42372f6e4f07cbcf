"""Uploads to an API that the scenario's [target] describes: one request or several steps, from its templates.

Which step comes next is decided by harness/station/flow.py; here it is filled in and sent. Values of environment variables are
filled in here, in the process that sends: they are never written to a file, and travel only to remote workers, over the
encrypted connection.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from harness.base.address import Origin, parse_origin
from harness.base.model import DELIVERED, MalformedReason, Outcome
from harness.drive.client.outcomes import MalformedResponseError
from harness.drive.client.pool import AttemptConnection, ConnectionSource
from harness.drive.client.protocols.base import (
    HighWaterMark,
    LoginRefusedError,
    UploadContext,
    UploadResult,
    send_photo,
)
from harness.drive.client.protocols.single import SingleRequest, make_single
from harness.drive.client.protocols.step_format import Content, StepFormat, format_parts, format_step
from harness.drive.client.response import HttpResponse
from harness.protocol import Photo
from harness.run_folder.journal import AttemptRecord
from harness.scenario import templating
from harness.scenario.flow import STATION_PLACEHOLDERS, Step, parse_source
from harness.scenario.request import PAGE_PLACEHOLDERS, StatusMeanings
from harness.scenario.target import TargetApi
from harness.scenario.templating import Template
from harness.station.flow import Flow, PageFlow, StationFlow, StepRequest, StepRule, part_words
from harness.target.aws_signature import UNSIGNED, AwsSigner, make_signer

_PRINTABLE = re.compile(r"[!-~]+")
_ACKNOWLEDGING = DELIVERED | {Outcome.PENDING}
_LOGIN_SUCCESSES = range(200, 400)
_UNAUTHORIZED = 401


class Elsewhere(NamedTuple):
    """Another server that the user has named with --also-target: where a station gets its connections to it."""

    source: ConnectionSource
    host_header: str


@dataclass(frozen=True)
class TemplatedApi:
    """An API described by [target], ready to send: the environment's values are filled in already."""

    flow: Flow
    formats: tuple[StepFormat, ...]
    """One for each step of the flow."""
    records_steps: bool = False
    """Whether each request gets a row of its own."""
    signer: AwsSigner | None = None
    signs_payload: bool = False
    """Whether signatures cover the photo."""
    first_number: int = 1
    """What the journal calls the first step: an upload of one request is always the second, after a login."""

    @property
    def requires_login(self) -> bool:
        """Whether stations have steps of their own, which may need a PIN."""
        return self.flow.once > 0 or any("pin" in one.words for one in self.formats)

    @cached_property
    def makes_claims(self) -> bool:
        """Whether requests contain the photo's digest or the page's reading: only then are they computed."""
        words = frozenset[str]().union(*(one.words for one in self.formats))
        return self.signs_payload or not words.isdisjoint({"sha256", "digest", "reading"})

    @property
    def path(self) -> str:
        """The path of the upload request if it is the same for all pages: tus creates its uploads there."""
        return self.formats[-1].path.fill({})

    @cached_property
    def taken_words(self) -> frozenset[str]:
        """The values that steps take from answers."""
        return frozenset(name for rule in self.flow.steps for name, _ in rule.takes)

    @cached_property
    def single(self) -> SingleRequest | None:
        """The request of a page if that is all that an upload is, and only its status counts; None for any other flow."""
        if self.flow.once or self.records_steps or self.signer is not None:
            return None
        return make_single(self.formats[0], self.flow.steps[0].outcomes, self.first_number)

    def headers(self, photo: Photo, context: TemplatedContext) -> list[str]:
        """The upload's header lines alone, for a protocol that makes its own requests (tus)."""
        values = fill_words(self.formats[-1], photo, context, context.station.values)
        return [f"Host: {context.host}", *self.formats[-1].fill_headers(values)]


@dataclass(slots=True)
class TemplatedContext(UploadContext):
    """An upload context whose headers are the scenario's and no others."""

    api: TemplatedApi
    pin: str = ""
    origin: Origin | None = None
    """The target's own origin: needed where a step's url says where to send."""
    elsewhere: Mapping[Origin, Elsewhere] = field(default_factory=dict)
    """The other servers that steps may send to."""
    station: StationFlow = field(default_factory=StationFlow)

    def headers(self, photo: Photo, timeout_s: float | None = None) -> list[str]:  # noqa: ARG002
        """The scenario's header lines; those that only the mock knows (X-Attempt, Upload-Timeout) are left out."""
        return self.api.headers(photo, self)


class TemplatedUpload:
    """The upload of a page to an API that [target] describes; `PageFlow` decides where an attempt begins."""

    __slots__ = ("_api", "_flow", "_photo", "high_water")

    def __init__(self, photo: Photo, api: TemplatedApi, station: StationFlow) -> None:
        self._photo = photo
        self._api = api
        self._flow = PageFlow(api.flow, station, photo.size_bytes)
        self.high_water = HighWaterMark()

    @property
    def values(self) -> Mapping[str, str]:
        """What steps have taken from answers so far."""
        return self._flow.values

    def attempt(self, connection: AttemptConnection, context: UploadContext) -> UploadResult:
        """Send step after step until one fails or the last is answered, and interpret the answers as the scenario says."""
        assert isinstance(context, TemplatedContext)  # noqa: S101 - the uploader makes both
        self._flow.begin_attempt()
        while True:
            uploaded = self._send(connection, context)
            if uploaded is not None:
                return uploaded

    def prepare(self, connection: AttemptConnection, context: TemplatedContext) -> None:
        """Make the steps that the station has to make once, and has not. Raises LoginRefusedError."""
        self._flow.begin_attempt()
        while self._flow.is_station_step:
            uploaded = self._send(connection, context)
            if uploaded is not None:
                raise LoginRefusedError(uploaded)

    def _send(self, connection: AttemptConnection, context: TemplatedContext) -> UploadResult | None:
        """Send the step that is next; the result if it ends the attempt."""
        flow, progress = self._flow, connection.progress
        of_station = flow.is_station_step
        request = flow.next()
        number = progress.step = request.step + self._api.first_number
        began_s = connection.now_s
        record = None
        if self._api.records_steps:
            record = AttemptRecord(step=number, sent_s=began_s, resent_bytes=request.part)
            connection.progress.steps.append(record)
        sent_bytes = progress.sent_bytes
        response, origin, path = self._request(request, connection, context)
        outcome = flow.answered(response, origin, path, time.time() if self._api.flow.keeps_cookies else 0.0)
        if of_station:
            spent_s = connection.now_s - began_s
            progress.login_s = (
                spent_s if progress.login_s != progress.login_s else progress.login_s + spent_s
            )  # NaN: first
        if record is not None:
            record.outcome = outcome or self._api.flow.steps[request.step].outcomes.get(
                response.status, Outcome.MALFORMED
            )
            record.status, record.reason = response.status, flow.reason
            record.body_sent_s, record.first_byte_s = progress.body_sent_s, progress.first_byte_s
            record.done_s, record.sent_bytes = connection.now_s, progress.sent_bytes - sent_bytes
        if outcome is None:
            return None
        return UploadResult(outcome, response, flow.reason, flow.detail)

    def _request(
        self, request: StepRequest, connection: AttemptConnection, context: TemplatedContext
    ) -> tuple[HttpResponse, Origin | None, str]:
        """Send a request; its answer, and where it went."""
        form, photo, flow = self._api.formats[request.step], self._photo, self._flow
        values: Mapping[str, str] = flow.values if not request.part else {**flow.values, **part_words(request)}
        values = fill_words(form, photo, context, values)
        path, host, origin = form.fill_path(values, self._api.taken_words), context.host, context.origin
        if form.is_url:
            origin, path = self._resolve(path, request, context)
            if origin != context.origin:
                other = context.elsewhere[origin]
                connection, host = connection.to(other.source), other.host_header
        cookies = ""
        if origin is not None and self._api.flow.keeps_cookies:
            cookies = context.station.cookies.header(origin, path, time.time())
        before, after = form.fill_body(values, flow.part_values, photo.content_type)
        sends_photo = form.body == "raw" or (form.body == "multipart" and bool(before))
        size = request.end - request.start if sends_photo else 0
        parts = photo.whole if not request.part else photo.part(request.start, request.end)
        more: list[str] = []
        if self._api.signer is not None and not form.is_url:
            signed = {"Host": host, **form.amz_headers(values)}
            payload = self._digest(request, before, parts if sends_photo else [], after)
            added = self._api.signer.sign(form.method, path, signed, payload, datetime.now(UTC))
            more = [f"{name}: {value}" for name, value in added.items()]
        head = form.head(host, path, values, len(before) + size + len(after), cookies, more, photo.content_type)
        if sends_photo:
            response = send_photo(connection, head + before, parts, after, request.start, self.high_water)
        else:
            body = before or after
            response = connection.request([head + body], bodiless=form.method == "HEAD")
        return response, origin, path

    def _digest(self, request: StepRequest, before: bytes, photo: list[bytes | memoryview], after: bytes) -> str:
        """What the signature says of the body: its SHA-256, or that it is not signed."""
        if photo and not self._api.signs_payload:
            return UNSIGNED
        if photo and not (before or after or request.part):
            return self._photo.sha256
        digest = hashlib.sha256(before)
        for piece in (*photo, after):
            digest.update(piece)
        return digest.hexdigest()

    def _resolve(self, url: str, request: StepRequest, context: TemplatedContext) -> tuple[Origin, str]:
        """Origin and path of an address taken from an answer. Raises MalformedResponseError if it is not one of the targets'.

        Relative to the target. Load goes only where the user has sent it, and where it was consented to.
        """
        try:
            parts = urlsplit(urljoin(f"{context.origin}/", url)) if _PRINTABLE.fullmatch(url) else None
        except ValueError:
            parts = None
        origin = None if parts is None else parse_origin(parts.geturl())
        name = self._api.flow.steps[request.step].name
        if parts is None or origin is None:
            raise MalformedResponseError(
                MalformedReason.URL, f"{name}: the answer before has no valid URL for this step"
            )
        if origin != context.origin and origin not in context.elsewhere:
            raise MalformedResponseError(
                MalformedReason.URL, f"{name}: its URL is on {origin}: name it with --also-target {origin}"
            )
        return origin, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def fill_words(
    form: StepFormat, photo: Photo, context: TemplatedContext, known: Mapping[str, str]
) -> Mapping[str, str]:
    """Values by placeholder, for those that occur: computing a digest that nobody sends would cost CPU."""
    values: dict[str, str] = {}
    for word in form.words:
        compute = _VALUES.get(word)
        if compute is not None:
            values[word] = compute(photo, context)
        elif word in known:
            values[word] = known[word]
        elif word in photo.columns:
            values[word] = photo.columns[word]
    return values


_VALUES: dict[str, Callable[[Photo, TemplatedContext], str]] = {
    "station": lambda photo, _: photo.station,
    "form": lambda photo, _: photo.form,
    "page": lambda photo, _: str(photo.page),
    "sha256": lambda photo, _: photo.sha256,
    "digest": lambda photo, _: base64.b64encode(bytes.fromhex(photo.sha256)).decode(),
    "size": lambda photo, _: str(photo.size_bytes),
    "attempt": lambda _, context: str(context.attempt),
    "reading": lambda photo, _: photo.reading,
    "pin": lambda _, context: context.pin,
}
"""How to compute the value of each placeholder that no step takes."""


def build_api(target: TargetApi, environment: Mapping[str, str]) -> TemplatedApi:
    """The API that a scenario's [target] describes. Raises UsageError if an environment variable that it names is not set."""
    api = _build_steps(target, environment) if target.steps else _build_flat(target, environment)
    signer = make_signer(target.sign, environment)
    if target.sign is None or signer is None:
        return api
    return replace(api, signer=signer, signs_payload=target.sign.payload == "digest")


def _build_flat(target: TargetApi, environment: Mapping[str, str]) -> TemplatedApi:
    """One request, after a login if there is one: as a flow of these two steps."""
    upload = StepFormat(
        method=target.method,
        path=Template(target.path or ""),
        headers=_templates(target.headers, environment),
        body=target.body,
        parts=format_parts(target.parts, environment),
    )
    rule = StepRule("upload", target.statuses.outcomes())
    login = target.login
    if login is None:
        return TemplatedApi(Flow((rule,)), (upload,), first_number=2)
    form = StepFormat(
        method=login.method,
        path=Template(login.path),
        # Nothing but what the scenario says: no Content-Type of its own.
        headers=[("Content-Type", Template("")), *_templates(login.headers, environment)],
        body="text",
        content=Content(login.body, "text", environment),
    )
    login_rule = StepRule(
        "login",
        _login_outcomes(target.statuses),
        (("token", parse_source(login.token)),),
        again_after=frozenset({_UNAUTHORIZED}),
        missing=MalformedReason.TOKEN,
    )
    flow = Flow((login_rule, rule), once=1, header_words=frozenset({"token"}))
    return TemplatedApi(flow, (form, upload))


def _build_steps(target: TargetApi, environment: Mapping[str, str]) -> TemplatedApi:
    known = set(STATION_PLACEHOLDERS)
    rules, formats = [], []
    for step in target.steps:
        if step.once is None:
            known |= PAGE_PLACEHOLDERS
        common = {
            name: value
            for name, value in target.headers.items()
            if step.path is not None and templating.words_of_steps(value) <= known
        }
        formats.append(format_step(step, common, environment))
        rules.append(_make_rule(step, target.statuses))
        known |= step.take.keys()
    texts = [text for step in target.steps for text in step.headers.values()]
    words = {word for text in [*texts, *target.headers.values()] for word in templating.placeholders_in(text)}
    once = sum(step.once is not None for step in target.steps)
    flow = Flow(tuple(rules), once, target.resumable, keeps_cookies=True, header_words=frozenset(words))
    return TemplatedApi(flow, tuple(formats), records_steps=True)


def _make_rule(step: Step, common: StatusMeanings) -> StepRule:
    return StepRule(
        name=step.name,
        outcomes=(step.statuses or common).outcomes(),
        takes=tuple((name, parse_source(source)) for name, source in step.take.items()),
        success=step.success,
        part_bytes=None if step.part_size is None else int(step.part_size),
        again_after=frozenset() if step.once is None else frozenset(map(int, step.again_after)),
    )


def _login_outcomes(statuses: StatusMeanings) -> dict[int, Outcome]:
    """What the statuses of a login mean: one that isn't an error has a token, and a refusal never acknowledges anything."""
    outcomes = statuses.outcomes()
    refused = {
        status: Outcome.REJECTED if outcome in _ACKNOWLEDGING else outcome
        for status, outcome in outcomes.items()
        if status not in _LOGIN_SUCCESSES
    }
    return {**dict.fromkeys(_LOGIN_SUCCESSES, Outcome.ACCEPTED), **refused}


def _templates(pairs: Mapping[str, str], environment: Mapping[str, str]) -> list[tuple[str, Template]]:
    return [(name, Template(value, environment)) for name, value in pairs.items()]
