"""One attempt: lease a connection, connect, log in if need be, upload; every end is an Outcome."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import gevent

from harness.drive.connections import Lane
from harness.drive.upload import multipart
from harness.drive.upload.http import (
    Answer,
    Connection,
    ConnectionClosedError,
    DeadlineError,
    GeneratorLimitError,
    MalformedAnswerError,
    Progress,
    Stage,
    outcome_of,
    outcome_of_status,
)
from harness.model import Outcome
from harness.plan import Plan
from harness.scenario import Client

_NAN = float("nan")
_LONGEST_S = 1e9
"""Longest span that a header may claim: 31 years."""
_FOREIGN = (
    DeadlineError, ConnectionClosedError, MalformedAnswerError, GeneratorLimitError, MemoryError, gevent.GreenletExit, OSError,
)  # fmt: skip


@dataclass(slots=True)
class Result:
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
    """Of the bytes sent, those that an attempt before had sent already."""
    killed: bool = False
    """The run was broken off while it was under way."""


class LoginRefusedError(Exception):
    """The server refused the login (any other answer without a token is malformed, never an acknowledgement)."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Uploader:
    """Makes the attempts of one station over its lane, and keeps its token."""

    def __init__(
        self, plan: Plan, client: Client, lane: Lane, host_header: str, pin: str, clock: Callable[[], float]
    ) -> None:  # fmt: skip
        self._plan = plan
        self._client = client
        self._lane = lane
        self._host = host_header
        self._pin = pin
        self._clock = clock
        self._token = ""
        self._connection: Connection | None = None

    def attempt(self, page: int, number: int, due_s: float, sent_s: float) -> Result:
        """Try to deliver a page once; `number` counts from 1."""
        progress = Progress()
        result = Result(Outcome.CENSORED, 0, due_s, sent_s, progress, _NAN, _NAN, _NAN, _NAN, _NAN)
        alive = False
        try:
            with gevent.Timeout(self._client.timeout, DeadlineError):
                self._open(progress)
                self._log_in(page, result)
                answer = self._upload(page, number, progress)
            alive = answer.keep_alive
        except LoginRefusedError as refused:
            answer, alive = refused.answer, refused.answer.keep_alive
        except _FOREIGN as error:
            result.outcome = outcome_of(error, progress.stage)
            result.killed = isinstance(error, gevent.GreenletExit)
            result.done_s = _NAN if result.killed else self._clock()
            return result
        finally:
            self._let_go(alive=alive)
        result.done_s = self._clock()
        _note_answer(result, answer)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._token = ""
        return result

    def close(self) -> None:
        """The station is done: give its connection up."""
        self._lane.close()

    def _open(self, progress: Progress) -> None:
        """Get hold of a connection and connect it if it isn't."""
        connection = self._connection = self._lane.lease()
        progress.stage = Stage.CONNECT
        if not connection.used:
            with gevent.Timeout(self._client.connect_timeout, DeadlineError):
                connection.connect()
        progress.connected_s = self._clock()

    def _let_go(self, *, alive: bool) -> None:
        if self._connection is not None:
            self._lane.back(self._connection, alive=alive)
            self._connection = None

    def _held(self) -> Connection:
        if self._connection is None:
            raise ConnectionClosedError
        return self._connection

    def _upload(self, page: int, number: int, progress: Progress) -> Answer:
        shown = self._plan.page(page)
        body, tail = self._plan.photo(page)
        upload = multipart.Upload(
            station=shown.station,
            form=shown.form,
            page=shown.page,
            body=body,
            tail=tail,
            sha256=shown.sha256,
            reading=shown.reading,
            attempt=number,
            token=self._token,
            timeout_s=self._client.timeout,
            idempotency_key=self._client.retry.idempotency_key,
        )
        progress.body_sent_s = progress.first_byte_s = _NAN  # the login's, so far
        return self._held().exchange(multipart.request(upload, self._host), progress)

    def _log_in(self, page: int, result: Result) -> None:
        """Get a token, unless there is one; the time it takes belongs to the attempt."""
        if self._token:
            return
        began = self._clock()
        content = json.dumps({"station": self._plan.key(page).station, "pin": self._pin}).encode()
        head = (
            f"POST /v1/login HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        answer = self._held().exchange([head.encode() + content], result.progress)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise LoginRefusedError(answer)
        try:
            self._token = str(json.loads(answer.body)["token"])
        except (ValueError, KeyError, TypeError) as error:
            raise MalformedAnswerError(str(error)) from error
        result.login_s = self._clock() - began
        if not answer.keep_alive:
            self._let_go(alive=False)
            self._open(result.progress)


def _note_answer(result: Result, answer: Answer) -> None:
    result.status = answer.status
    result.outcome = outcome_of_status(answer.status)
    result.retry_after_s = retry_after_s(answer.headers.get("retry-after", ""), datetime.now(UTC))
    timing = server_timing_s(answer.headers.get("server-timing", ""))
    result.queue_s = timing.get("queue", _NAN)
    if "service" in timing or "store" in timing:
        result.server_s = timing.get("service", 0.0) + timing.get("store", 0.0)


def _seconds(text: str) -> float:
    """Seconds in a number; NaN for anything else, and no more than the journal can hold."""
    try:
        value = float(text)
    except ValueError:
        return _NAN
    return value if math.isnan(value) else min(max(0.0, value), _LONGEST_S)


def retry_after_s(header: str, now: datetime) -> float:
    """Seconds that a Retry-After header asks to wait: a number or an HTTP date (RFC 9110, 10.2.3); NaN for anything else.

    >>> retry_after_s("Wed, 14 Feb 2024 17:00:30 GMT", datetime(2024, 2, 14, 17, 0, tzinfo=UTC))
    30.0
    """
    seconds = _seconds(header)
    if not math.isnan(seconds):
        return seconds
    try:
        return max(0.0, (parsedate_to_datetime(header) - now).total_seconds())
    except (ValueError, TypeError):
        return _NAN


def server_timing_s(header: str) -> dict[str, float]:
    """Seconds by name in a Server-Timing header (W3C; durations there are milliseconds).

    >>> server_timing_s("queue;dur=12.5, service;dur=100")
    {'queue': 0.0125, 'service': 0.1}
    """
    timing = {}
    for entry in header.split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key == "dur":
                timing[name] = _seconds(value.strip('"')) / 1000
    return timing
