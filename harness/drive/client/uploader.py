"""Makes one attempt: lease a connection, connect, log in if needed, upload. Every way that it can end is an Outcome."""

from __future__ import annotations

import functools
import json
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import gevent
from gevent import get_hub, getcurrent

from harness.base.address import Origin
from harness.base.model import DELIVERED, MalformedReason, Outcome, Shortage
from harness.drive.client.connection import Progress
from harness.drive.client.headers import check_token, parse_retry_after, parse_server_timing
from harness.drive.client.outcomes import (
    EXPECTED_ERRORS,
    AttemptTimeoutError,
    MalformedResponseError,
    classify_error,
    classify_shortage,
)
from harness.drive.client.own_client import OwnClient
from harness.drive.client.pool import AttemptConnection, ConnectionSource
from harness.drive.client.protocols import make_upload
from harness.drive.client.protocols.base import (
    LoginRefusedError,
    PageUpload,
    UploadContext,
    UploadResult,
    format_head,
)
from harness.drive.client.protocols.own import OwnContext
from harness.drive.client.protocols.templated import Elsewhere, TemplatedApi, TemplatedContext, TemplatedUpload
from harness.drive.client.response import HttpResponse
from harness.plan import Plan
from harness.protocol import Photo
from harness.protocol.photo import NO_COLUMNS
from harness.run_folder.trace import trace_prefix, traceparent
from harness.scenario.client import ClientOptions
from harness.station.response_outcome import classify_status

_NAN = float("nan")
# Local names: Python 3.11 looks up the members of an Enum through its metaclass.
_MALFORMED, _STATUS, _NO_REASON = Outcome.MALFORMED, MalformedReason.STATUS, MalformedReason.NONE
_UNAUTHORIZED = int(HTTPStatus.UNAUTHORIZED)
_INTERPRETED = frozenset({b"retry-after", b"server-timing"})
"""Headers of a response that the record has values of."""
_ACKNOWLEDGING = DELIVERED | {Outcome.PENDING}
_LOGIN_STEP, _UPLOAD_STEP = 1, 2
"""Numbers of the steps of an upload without [[target.steps]]."""


@dataclass(slots=True)
class AttemptResult(Progress):
    """An attempt that is over: its record, and what the worker needs to know beyond it.

    Its number in `attempt` and its `page` are set by the recorder: the journal also counts withheld attempts.
    """

    killed: bool = False
    """The run was stopped during the attempt: `done_s` is NaN."""
    shortage: Shortage | None = None
    """The resource that this machine ran out of; None unless the outcome is generator_error."""


class AttemptTimeout:
    """The time limit of one attempt. Call `cancel` when the attempt is over."""

    __slots__ = ("at_s", "greenlet")

    def __init__(self, at_s: float, greenlet: Any) -> None:
        self.at_s = at_s
        self.greenlet = greenlet
        """Of the attempt; None once it can't fire any more."""

    def cancel(self) -> None:
        """The attempt is over: don't fire."""
        self.greenlet = None

    def fire(self) -> None:
        """Raise AttemptTimeoutError in the attempt's greenlet. Only the hub may call this, while nothing else runs."""
        greenlet, self.greenlet = self.greenlet, None
        greenlet.throw(AttemptTimeoutError)


class TimeoutQueue:
    """The time limits of all attempts of a worker, with one timer for all of them.

    A `gevent.Timeout` costs an object, an entry in the loop's heap and some microseconds per attempt. As every attempt of a
    worker has the same limit, the limits end in the order in which they began: a queue suffices, and the timer waits for
    its head.
    """

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`limit_s` is the time of every attempt."""
        self._limit_s = limit_s
        self._clock = clock
        self._queue: deque[AttemptTimeout] = deque()
        self._timer: Any = None

    def start(self) -> AttemptTimeout:
        """Start the time limit of the current greenlet's attempt."""
        queue = self._queue
        while queue and queue[0].greenlet is None:
            queue.popleft()
        timeout = AttemptTimeout(self._clock() + self._limit_s, getcurrent())
        queue.append(timeout)
        if self._timer is None:
            self._start_timer(self._limit_s)
        return timeout

    def _start_timer(self, seconds: float) -> None:
        self._timer = get_hub().loop.timer(max(0.0, seconds), ref=False)
        self._timer.start(self._fire_due)

    def _fire_due(self) -> None:
        """Fire what is due; called by the hub."""
        # `_timer` stays set until the end: a greenlet that gets the error runs at once and may start its next attempt,
        # which must not make a second timer.
        queue, timer = self._queue, self._timer
        while queue and (queue[0].greenlet is None or queue[0].at_s <= self._clock()):
            timeout = queue.popleft()
            if timeout.greenlet is not None:
                timeout.fire()
        timer.close()
        self._timer = None
        if queue:
            self._start_timer(queue[0].at_s - self._clock())


