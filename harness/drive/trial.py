"""Sends one station's pages, once each, and describes every request and its answer: what `harness try` starts as a process.

The client is the one of a run. Reads its order as JSON from stdin, writes one JSON line per request and per page to stdout.
Values of the environment and values that look like a session are masked here: they never leave this process.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO
from urllib.parse import quote

from harness.base.address import parse_origin
from harness.base.errors import UsageError
from harness.drive.assignment import Assignment, resolve_also, resolve_endpoint
from harness.drive.client.connection import Connection, Endpoint, Progress
from harness.drive.client.outcomes import EXPECTED_ERRORS
from harness.drive.client.own_client import OwnClient, load_own_client
from harness.drive.client.pool import ConnectionPool
from harness.drive.client.protocols.templated import Elsewhere, TemplatedApi, build_api
from harness.drive.client.response import HttpResponse, OnInterim
from harness.drive.client.uploader import AttemptResult, Uploader
from harness.plan import make_plan
from harness.plan.own_stations import load_accounts, request_columns
from harness.plan.plan import derive_pin
from harness.scenario import templating
from harness.scenario.scenario import parse_resolved
from harness.station.link import LinkModel

MASK = "•••"
_SECRET_PARAMETER = re.compile(r"(?i)([?&](?:x-amz-signature|signature|sig|token|key|x-amz-credential)=)[^&\s]+")
_SECRET_WORD = re.compile(r"(?i)token|secret|passw|session|csrf|auth|key|sid|cookie|signature")
_SECRET_FIELD = re.compile(
    r"""(?i)("?[\w-]*(?:token|secret|passw|session|csrf|signature|\bpin\b|api_?key)[\w-]*"?\s*[:=]\s*"?)([^"&\s,}<]+)"""
)
_SCHEME = re.compile(r"(?i)^(basic|bearer|token|digest|aws4-hmac-sha256) ")
_MAX_BODY = 2_000
_SHOWN_REQUEST = 1_000
_MIN_MASKED = 6
"""Shorter values would be masked in the middle of words: they are only where they stand alone."""


class _Masker:
    """Replaces what must not be shown."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets: list[str] = []
        self._short: list[re.Pattern[str]] = []
        for secret in secrets:
            self.add(secret)

    def add(self, value: str) -> None:
        """Mask this value from now on, if it is long enough to be no part of other words."""
        if len(value) >= _MIN_MASKED and value not in self._secrets:
            self._secrets = sorted([*self._secrets, value], key=len, reverse=True)

    def add_account(self, value: str) -> None:
        """Mask this value of an account, however short, and as paths and JSON contain it."""
        for spelling in {value, quote(value, safe=""), json.dumps(value)[1:-1]} - {""}:
            self.add(spelling)
            if len(spelling) < _MIN_MASKED:
                self._short.append(re.compile(rf"(?<!\w){re.escape(spelling)}(?!\w)"))

    def text(self, text: str) -> str:
        """A text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        for short in self._short:
            text = short.sub(MASK, text)
        text = _SECRET_FIELD.sub(rf"\1{MASK}", text)
        return _SECRET_PARAMETER.sub(rf"\1{MASK}", text)

    def header(self, name: str, value: str) -> str:
        """A header's line without secrets: of cookies the names, of others the scheme."""
        if name.lower() in {"cookie", "set-cookie"}:
            pairs = value.split("; ")
            hidden = [f"{pair.partition('=')[0]}={MASK}" for pair in (pairs if name.lower() == "cookie" else pairs[:1])]
            return f"{name}: {'; '.join([*hidden, *([] if name.lower() == 'cookie' else pairs[1:])])}"
        if templating.header_has_secret(name, "literal"):
            scheme = _SCHEME.match(value)
            return f"{name}: {scheme[0] if scheme else ''}{MASK}"
        return f"{name}: {self.text(value)}"


