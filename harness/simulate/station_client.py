"""One station as the simulated server's client: its connection and token, what it has sent, and the requests of an attempt."""

from __future__ import annotations

from harness.base.model import Outcome
from harness.run_folder.journal import AttemptRecord
from harness.scenario.client import ResumableOptions, TusOptions
from harness.simulate.body import Body
from harness.simulate.clock import VirtualTask
from harness.simulate.connection import PhoneConnection
from harness.simulate.phone_context import PhoneContext
from harness.simulate.request import SimulatedRequest
from harness.simulate.response import RequestKind, SimulatedResponse
from harness.station.link import draw_link_model
from harness.station.resumable_steps import ResumableResponse, ResumableSteps
from harness.station.session import Session
from harness.station.tus_steps import TusSteps
from mock_server.faults.base import RequestKey

HEAD_BYTES = {"multipart": 640, "put": 420, "tus": 420, "resumable": 500}
"""Bytes of a request besides the photo, about: headers, and of a form its parts' headers."""
LOGIN_BYTES = 190
_TUS_METHODS = {"create": "POST", "head": "HEAD", "patch": "PATCH"}
_RESUMABLE_STEPS: dict[str, tuple[RequestKind, str]] = {
    "create": ("create", "PUT"), "head": ("head", "HEAD"), "append": ("patch", "PATCH"),
}  # fmt: skip
"""What a step is to the server, and its method. None is a cancellation: the server takes photos of every planned length."""
_CONFLICT = 409
_BAD_REQUEST = 400


