"""The phones of a simulation: each plays sessions in virtual time, as harness/drive/virtual_user.py does over sockets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.base.model import DELIVERED, Outcome
from harness.measure.metrics import WorkerMetrics
from harness.plan import Plan
from harness.run_folder.journal import AttemptRecord, JournalWriter
from harness.scenario.client import ClientOptions, TusOptions
from harness.simulate.clock import VirtualClock, VirtualTask
from harness.simulate.connection import AttemptEnded, Network, PhoneConnection
from harness.simulate.request import RequestKind, SimulatedRequest, SimulatedResponse
from harness.station.link import draw_link_model
from harness.station.response_outcome import classify_status
from harness.station.retry import RetryPolicy
from harness.station.session import Action, ClosedLoop, Session
from harness.station.tus_steps import TusSteps
from mock_server.faults.base import RequestKey

HEAD_BYTES = {"multipart": 640, "put": 420, "tus": 420}
"""Bytes of a request besides the photo, about: headers, and of a form its parts' headers."""
LOGIN_BYTES = 190
_TUS_METHODS = {"create": "POST", "head": "HEAD", "patch": "PATCH"}
_ACKNOWLEDGING = DELIVERED | {Outcome.PENDING}
# Local names: Python 3.11 looks up the members of an Enum through its metaclass, see harness/station/session.py.
_WAIT, _ATTEMPT, _WITHHOLD, _GIVE_UP, _DONE = Action
_UNAUTHORIZED, _BAD_REQUEST = 401, 400


@dataclass(slots=True)
class PhoneContext:
    """What all phones of one simulation share."""

    plan: Plan
    client: ClientOptions
    clock: VirtualClock
    network: Network
    journal: JournalWriter
    metrics: WorkerMetrics
    seed: int
    deadline_s: float
    size_of_page: Sequence[int]
    on_done: Callable[[], None]
    """Called when a phone has nothing left to do."""
    in_flight: dict[Phone, AttemptRecord] = field(default_factory=dict)
    attempts: int = 0
    stations_begun: int = 0