class _Recorder:
    """Keeps every entry of the attempt that is under way."""

    def __init__(self, *, has_texts: bool) -> None:
        """`has_texts`: what follows the head may be text, as an own client's bodies are, and not the photo only."""
        self._has_texts = has_texts
        self.entries: list[dict[str, Any]] = []

    def add(self, buffers: Sequence[bytes | memoryview], progress: Progress) -> dict[str, Any]:
        """Note a request that is about to be sent."""
        first = bytes(buffers[0])
        head, _, body = first.partition(b"\r\n\r\n")
        line, *headers = head.decode("utf-8", "replace").split("\r\n")
        texts = [_text_of(one) for one in buffers[1:]] if self._has_texts else [""] * len(buffers[1:])
        photo = sum(len(one) for one, text in zip(buffers[1:], texts, strict=True) if not text)
        entry = {
            "step": progress.step, "line": line.rpartition(" ")[0], "headers": headers, "body": "".join([body.decode("utf-8", "replace"), *texts]),
            "photo_bytes": photo, "status": 0, "answer_headers": [], "answer": "", "answer_bytes": 0, "took_s": 0.0,
            "interim": [],
        }  # fmt: skip
        self.entries.append(entry)
        return entry


def _text_of(buffer: bytes | memoryview) -> str:
    """A short text; "" for anything else, as every photo is."""
    try:
        return bytes(buffer).decode() if len(buffer) <= _MAX_BODY else ""
    except UnicodeDecodeError:
        return ""


def _header_lines(headers: Sequence[tuple[bytes, bytes]]) -> list[str]:
    return [f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in headers]