class StationClient:
    """What a phone is to the server while it serves one station. Its coroutines are run by the phone's task."""

    __slots__ = (
        "_context", "_logins", "_reached", "_resent_page", "_resumable_steps", "_steps", "_steps_page", "_task", "_token_process", "_token_until_s",
        "_upload_number", "code", "connection", "link", "steps_outcome",
    )  # fmt: skip

    def __init__(self, context: PhoneContext, task: VirtualTask, code: str) -> None:
        """`code` is the station's."""
        self._context = context
        self._task = task
        self.code = code
        options = context.client.link
        self.link = None if options == "unlimited" else draw_link_model(options, context.seed, code)
        self.connection = PhoneConnection(context.network, task, self.link)
        self.steps_outcome: Outcome | None = None
        """What the steps of a resumable upload make of their last response."""
        self._token_until_s = -1.0 if context.network.costs.logins else float("inf")
        self._token_process = self._logins = self._reached = 0
        self._resent_page = self._steps_page = -1
        self._upload_number = 0

    def key_of(self, page: int, attempt: int, method: str) -> RequestKey:
        """What a request for a page (row of the plan) is about."""
        slots = self._context.plan.slots
        form, number = slots[page % len(slots)]
        return RequestKey(self.code, form, number, attempt, method, "upload")

    # --- the token

    @property
    def has_token(self) -> bool:
        """Whether it need not log in: it has a token that it knows no better of than that it is valid."""
        return self._token_until_s >= 0

    def next_login(self) -> RequestKey:
        """What the next login is about."""
        server = self._context.network.server
        if self._token_process != server.process:  # the server counts logins, and forgets them in a crash
            self._logins, self._token_process = 0, server.process
        self._logins += 1
        return RequestKey(self.code, "", 0, self._logins, "POST", "login")

    def take_token(self) -> None:
        """The login has succeeded."""
        self._token_until_s = self._task.clock.now_s + self._context.network.server.token_lifetime_s

    def lose_token(self) -> None:
        """The server knows the token no more: the next attempt logs in again."""
        self._token_until_s = -1.0

    def holds_valid_token(self) -> bool:
        """Whether the server accepts the token now."""
        if not self._context.network.costs.logins:
            return True
        server = self._context.network.server
        if self._task.clock.now_s >= self._token_until_s:
            return False
        return server.tokens_survive_restart or self._token_process == server.process

    # --- the requests of an attempt

    async def prepare(self, record: AttemptRecord, session: Session) -> SimulatedResponse | None:
        """Connect and log in as far as needed; the response of a login that failed. Raises AttemptEnded."""
        if not self.connection.is_open():
            await self.connection.open(RequestKey(self.code, "", 0, session.attempts, "", ""))
        record.connected_s = self._task.clock.now_s
        if not self.has_token:
            response = await self._log_in(record)
            if response.status >= _BAD_REQUEST:
                return response
        return None

    async def _log_in(self, record: AttemptRecord) -> SimulatedResponse:
        began_s = self._task.clock.now_s
        record.sent_bytes += LOGIN_BYTES
        request = self._make_request(self.next_login(), 0)
        request.kind = "login"
        response = await self.connection.send(request, LOGIN_BYTES)
        if response.status < _BAD_REQUEST:
            self.take_token()
            record.login_s = self._task.clock.now_s - began_s
        return response

    async def send(self, record: AttemptRecord, session: Session) -> SimulatedResponse:
        """Send the page, or what is missing of it; the response that decides what became of it. Raises AttemptEnded."""
        context = self._context
        if context.client.protocol == "tus":
            return await self._send_by_tus(record, session)
        if context.client.protocol == "resumable":
            return await self._send_resumably(record, session)
        size_bytes = context.size_of_page[session.page]
        return await self._send_page(record, self._make_upload(session, "page", context.page_method, 0, size_bytes))

    async def _send_by_tus(self, record: AttemptRecord, session: Session) -> SimulatedResponse:
        """The upload by tus: request after request, as harness/station/tus_steps.py decides."""
        steps = self._steps_of(session.page)
        steps.begin_attempt()
        while True:
            step = steps.next()
            size_bytes = step.end - step.start
            request = self._make_upload(session, step.kind, _TUS_METHODS[step.kind], step.start, size_bytes)
            # An attempt may take many requests: each one names the time that is left of it.
            request.timeout_s = self._context.client.timeout - (self._task.clock.now_s - record.sent_s)
            request.upload = self._upload_number
            response = await self._send_page(record, request)
            has_offset = steps.needs_offset(response.status) or (response.upload and step.end)
            outcome = steps.responded(response.status, response.offset if has_offset else None)
            self._upload_number = response.upload or self._upload_number
            if outcome is not None:
                self.steps_outcome = outcome
                return response

    async def _send_resumably(self, record: AttemptRecord, session: Session) -> SimulatedResponse:
        """The upload by the IETF's draft: request after request, as harness/station/resumable_steps.py decides."""
        steps = self._resumable_steps_of(session.page)
        steps.begin_attempt()
        while True:
            step = steps.next()
            kind, method = _RESUMABLE_STEPS[step.kind]
            request = self._make_upload(session, kind, method, step.start, step.end - step.start)
            request.timeout_s = self._context.client.timeout - (self._task.clock.now_s - record.sent_s)
            request.upload, request.completes = self._upload_number, step.completes
            try:
                response = await self._send_page(record, request)
            finally:
                if request.announced:  # it came while the photo was still on its way
                    self._upload_number = request.announced
                    steps.announced(None)
            names_offset = response.status < _BAD_REQUEST or response.status == _CONFLICT
            outcome = steps.responded(
                ResumableResponse(
                    response.status,
                    response.is_complete,
                    response.offset if names_offset else None,
                    has_location=bool(response.upload),
                )
            )
            self._upload_number = response.upload or self._upload_number
            if outcome is not None:
                self.steps_outcome = outcome
                return response

    def _resumable_steps_of(self, page: int) -> ResumableSteps:
        """What the attempts of a page know of its upload."""
        options = self._context.client.resumable or ResumableOptions()
        if page != self._steps_page:
            size_bytes, careful = self._context.size_of_page[page], options.creation == "careful"
            self._resumable_steps = ResumableSteps(size_bytes, options.chunk_size, creates_empty=careful)
            self._steps_page = page
        return self._resumable_steps

    def _steps_of(self, page: int) -> TusSteps:
        """What the attempts of a page know of its upload."""
        options = self._context.client.tus or TusOptions()
        if page != self._steps_page:
            size_bytes = self._context.size_of_page[page]
            self._steps = TusSteps(size_bytes, options.chunk_size, creates_with_upload=options.creation_with_upload)
            self._steps_page = page
        return self._steps

    def _make_upload(
        self, session: Session, kind: RequestKind, method: str, start: int, size_bytes: int
    ) -> SimulatedRequest:  # fmt: skip
        """A request with `size_bytes` bytes of the session's page, from `start` on."""
        request = self._make_request(self.key_of(session.page, session.attempts, method), size_bytes)
        request.kind, request.page, request.offset = kind, session.page, start
        request.is_authorised = self.holds_valid_token()
        request.timeout_s = self._context.client.timeout
        return request

    def _make_request(self, key: RequestKey, body_bytes: int) -> SimulatedRequest:
        request = SimulatedRequest(self._task.clock, self.connection, key, self._context.network.server.faults)
        request.body_bytes = body_bytes
        return request

    async def _send_page(self, record: AttemptRecord, request: SimulatedRequest) -> SimulatedResponse:
        try:
            return await self.connection.send(request, self._context.page_head_bytes)
        finally:
            self.note_sent(record, request, request.page, request.offset)

    def note_sent(self, record: AttemptRecord, request: Body, page: int, offset: int) -> None:
        """Note how many bytes of a page's request have left the phone by now, and how many of them for another time."""
        now_s, body_bytes = self._task.clock.now_s, request.body_bytes
        # What the server has taken whole has been sent: so it is with nearly all of them.
        sent = body_bytes if 0 < body_bytes == request.read_bytes else self.connection.sent_of(request)
        if sent == body_bytes:
            complete_s = request.complete_s if request.incoming is None else request.incoming.all_sent_s
            record.body_sent_s = min(complete_s, now_s)
        record.sent_bytes += request.head_bytes + sent
        if page != self._resent_page:
            self._resent_page, self._reached = page, offset + sent
            return
        record.resent_bytes += max(0, min(offset + sent, self._reached) - offset)
        self._reached = max(self._reached, offset + sent)