class Uploader:
    """Makes the attempts of one station: has its connections, keeps its token, and remembers its page's upload."""

    __slots__ = (
        "_claims", "_client", "_clock", "_columns", "_context", "_host", "_page", "_pin", "_plan", "_run", "_source", "_timeouts",
        "_trace_prefix", "_upload",
    )  # fmt: skip

    def __init__(
        self, plan: Plan, client: ClientOptions, source: ConnectionSource, host_header: str, pin: str, clock: Callable[[], float],
        api: TemplatedApi | None = None, timeouts: TimeoutQueue | None = None, origin: Origin | None = None,
        elsewhere: Mapping[Origin, Elsewhere] | None = None, own: OwnClient | None = None,
        run: str = "", columns: Mapping[str, str] = NO_COLUMNS,
    ) -> None:  # fmt: skip
        """`api` is the scenario's [target], None for the mock's own API; `timeouts` are shared by a worker's stations.

        `origin` is the target's and `elsewhere` the other servers that steps may send to. `own` is the scenario's
        own client, None for a built-in protocol; an own client logs in by itself. `run` is the run's id, for client.trace.
        `columns` are what the user's own files have of this station.
        """
        self._columns = columns
        self._run = run
        self._trace_prefix = ""
        self._timeouts = timeouts or TimeoutQueue(client.timeout)
        # Digest and reading are computed only if they are sent: it happens in the middle of a run, for every page.
        self._claims = api is None or own is not None or client.resumes or api.makes_claims
        self._plan = plan
        self._client = client
        self._source = source
        self._host = host_header
        self._pin = pin
        self._clock = clock
        common = (host_header, "", 0, client.timeout, client.retry.idempotency_key)
        if own is not None:
            self._context: UploadContext = OwnContext(*common, pin=pin, client=own)
        elif api is not None:
            self._context = TemplatedContext(*common, api=api, pin=pin, origin=origin, elsewhere=elsewhere or {})
        else:
            self._context = UploadContext(*common)
        self._page = -1
        self._upload: PageUpload | None = None

    def attempt(self, page: int, number: int, due_s: float, sent_s: float, row: int | None = None) -> AttemptResult:
        """Try once to deliver a page; `number` counts from 1. Raises only OSError with an unknown errno.

        `row` is what the journal numbers the attempt by, if that differs (a strategy withheld some), for its trace.

        The result's `done_s` is NaN if the run was stopped during the attempt.
        """
        client = self._client
        upload = self._upload_of(page)
        resent_bytes = upload.high_water.resent_bytes
        result = AttemptResult(due_s=due_s, sent_s=sent_s)
        connection = AttemptConnection(
            self._source, self._clock, result, client.connect_timeout, sent_s + client.timeout
        )
        if self._trace_prefix:
            connection.trace = traceparent(self._trace_prefix, number if row is None else row)
        timeout = self._timeouts.start()
        try:
            connection.open()
            self._context.attempt = number
            self._log_in(page, connection, result)
            result.step = _UPLOAD_STEP
            uploaded = upload.attempt(connection, self._context)
        except LoginRefusedError as refused:
            uploaded = refused.uploaded
        except EXPECTED_ERRORS as error:
            result.outcome = classify_error(error, result.stage)
            result.killed = isinstance(error, gevent.GreenletExit)
            result.done_s = _NAN if result.killed else self._clock()
            if result.outcome is Outcome.GENERATOR_ERROR:
                result.shortage = classify_shortage(error)
            if isinstance(error, MalformedResponseError):
                result.reason = error.reason
                # Other details quote what the server sent.
                result.detail = error.detail if error.reason is MalformedReason.URL else ""
            return _close_step(result)
        except Exception as error:  # noqa: BLE001 - a response that nobody foresaw ends its attempt, not the station
            _report_unexpected("".join(traceback.format_exception(error)))
            result.outcome, result.reason = Outcome.MALFORMED, MalformedReason.UNEXPECTED
            result.done_s = self._clock()
            return _close_step(result)
        finally:
            timeout.cancel()
            connection.release()
            result.resent_bytes = upload.high_water.resent_bytes - resent_bytes
        result.done_s = self._clock()
        _record_response(result, uploaded)
        if uploaded.response.status == _UNAUTHORIZED:
            self._forget_login()
        return result

    @property
    def token(self) -> str:
        """The token of the mock's login; "" without one."""
        return self._context.token

    @property
    def taken(self) -> dict[str, str]:
        """The values that steps have taken for this station and its latest page; of an own client, the texts in its memory."""
        if isinstance(self._context, OwnContext):
            return {str(name): value for name, value in self._context.memory.items() if isinstance(value, str)}
        of_page = self._upload.values if isinstance(self._upload, TemplatedUpload) else {}
        return {**self._context.station.values, **of_page} if isinstance(self._context, TemplatedContext) else {}

    def close(self) -> None:
        """Give up the station's connections: it is done."""
        self._source.close()
        if isinstance(self._context, TemplatedContext):
            for other in self._context.elsewhere.values():
                other.source.close()

    def _upload_of(self, page: int) -> PageUpload:
        if self._upload is None or page != self._page:
            photo = self._photo_of(page)
            self._page, self._upload = page, make_upload(self._client, photo, self._context)
            if self._client.trace:
                self._trace_prefix = trace_prefix(self._run, photo.station, photo.form, photo.page)
        return self._upload

    def _photo_of(self, page: int) -> Photo:
        (station, form, number), body, tail, sha256, reading, kind = self._plan.sent(page, claims=self._claims)
        return Photo(
            station, form, number, body, tail, sha256, reading, self._columns, kind.content_type, kind.extension
        )

    def _forget_login(self) -> None:
        """The token has expired: the next attempt logs in again."""
        context = self._context
        context.token = ""
        if isinstance(context, TemplatedContext):
            context.station.expire(context.api.flow, HTTPStatus.UNAUTHORIZED)

    def _log_in(self, page: int, connection: AttemptConnection, result: AttemptResult) -> None:
        """Get a token if the API requires one; its time is part of the attempt, as a phone waits for it too.

        An upload of [target] makes its station's steps itself. Raises LoginRefusedError.
        """
        context = self._context
        if isinstance(context, TemplatedContext):
            if self._client.resumes and context.station.done < context.api.flow.once:
                TemplatedUpload(self._photo_of(page), context.api, context.station).prepare(connection, context)
            return
        if context.token or isinstance(context, OwnContext):
            return
        result.step = _LOGIN_STEP
        began_s = self._clock()
        response = connection.request([self._format_login(self._plan.key(page).station)])
        if response.status >= HTTPStatus.BAD_REQUEST:
            outcome = classify_status(response.status)
            raise LoginRefusedError(UploadResult(Outcome.REJECTED if outcome in _ACKNOWLEDGING else outcome, response))
        context.token = _parse_token(response)
        result.login_s = self._clock() - began_s

    def _format_login(self, station: str) -> bytes:
        content = json.dumps({"station": station, "pin": self._pin}).encode()
        headers = [f"Host: {self._host}", "Content-Type: application/json", f"Content-Length: {len(content)}"]
        return format_head("POST /v1/login", headers) + content