class _RecordedConnection(Connection):
    """A connection that notes what goes over it."""

    __slots__ = ("recorder",)
    recorder: _Recorder

    def request(
        self, buffers: Sequence[bytes | memoryview], progress: Progress, *, bodiless: bool = False,
        on_interim: OnInterim | None = None,
    ) -> HttpResponse:  # fmt: skip
        """As `Connection.request`."""
        entry = self.recorder.add(buffers, progress)

        def note(status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
            entry["interim"].append({"status": status, "headers": _header_lines(headers)})
            if on_interim is not None:
                on_interim(status, headers)

        began_s = time.monotonic()
        try:
            response = super().request(buffers, progress, bodiless=bodiless, on_interim=note)
        finally:
            entry["took_s"] = time.monotonic() - began_s
        entry["status"], entry["answer_bytes"] = response.status, len(response.body)
        entry["answer_headers"] = _header_lines(response.raw_headers)
        entry["answer"] = response.body[:_MAX_BODY].decode("utf-8", "replace")
        return response


class _RecordingPool(ConnectionPool):
    """Makes connections that note what goes over them."""

    def __init__(self, target: Endpoint, recorder: _Recorder, clock: Any) -> None:
        super().__init__(target, "new", clock)
        self._recorder = recorder

    def create(self, link: LinkModel | None = None, session: Any = None) -> Connection:  # noqa: ARG002 - without a link
        """A new connection."""
        connection = _RecordedConnection(self.target, None, self._clock, session)
        connection.recorder = self._recorder
        return connection


def run_trial(order: dict[str, Any], write: TextIO, environment: dict[str, str]) -> None:
    """Send the pages of the order's only station, and write what happened. Raises UsageError as a run's worker does."""
    scenario = parse_resolved(order["scenario"])
    assignment = Assignment(
        rank=0, workers=1, run="try", scenario=scenario, target=order["target"], address=order["address"], journal="",
        metrics_port=0, limits_s=[], pin_secret="", also=order["also"], authority=order["authority"],
    )  # fmt: skip
    plan, client = make_plan(scenario), scenario.client
    target = scenario.target
    own = load_own_client(client.own, "", environment) if client.own else None
    api = None if target is None or own is not None else build_api(target, environment)
    names = set() if target is None else target.variables() | target.optional_variables()
    masker = _Masker([environment[name] for name in names if environment.get(name)])
    for value in () if own is None else own.variables.values():
        masker.add(value)
    station = plan.stations[0]
    accounts = load_accounts(scenario.stations)
    for value in accounts.get(station.code, {}).values():
        masker.add_account(value)
    pin = derive_pin(station.code, "")
    recorder, t0 = _Recorder(has_texts=own is not None), time.monotonic()

    def clock() -> float:
        return time.monotonic() - t0

    endpoint, others = resolve_endpoint(assignment), resolve_also(assignment)
    pool = _RecordingPool(endpoint, recorder, clock)
    elsewhere = {
        origin: Elsewhere(_RecordingPool(one, recorder, clock).source(), one.host_header)
        for origin, one in others.items()
    }
    uploader = Uploader(
        plan, client, pool.source(), endpoint.host_header, pin, clock, api, None,
        parse_origin(order["target"]), elsewhere, own, "try", request_columns(station, accounts),
    )  # fmt: skip
    for page in plan.pages_of(0):
        recorder.entries.clear()
        now_s = clock()
        result = uploader.attempt(page, 1, now_s, now_s)
        _collect_secrets(masker, uploader)
        for entry in recorder.entries:
            decides = entry is recorder.entries[-1] if own is not None else entry["step"] == result.step
            outcome = str(result.outcome) if decides else ""
            _write(write, "request", {**_masked(entry, masker), **_meaning(entry, api, own), "outcome": outcome})
        key = plan.key(page)
        identity = {"station": key.station, "form": key.form, "page": key.page}
        _write(write, "page", {**identity, **_ending(result, masker, own)})
        if own is not None and own.bug:
            break  # it ends a run too
    uploader.close()


def _write(file: TextIO, event: str, content: dict[str, Any]) -> None:
    file.write(json.dumps({"event": event, **content}) + "\n")
    file.flush()


def _collect_secrets(masker: _Masker, uploader: Uploader) -> None:
    """Mask what steps or an own client keep under a name that sounds like a session, and the mock's token."""
    masker.add(uploader.token)
    for name, value in uploader.taken.items():
        if _SECRET_WORD.search(name):
            masker.add(value)


def _masked(entry: dict[str, Any], masker: _Masker) -> dict[str, Any]:
    def lines(headers: list[str]) -> list[str]:
        return [masker.header(*text.split(": ", 1)) if ": " in text else text for text in headers]

    return {
        **entry,
        "line": masker.text(entry["line"]),
        "headers": lines(entry["headers"]),
        "body": masker.text(entry["body"])[:_SHOWN_REQUEST],
        "answer_headers": lines(entry["answer_headers"]),
        "answer": masker.text(entry["answer"]),
    }


def _meaning(entry: dict[str, Any], api: TemplatedApi | None, own: OwnClient | None) -> dict[str, Any]:
    """The name of the step, and what it takes from its answer; the requests of an own client have no names."""
    number = entry["step"]
    if own is not None:
        return {"name": "", "takes": []}
    if api is None or not number:
        return {"name": {1: "login", 2: "upload"}.get(number, ""), "takes": []}
    rule = api.flow.steps[number - api.first_number]
    return {"name": rule.name, "takes": [taken for taken, _ in rule.takes]}


def _ending(result: AttemptResult, masker: _Masker, own: OwnClient | None) -> dict[str, Any]:
    bug = "" if own is None or not own.bug else f"a bug in the scenario's own client: {own.bug}"
    return {
        "outcome": str(result.outcome),
        "reason": str(result.reason),
        "detail": masker.text(bug or result.detail),
        "status": result.status,
        "took_s": result.done_s - result.sent_s,
    }


def main() -> None:
    """Take the order from stdin, do it."""
    order = json.loads(sys.stdin.readline())
    # What an own client prints must not get between the lines that are read as JSON.
    output, sys.stdout = sys.stdout, sys.stderr
    try:
        run_trial(order, output, dict(os.environ))
    except (UsageError, *EXPECTED_ERRORS) as error:
        _write(output, "refused", {"reason": str(error)})
        sys.exit(2)


if __name__ == "__main__":
    main()
