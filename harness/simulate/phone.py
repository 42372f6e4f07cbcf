"""The phones of a simulation: each plays sessions in virtual time, as harness/drive/virtual_user.py does over sockets."""

from __future__ import annotations

from harness.base.model import DELIVERED, Outcome
from harness.run_folder.journal import AttemptRecord
from harness.simulate.clock import VirtualEvent, VirtualTask, cancel
from harness.simulate.connection import AttemptEnded
from harness.simulate.direct_requests import DirectLogin, DirectRequest, DirectUpload
from harness.simulate.phone_context import PhoneContext
from harness.simulate.station_client import LOGIN_BYTES, StationClient
from harness.station.response_outcome import classify_status
from harness.station.retry import RetryPolicy
from harness.station.session import Action, ClosedLoop, Session
from mock_server.faults.base import RequestKey

_ACKNOWLEDGING = DELIVERED | {Outcome.PENDING}
# Local names: Python 3.11 looks up the members of an Enum through its metaclass, see harness/station/session.py.
_WAIT, _ATTEMPT, _WITHHOLD, _GIVE_UP, _DONE = Action
_UNAUTHORIZED = 401


class Phone(VirtualTask):
    """One phone: serves a station of an open workload, or one station after another of a closed one.

    A session goes from attempt to attempt by events. An attempt of ordinary requests does too (see `DirectRequest`); any
    other one is a coroutine.
    """

    __slots__ = (
        "_client", "_connecting", "_context", "_is_beginning", "_limit", "_loop", "_record", "_request", "_session",
    )  # fmt: skip

    def __init__(self, context: PhoneContext) -> None:
        super().__init__(context.clock)
        self._context = context
        self._loop: ClosedLoop | None = None
        self._record: AttemptRecord | None = None
        """Of the attempt that is in flight."""
        self._connecting: VirtualEvent | None = None
        """While a connection is opened for a direct request."""
        self._request: DirectRequest | None = None
        """What is sent directly."""
        self._is_beginning = False

    # --- sessions

    def begin(self, station: int, due_s: float) -> None:
        """Serve one station, now."""
        self._begin_session(station, due_s)
        self._go_on()

    def begin_closed(self, loop: ClosedLoop, ended_s: float) -> None:
        """Serve the stations of a closed workload; the first think time counts from `ended_s`."""
        self._loop = loop
        if self._next_station(ended_s):
            self._go_on()

    def _next_station(self, ended_s: float | None) -> bool:
        """Go on with the next station of a closed workload; whether its session has begun by now."""
        loop = self._loop
        station = None if loop is None else loop.next(ended_s)
        if loop is None or station is None:
            self._context.on_done()
            return False
        if loop.due_s > self.clock.now_s:
            self.clock.call_at(loop.due_s, self._begin_later, station, loop.due_s)
            return False
        self._begin_planned(station, loop.due_s)
        return True

    def _begin_later(self, station: int, due_s: float) -> None:
        if not self._context.is_stopped:
            self._begin_planned(station, due_s)
            self._go_on()

    def _begin_planned(self, station: int, due_s: float) -> None:
        self._context.metrics.pages_due += len(self._context.plan.slots)
        self._begin_session(station, due_s)

    def _begin_session(self, station: int, due_s: float) -> None:
        context = self._context
        context.stations_begun += 1
        code = context.plan.stations[station].code
        self._client = StationClient(context, self, code)
        policy = RetryPolicy(context.client.retry, context.seed, code)
        self._session = Session(context.plan.pages_of(station), due_s, context.deadline_s, policy)

    def _go_on(self) -> None:
        """Do what the session says, until it has to wait for something."""
        context, clock = self._context, self.clock
        while not context.is_stopped:
            session = self._session
            action = session.next(clock.now_s)
            if action is _ATTEMPT:
                self._begin_attempt()
                if self._record is not None:
                    return
            elif action is _WAIT:
                clock.call_at(session.due_s, self._go_on)
                return
            elif action is _DONE:
                self._client.connection.hang_up()
                del self._client  # it refers to the phone, and while a simulation plays, nothing collects cycles
                context.metrics.stations_completed += session.completed
                if not self._next_station(session.ended_s):
                    return
            else:
                self._note(action)

    def _note(self, action: Action) -> None:
        """Write a decision of the session into the journal."""
        context, session = self._context, self._session
        if action is _WITHHOLD:
            context.attempts += 1
            record = AttemptRecord(Outcome.WITHHELD, page=session.page, attempt=session.row, due_s=session.due_s)
            context.journal.end(record)
        elif action is _GIVE_UP:
            context.journal.gave_up(session.page, session.attempts, session.decided_s, session.reason)

    # --- attempts

    def _begin_attempt(self) -> None:
        """Begin to send the session's page once."""
        context, session, clock = self._context, self._session, self.clock
        now_s = clock.now_s
        record = AttemptRecord(page=session.page, attempt=session.row, due_s=session.due_s, sent_s=now_s)
        context.in_flight[self] = self._record = record
        self._limit = clock.schedule_in_order(now_s + context.uploads.timeout_s, self._time_out)
        if now_s < context.direct_from_s:
            self._is_beginning = True
            self.start(self._attempt(record))
            self._is_beginning = False
        elif self._client.connection.is_open():
            self._go_on_connected(record)
        else:
            self._connect(record)

    async def _attempt(self, record: AttemptRecord) -> None:
        """Connect, log in and upload as far as needed, and take what comes of it."""
        client, session = self._client, self._session
        client.steps_outcome = None
        try:
            response = await client.prepare(record, session) or await client.send(record, session)
        except AttemptEnded as ended:
            client.connection.leave()
            self._fail(record, ended.outcome)
        else:
            record.queue_s, record.server_s = response.queue_s, response.server_s
            outcome = client.steps_outcome or classify_status(response.status)
            if not client.has_token and outcome in _ACKNOWLEDGING:
                outcome = Outcome.REJECTED  # of a login: never an acknowledgement
            self._take_response(record, outcome, response.status, response.retry_after_s)

    def ended(self) -> None:
        """The coroutine of an attempt has ended: go on, unless it has where it began."""
        if self._record is None and not self._is_beginning:
            self._go_on()

    def _take_response(self, record: AttemptRecord, outcome: Outcome, status: int, retry_after_s: float | None) -> None:
        """The attempt has ended with a response."""
        record.outcome = outcome
        record.status = status
        record.first_byte_s = self.clock.now_s
        if retry_after_s is not None:
            record.retry_after_s = retry_after_s
        if status == _UNAUTHORIZED:
            self._client.lose_token()
        self._end_attempt(record, retry_after_s)

    def _fail(self, record: AttemptRecord, outcome: Outcome) -> None:
        """The attempt has ended without a response."""
        record.outcome = outcome
        self._end_attempt(record, None)

    def _end_attempt(self, record: AttemptRecord, retry_after_s: float | None) -> None:
        """Write down how the attempt has ended, and let the session know."""
        context, session, now_s = self._context, self._session, self.clock.now_s
        cancel(self._limit)
        self._record = None
        record.done_s = now_s
        if context.closes_each:
            self._client.connection.hang_up()
        del context.in_flight[self]
        context.attempts += 1
        context.journal.end(record)
        if session.attempt_ended(record.outcome, record.status, retry_after_s, now_s):
            context.metrics.retry(record.outcome)

    def _time_out(self) -> None:
        record, request, client = self._record, self._request, self._client
        if record is None or not self.is_over:
            self.throw(AttemptEnded(client.connection.timeout_outcome()))
            return
        outcome = Outcome.TIMEOUT_CONNECT
        if self._connecting is not None:
            cancel(self._connecting)
            self._connecting = None
        if request is not None:
            self._request = None
            all_sent = client.connection.sent_of(request) >= request.body_bytes
            outcome = Outcome.TIMEOUT_RESPONSE if all_sent else Outcome.TIMEOUT_SEND
            if isinstance(request, DirectUpload):
                client.note_sent(record, request, request.page, 0)
        client.connection.leave()
        if request is not None:
            request.leave()
        self._fail(record, outcome)
        self._go_on()

    def stop(self) -> None:
        """Break off the attempt that is in flight; the server learns nothing of it."""
        cancel(self._limit)
        self._request = None
        if self._connecting is not None:
            cancel(self._connecting)
        self.abandon()

    # --- an attempt of direct requests

    def _connect(self, record: AttemptRecord) -> None:
        connection, now_s = self._client.connection, self.clock.now_s
        end_s = connection.opened_s(RequestKey(self._client.code, "", 0, self._session.attempts, "", ""))
        timeout_s = self._context.client.connect_timeout
        if timeout_s is not None and end_s > now_s + timeout_s:
            self._connecting = self.clock.schedule(now_s + timeout_s, self._give_up_connecting)
        elif end_s > now_s:
            self._connecting = self.clock.schedule(end_s, self._connected)
        else:
            self._try_connection(record)

    def _connected(self) -> None:
        self._connecting = None
        if self._record is not None and not self._try_connection(self._record):
            self._go_on()

    def _try_connection(self, record: AttemptRecord) -> bool:
        """Go on over the new connection; False if there is none, so that the attempt has ended."""
        failed = self._client.connection.take_new()
        if failed is not None:
            self._fail(record, failed)
            return False
        self._go_on_connected(record)
        return True

    def _give_up_connecting(self) -> None:
        self._connecting = None
        if self._record is not None:
            self._fail(self._record, Outcome.TIMEOUT_CONNECT)
            self._go_on()

    def _go_on_connected(self, record: AttemptRecord) -> None:
        record.connected_s = self.clock.now_s
        if self._client.has_token:
            self._send_page()
            return
        record.sent_bytes += LOGIN_BYTES
        login = DirectLogin(self._context.network.server, self, self._client.next_login(), LOGIN_BYTES)
        self._send_directly(login, 0.0)

    def _send_page(self) -> None:
        context, client, session = self._context, self._client, self._session
        page, shared = session.page, context.uploads
        upload = DirectUpload(
            shared, self, client.code, page, session.attempts, context.size_of_page[page], client.holds_valid_token()
        )
        self._send_directly(upload, shared.costs.parse_s)

    def _send_directly(self, request: DirectRequest, parse_s: float) -> None:
        self._request = request
        self._client.connection.schedule(request, parse_s)
        self.clock.schedule(request.began_s, request.begin)

    def receive_directly(self, request: DirectRequest) -> None:
        """The response has been sent."""
        if self._request is request:
            if self._client.link is None:
                self._take_directly(request)
            else:
                self.clock.call_at(self._client.connection.return_s(), self._take_directly, request)

    def _take_directly(self, request: DirectRequest) -> None:
        record = self._record
        if self._request is not request or record is None:
            return
        self._request, client = None, self._client
        if client.link is not None and request.complete_s > self.clock.now_s:
            # The server has refused before all was sent: what follows on the connection would not be understood.
            client.connection.leave()
            request.leave()
        if isinstance(request, DirectUpload):
            client.note_sent(record, request, request.page, 0)
            record.queue_s, record.server_s = request.queue_s, request.server_s
            status = request.status
            self._take_response(record, classify_status(status), status, request.retry_after_s)
            self._go_on()
        else:
            client.take_token()
            record.login_s = self.clock.now_s - record.connected_s
            self._send_page()