class Phone(VirtualTask):
    """One phone: serves a station of an open workload, or one station after another of a closed one."""

    __slots__ = (
        "_code", "_connection", "_context", "_logins", "_reached", "_record", "_resent_page",
        "_session", "_steps", "_steps_page", "_token_process", "_token_until_s", "_tus_outcome", "_upload_number",
    )  # fmt: skip

    def __init__(self, context: PhoneContext) -> None:
        super().__init__(context.clock)
        self._context = context
        self._tus_outcome: Outcome | None = None
        """What the steps of a resumable upload make of their last response."""

    # --- sessions

    def begin(self, station: int, due_s: float) -> None:
        """Serve one station, now."""
        self.start(self._serve_one(station, due_s))

    def begin_closed(self, loop: ClosedLoop, ended_s: float) -> None:
        """Serve the stations of a closed workload; the first think time counts from `ended_s`."""
        self.start(self._serve_all(loop, ended_s))

    async def _serve_one(self, station: int, due_s: float) -> None:
        await self._serve(station, due_s)
        self._context.on_done()

    async def _serve_all(self, loop: ClosedLoop, ended_s: float | None) -> None:
        context = self._context
        while (station := loop.next(ended_s)) is not None:
            await self.sleep_until(loop.due_s)
            context.metrics.pages_due += len(context.plan.slots)
            ended_s = await self._serve(station, loop.due_s)
        context.on_done()

    async def _serve(self, station: int, due_s: float) -> float | None:
        """Play a station's session to its end; when its last page was over, None if the deadline came before."""
        context, clock = self._context, self.clock
        context.stations_begun += 1
        self._code = context.plan.stations[station].code
        link = draw_link_model(context.client.link, context.seed, self._code)
        self._connection = PhoneConnection(context.network, self, link)
        self._token_until_s = -1.0 if context.network.costs.logins else float("inf")
        self._token_process = self._logins = self._reached = 0
        self._resent_page = self._steps_page = -1
        self._upload_number = 0
        policy = RetryPolicy(context.client.retry, context.seed, self._code)
        session = self._session = Session(context.plan.pages_of(station), due_s, context.deadline_s, policy)
        while (action := session.next(clock.now_s)) is not _DONE:
            if action is _ATTEMPT:
                await self._attempt()
            elif action is _WAIT:
                await self.sleep_until(session.due_s)
            elif action is _WITHHOLD:
                context.attempts += 1
                record = AttemptRecord(
                    Outcome.WITHHELD, page=session.page, attempt=session.row, due_s=session.due_s
                )  # fmt: skip
                context.journal.end(record)
            else:
                context.journal.gave_up(session.page, session.attempts, session.decided_s, session.reason)
        self._connection.hang_up()
        del self._connection  # the two refer to each other, and while a simulation plays, nothing collects cycles
        context.metrics.stations_completed += session.completed
        return session.ended_s

    # --- attempts

    async def _attempt(self) -> None:
        """Send the session's page once and report its end to the session."""
        context, session, clock = self._context, self._session, self.clock
        now_s = clock.now_s
        record = AttemptRecord(page=session.page, attempt=session.row, due_s=session.due_s, sent_s=now_s)
        self._record = record
        self._tus_outcome = None
        context.in_flight[self] = record
        limit = clock.call_in_order(now_s + context.client.timeout, self._time_out)
        retry_after_s = None
        try:
            response = await self._try_once(record)
        except AttemptEnded as ended:
            record.outcome = ended.outcome
            self._connection.leave()
        else:
            retry_after_s = self._take_response(record, response)
        limit.cancel()
        record.done_s = clock.now_s
        if context.client.connection == "each":
            self._connection.hang_up()
        del context.in_flight[self]
        context.attempts += 1
        context.journal.end(record)
        if session.attempt_ended(record.outcome, record.status, retry_after_s, clock.now_s):
            context.metrics.retry(record.outcome)

    def _take_response(self, record: AttemptRecord, response: SimulatedResponse) -> float | None:
        """Note what the final response says; the pause that it asks for, None without one."""
        record.status = response.status
        record.outcome = self._tus_outcome or classify_status(response.status)
        if self._token_until_s < 0 and record.outcome in _ACKNOWLEDGING:
            record.outcome = Outcome.REJECTED  # of a login: never an acknowledgement
        record.first_byte_s = self.clock.now_s
        record.queue_s, record.server_s = response.queue_s, response.server_s
        if response.retry_after_s is not None:
            record.retry_after_s = response.retry_after_s
        if response.status == _UNAUTHORIZED:
            self._token_until_s = -1.0  # it has expired: the next attempt logs in again
        return response.retry_after_s

    async def _try_once(self, record: AttemptRecord) -> SimulatedResponse:
        """Connect, log in and upload as far as needed; the response that decides."""
        if not self._connection.is_open():
            await self._connection.open(RequestKey(self._code, "", 0, self._session.attempts, "", ""))
        record.connected_s = self.clock.now_s
        if self._token_until_s < 0:
            response = await self._log_in(record)
            if response.status >= _BAD_REQUEST:
                return response
        return await self._upload(record)

    async def _log_in(self, record: AttemptRecord) -> SimulatedResponse:
        server, began_s = self._context.network.server, self.clock.now_s
        if self._token_process != server.process:  # the server counts logins, and forgets them in a crash
            self._logins, self._token_process = 0, server.process
        self._logins += 1
        key = RequestKey(self._code, "", 0, self._logins, "POST", "login")
        record.sent_bytes += LOGIN_BYTES
        request = self._make_request(key, 0)
        request.kind = "login"
        response = await self._connection.send(request, LOGIN_BYTES)
        if response.status < _BAD_REQUEST:
            self._token_until_s = self.clock.now_s + server.token_lifetime_s
            record.login_s = self.clock.now_s - began_s
        return response

    async def _upload(self, record: AttemptRecord) -> SimulatedResponse:
        """Send the page, or what is missing of it; the response that decides what became of it."""
        context = self._context
        if context.client.protocol == "tus":
            return await self._upload_by_steps(record)
        method = "PUT" if context.client.protocol == "put" else "POST"
        size_bytes = context.size_of_page[self._session.page]
        return await self._send_page(record, self._make_upload("page", method, 0, size_bytes))

    async def _upload_by_steps(self, record: AttemptRecord) -> SimulatedResponse:
        """The upload by tus: request after request, as harness/station/tus_steps.py decides."""
        steps = self._steps_of_page()
        steps.begin_attempt()
        while True:
            step = steps.next()
            request = self._make_upload(step.kind, _TUS_METHODS[step.kind], step.start, step.end - step.start)
            request.upload = self._upload_number
            response = await self._send_page(record, request)
            has_offset = steps.needs_offset(response.status) or (response.upload and step.end)
            outcome = steps.responded(response.status, response.offset if has_offset else None)
            self._upload_number = response.upload or self._upload_number
            if outcome is not None:
                self._tus_outcome = outcome
                return response

    def _steps_of_page(self) -> TusSteps:
        """What the page's attempts know of its upload."""
        page, options = self._session.page, self._context.client.tus or TusOptions()
        if page != self._steps_page:
            size_bytes = self._context.size_of_page[page]
            self._steps = TusSteps(size_bytes, options.chunk_size, creates_with_upload=options.creation_with_upload)
            self._steps_page = page
        return self._steps

    def _make_upload(self, kind: RequestKind, method: str, start: int, size_bytes: int) -> SimulatedRequest:
        """A request with `size_bytes` bytes of the session's page, from `start` on."""
        context, session = self._context, self._session
        page = session.page
        form, number = context.plan.slots[page % len(context.plan.slots)]
        key = RequestKey(self._code, form, number, session.attempts, method, "upload")
        request = self._make_request(key, size_bytes)
        request.kind, request.page, request.offset = kind, page, start
        request.is_authorised = self._holds_valid_token()
        request.timeout_s = context.client.timeout
        if kind != "page":  # an attempt may take many requests: each one names the time that is left of it
            request.timeout_s -= self.clock.now_s - self._record.sent_s
        return request

    async def _send_page(self, record: AttemptRecord, request: SimulatedRequest) -> SimulatedResponse:
        head_bytes = HEAD_BYTES[self._context.client.protocol]
        try:
            return await self._connection.send(request, head_bytes)
        finally:
            self._note_sent(record, request, head_bytes)

    def _note_sent(self, record: AttemptRecord, request: SimulatedRequest, head_bytes: int) -> None:
        """Note how many bytes of a request have left the phone by now, and how many of them for another time."""
        sent = self._connection.sent_of(request)
        if sent == request.body_bytes:
            complete_s = request.complete_s if request.incoming is None else request.incoming.all_sent_s
            record.body_sent_s = min(complete_s, self.clock.now_s)
        record.sent_bytes += head_bytes + sent
        if request.page != self._resent_page:
            self._resent_page, self._reached = request.page, 0
        begin, end = request.offset, request.offset + sent
        record.resent_bytes += max(0, min(end, self._reached) - begin)
        self._reached = max(self._reached, end)

    def _make_request(self, key: RequestKey, body_bytes: int) -> SimulatedRequest:
        request = SimulatedRequest(self.clock, self._connection, key, self._context.network.server.faults)
        request.body_bytes = body_bytes
        return request

    def _time_out(self) -> None:
        self.throw(AttemptEnded(self._connection.timeout_outcome()))

    def _holds_valid_token(self) -> bool:
        server = self._context.network.server
        if not self._context.network.costs.logins:
            return True
        if self.clock.now_s >= self._token_until_s:
            return False
        return server.tokens_survive_restart or self._token_process == server.process