@functools.lru_cache(maxsize=100)
def _report_unexpected(text: str) -> None:
    """Write an unexpected error to the worker's log, once: it may end every attempt of a run."""
    sys.stderr.write(text)


def _parse_token(response: HttpResponse) -> str:
    try:
        token = json.loads(response.body)["token"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MalformedResponseError(MalformedReason.TOKEN, str(error)) from error
    return check_token(token)


def _close_step(result: AttemptResult) -> AttemptResult:
    """Let the request that got no answer have the attempt's outcome, and its times as far as it came."""
    if result.steps and result.steps[-1].done_s != result.steps[-1].done_s:  # NaN
        last = result.steps[-1]
        last.outcome, last.reason, last.done_s = result.outcome, result.reason, result.done_s
        last.body_sent_s, last.first_byte_s = result.body_sent_s, result.first_byte_s
        last.sent_bytes = result.sent_bytes - sum(step.sent_bytes for step in result.steps[:-1])
    return result


def _record_response(result: AttemptResult, uploaded: UploadResult) -> None:
    response = uploaded.response
    result.outcome, result.status = uploaded.outcome, response.status
    result.reason, result.detail = uploaded.reason, uploaded.detail
    if result.outcome is _MALFORMED and result.reason is _NO_REASON:
        result.reason = _STATUS
    # Over the raw headers: decoding them all into a dict would cost microseconds per attempt.
    for name, value in response.raw_headers:
        if name.lower() in _INTERPRETED:
            _record_header(result, name.lower(), value.decode("latin-1"))


def _record_header(result: AttemptResult, name: bytes, value: str) -> None:
    if name == b"retry-after":
        result.retry_after_s = parse_retry_after(value, datetime.now(UTC))
        return
    timing = parse_server_timing(value)
    result.queue_s = timing.get("queue", _NAN)
    if "service" in timing or "store" in timing:
        result.server_s = timing.get("service", 0.0) + timing.get("store", 0.0)
