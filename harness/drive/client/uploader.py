"""One attempt: lease a connection, connect, log in if need be, upload; every end is an Outcome."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

import gevent

from harness.base.model import DELIVERED, Outcome, Shortage
from harness.drive.client.connection import Progress
from harness.drive.client.headers import parse_retry_after, parse_server_timing
from harness.drive.client.outcomes import EXPECTED_ERRORS, MalformedResponseError, classify_error, classify_status
from harness.drive.client.pool import ConnectionSource
from harness.drive.client.protocols import multipart, put, templated, tus
from harness.drive.client.protocols.base import PageUpload, Photo, UploadContext, UploadResult, format_head
from harness.drive.client.protocols.templated import TemplatedApi, TemplatedContext
from harness.drive.client.response import HttpResponse
from harness.drive.client.session import AttemptConnection
from harness.drive.client.shortage import classify_shortage
from harness.drive.client.timeouts import TimeoutQueue
from harness.plan import Plan
from harness.scenario.protocol import TusOptions
from harness.scenario.scenario import ClientOptions

_NAN = float("nan")
_ACKNOWLEDGING = DELIVERED | {Outcome.PENDING}


@dataclass(slots=True)
class AttemptResult:
    """How an attempt ended: what the journal keeps. Seconds since T0, NaN where not reached."""

    outcome: Outcome
    status: int
    due_s: float
    sent_s: float
    progress: Progress
    done_s: float
    login_s: float
    retry_after_s: float
    queue_s: float
    server_s: float
    resent_bytes: int = 0
    """Of the photo's bytes sent, those that had been sent before."""
    killed: bool = False
    """The run was broken off while it was under way."""
    shortage: Shortage | None = None
    """Why the generator could not make it; None unless it is a generator_error."""


class LoginRefusedError(Exception):
    """The server refused the login (any other answer without a token is malformed, never an acknowledgement)."""

    def __init__(self, answer: HttpResponse) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Uploader:
    """Makes the attempts of one station over its lane, keeps its token, and remembers its page's delivery."""

    __slots__ = (
        "_api", "_claims", "_client", "_clock", "_deadlines", "_delivery", "_host", "_lane", "_page", "_pin", "_plan", "_sender",
    )  # fmt: skip

    def __init__(
        self, plan: Plan, client: ClientOptions, lane: ConnectionSource, host_header: str, pin: str, clock: Callable[[], float],
        api: TemplatedApi | None = None, deadlines: TimeoutQueue | None = None,
    ) -> None:  # fmt: skip
        """`api` is how a server of the user's is spoken to; None the mock's way. `deadlines` are shared by a worker's stations."""
        self._deadlines = deadlines or TimeoutQueue(client.timeout)
        self._api = api
        self._claims = api is None or client.protocol == "tus" or api.makes_claims
        self._plan = plan
        self._client = client
        self._lane = lane
        self._host = host_header
        self._pin = pin
        self._clock = clock
        own = (host_header, "", 0, client.timeout, client.retry.idempotency_key)
        self._sender = UploadContext(*own) if api is None else TemplatedContext(*own, api=api)
        self._page = -1
        self._delivery: PageUpload | None = None

    def attempt(self, page: int, number: int, due_s: float, sent_s: float) -> AttemptResult:
        """Try to deliver a page once; `number` counts from 1."""
        client, progress = self._client, Progress()
        delivery = self._delivery_of(page)
        resent_bytes = delivery.mark.resent_bytes
        result = AttemptResult(Outcome.CENSORED, 0, due_s, sent_s, progress, _NAN, _NAN, _NAN, _NAN, _NAN)
        wire = AttemptConnection(self._lane, self._clock, progress, client.connect_timeout, sent_s + client.timeout)
        deadline = self._deadlines.begin()
        try:
            wire.open()
            sender = self._sender
            sender.attempt = number
            if not sender.token:
                self._log_in(page, wire, result)
            ending = delivery.attempt(wire, sender)
        except LoginRefusedError as refused:
            ending = UploadResult(self._refusal(refused.answer.status), refused.answer)
        except EXPECTED_ERRORS as error:
            result.outcome = classify_error(error, progress.stage)
            result.killed = isinstance(error, gevent.GreenletExit)
            result.done_s = _NAN if result.killed else self._clock()
            if result.outcome is Outcome.GENERATOR_ERROR:
                result.shortage = classify_shortage(error)
            return result
        finally:
            deadline.met()
            wire.let_go()
            result.resent_bytes = delivery.mark.resent_bytes - resent_bytes
        result.done_s = self._clock()
        _record_response(result, ending)
        if ending.answer.status == HTTPStatus.UNAUTHORIZED:
            self._sender.token = ""
        return result

    def close(self) -> None:
        """The station is done: give its connection up."""
        self._lane.close()

    def _delivery_of(self, page: int) -> PageUpload:
        if self._delivery is None or page != self._page:
            key, body, tail, sha256, reading = self._plan.sent(page, claims=self._claims)
            photo = Photo(key.station, key.form, key.page, body, tail, sha256, reading)
            self._page, self._delivery = page, make_upload(self._client, photo, self._api)
        return self._delivery

    def _refusal(self, status: int) -> Outcome:
        """What the refusal of a login means: never an acknowledgement, whatever a scenario says of its status."""
        outcome = classify_status(status) if self._api is None else self._api.outcome_of(status)
        return Outcome.REJECTED if outcome in _ACKNOWLEDGING else outcome

    def _log_in(self, page: int, wire: AttemptConnection, result: AttemptResult) -> None:
        """Get a token, where one is needed; the time it takes belongs to the attempt."""
        if self._api is not None and not self._api.logs_in:
            return
        began = self._clock()
        answer = wire.ask([self._login_request(self._plan.key(page).station)])
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise LoginRefusedError(answer)
        self._sender.token = _parse_token(answer) if self._api is None else self._api.token_in(answer)
        result.login_s = self._clock() - began

    def _login_request(self, station: str) -> bytes:
        if self._api is not None:
            return self._api.login_request(self._host, station, self._pin)
        content = json.dumps({"station": station, "pin": self._pin}).encode()
        headers = [f"Host: {self._host}", "Content-Type: application/json", f"Content-Length: {len(content)}"]
        return format_head("POST /v1/login", headers) + content


def _parse_token(answer: HttpResponse) -> str:
    try:
        return str(json.loads(answer.body)["token"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MalformedResponseError(str(error)) from error


def make_upload(client: ClientOptions, photo: Photo, api: TemplatedApi | None = None) -> PageUpload:
    """A page's delivery by the protocol that the scenario chose, to a server of the user's as [target] says."""
    if api is not None and client.protocol == "tus":
        return tus.TusUpload(photo, client.tus or TusOptions(), api.path)
    if api is not None:
        return templated.TemplatedUpload(photo, api)
    match client.protocol:
        case "multipart":
            return multipart.MultipartUpload(photo)
        case "put":
            return put.PutUpload(photo)
        case "tus":
            return tus.TusUpload(photo, client.tus or TusOptions())


def _record_response(result: AttemptResult, ending: UploadResult) -> None:
    answer = ending.answer
    result.outcome, result.status = ending.outcome, answer.status
    for name, value in answer.raw_headers:
        wanted = name.lower()
        if wanted == b"retry-after":
            result.retry_after_s = parse_retry_after(value.decode("latin-1"), datetime.now(UTC))
        elif wanted == b"server-timing":
            timing = parse_server_timing(value.decode("latin-1"))
            result.queue_s = timing.get("queue", _NAN)
            if "service" in timing or "store" in timing:
                result.server_s = timing.get("service", 0.0) + timing.get("store", 0.0)
