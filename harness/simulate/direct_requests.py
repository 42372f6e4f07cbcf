"""Ordinary requests at the simulated server: the path of a `SimulatedRequest`, event by event, without a coroutine.

Nearly all requests of a large simulation are logins and uploads of whole pages, over lines without a rate, to a server whose
faults leave requests alone. For those a coroutine and the task around it cost three times what is done in them. Each
method here is what happens at one moment. Tests hold the two ways to the same bytes.
"""

from __future__ import annotations

from typing import Protocol

from harness.simulate.body import arrived_bytes
from harness.simulate.clock import VirtualTimer
from harness.simulate.costs import FixedCosts
from harness.simulate.incoming import IncomingRequest
from harness.simulate.server import LOGIN_RESPONSE_BYTES, UPLOAD_RESPONSE_BYTES, SimulatedServer
from mock_server.faults.base import RequestKey
from mock_server.overload.worker_pool import JobEnd, Timer
from mock_server.profile.routes import LOGIN_ROUTE, PAGE_ROUTE
from mock_server.profile.units import whole_retry_after_s

# Local names: Python 3.11 looks up the members of an Enum through its metaclass, see harness/station/session.py.
_SERVED, _CANCELLED, _DROPPED = JobEnd.SERVED, JobEnd.CANCELLED, JobEnd.DROPPED


class DirectClient(Protocol):
    """The client's side of a direct request."""

    def receive_directly(self, request: DirectRequest) -> None:
        """The response has been sent: it arrives after the way back."""


class DirectRequest:
    """A request that goes on when its client has left. Its client lets the clock call `begin` at `began_s`.

    The response is noted on the request itself: `status` and what follows it.
    """

    # What most requests never change belongs to the class: there are millions of requests, and an assignment has its cost.
    head_bytes = body_bytes = 0
    read_bytes = 0
    """Bytes of the body that the server has taken: none, or all."""
    incoming: IncomingRequest | None = None
    began_s = complete_s = 0.0
    has_left = False
    """Whether the client has closed the connection."""
    status = 200
    retry_after_s: float | None = None
    """In whole seconds, as the header has it."""
    queue_s = server_s = float("nan")
    """As Server-Timing has them."""
    _is_in_progress = False
    """From its header to its response."""
    _begun_s = 0.0

    def __init__(self, server: SimulatedServer, client: DirectClient, key: RequestKey) -> None:
        self._server = server
        self._client = client
        self.key = key

    def begin(self) -> None:
        """The header has arrived."""
        raise NotImplementedError

    def leave(self) -> None:
        """The client closes the connection."""
        self.has_left = True
        if self._is_in_progress:
            self._server.direct_requests -= 1

    def _respond_and_end(self, route: str, size_bytes: int) -> None:
        """Send the response, unless the client has left, and count the request as over."""
        server, status = self._server, None
        if not self.has_left:
            status = self.status
            server.traffic.sent_bytes += size_bytes
            self._client.receive_directly(self)
        self._end(route, status)

    def _end(self, route: str, status: int | None) -> None:
        """Count the request as over; `status` is what its client was sent, None for nothing."""
        self._is_in_progress = False
        server = self._server
        counters, now_s = server.counters, server.clock.now_s
        counters.active -= 1
        if not self.has_left:
            server.direct_requests -= 1
        server.traffic.unlimited_bytes += self.head_bytes + (self.read_bytes or arrived_bytes(self, now_s))
        counters.request(self.key.method, route, status, now_s - self._begun_s)


class DirectLogin(DirectRequest):
    """A request for a token."""

    def begin(self) -> None:
        """The header has arrived."""
        if self.has_left:
            return
        server = self._server
        server.counters.active += 1
        server.direct_requests += 1
        self._is_in_progress = True
        now_s = self._begun_s = server.clock.now_s
        end_s = now_s + server.costs.login_s(self.key)
        if end_s <= now_s:
            self._answer()
        else:
            server.clock.schedule(end_s, self._answer)

    def _answer(self) -> None:
        self._respond_and_end(LOGIN_ROUTE, LOGIN_RESPONSE_BYTES)


class DirectUpload(DirectRequest):
    """An upload of a whole page; implements `PoolJob` for the work on it."""

    latest_start_s: float | None = None
    started_s: float | None = None
    enqueued_s = ended_s = expected_s = 0.0
    timer: Timer | None = None
    is_authorised = True
    _is_at_work = False
    """From joining the queue to the end of the work."""
    _body_timer: VirtualTimer | None = None
    _worked_s = 0.0

    def __init__(
        self, server: SimulatedServer, costs: FixedCosts, client: DirectClient, key: RequestKey, page: int, head_bytes: int,
        body_bytes: int, timeout_s: float,
    ) -> None:  # fmt: skip
        """`page` is the page's row in the plan, `timeout_s` the header Upload-Timeout."""
        self._server = server
        self._costs = costs
        self._client = client
        self.key = key
        self.page = page
        self.head_bytes = head_bytes
        self.body_bytes = body_bytes
        self.timeout_s = timeout_s

    def begin(self) -> None:
        """The header has arrived."""
        if self.has_left:
            return
        server = self._server
        server.counters.active += 1
        server.direct_requests += 1
        self._is_in_progress = True
        now_s = self._begun_s = server.clock.now_s
        if not self.is_authorised:
            self._refuse(401)
            return
        reason = server.admission.refusal(self.timeout_s)
        if reason is not None:
            self._shed(reason)
            return
        end_s, limit_s = self.complete_s, now_s + server.body_timeout_s
        end_s = min(end_s, limit_s)
        if end_s <= now_s:
            self._take_body()
        else:
            self._body_timer = server.clock.call_at(end_s, self._take_body)

    def leave(self) -> None:
        """The client closes the connection: work goes on unless it waits for the client."""
        self.has_left = True
        server = self._server
        if self._is_in_progress:
            server.direct_requests -= 1
        if self._is_at_work:
            if server.cancels_on_disconnect:
                server.pool.cancel(self)
        elif self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = server.clock.call_later(0.0, self._take_body)

    def _take_body(self) -> None:
        """The body is in, takes too long, or does not come any more."""
        self._body_timer = None
        server = self._server
        if server.clock.now_s < self.complete_s:
            if self.has_left:
                self._end(PAGE_ROUTE, None)
            else:
                self._refuse(408)
            return
        self.read_bytes = self.body_bytes
        reason = server.admission.refusal(self.timeout_s)  # again: others may have filled the queue while the body came
        if reason is not None:
            self._shed(reason)
            return
        self.latest_start_s = server.admission.latest_start_s(self.timeout_s)
        self._is_at_work = True
        server.pool.submit(self)

    # --- the work (PoolJob)

    def service_s(self) -> float:
        """How long the worker will need."""
        return self._server.work.service_s(self.key, self.page)

    def is_disconnected(self) -> bool:
        """Whether its client no longer waits for the response."""
        return self.has_left

    def on_end(self, _job: object, end: JobEnd) -> None:
        """The work is done, or will not be."""
        self._is_at_work = False
        server = self._server
        if end is _SERVED:
            server.counters.served(self.expected_s, is_wasted=self.has_left)
            self._worked_s = now_s = server.clock.now_s
            end_s = now_s + self._costs.commit_s
            if end_s <= now_s:
                self._commit()
            else:
                server.clock.schedule(end_s, self._commit)
        elif end is _CANCELLED:
            self._end(PAGE_ROUTE, None)
        elif end is _DROPPED:
            self._refuse(503)
        else:
            self._shed(end.value)

    def _commit(self) -> None:
        server, worked_s, enqueued_s = self._server, self._worked_s, self.enqueued_s
        self.status = server.work.store_page(self.page)
        self.queue_s = queue_s = 0.0 if self.started_s is None else self.started_s - enqueued_s
        # In the order in which a SimulatedRequest's response adds up: to the last bit the same.
        self.server_s = worked_s - enqueued_s - queue_s + server.clock.now_s - worked_s
        self._respond()

    # --- the response

    def _shed(self, reason: str) -> None:
        pause_s = self._server.work.shed(self.key, reason)
        self.retry_after_s = None if pause_s is None else whole_retry_after_s(pause_s)
        self._refuse(503)

    def _refuse(self, status: int) -> None:
        self.status = status
        self._respond()

    def _respond(self) -> None:
        """Make the response, which takes a moment, unless the client has left."""
        if self.has_left:
            self._end(PAGE_ROUTE, None)
            return
        clock = self._server.clock
        now_s = clock.now_s
        end_s = now_s + self._costs.answer_s
        if end_s <= now_s:
            self._answer()
        else:
            clock.schedule(end_s, self._answer)

    def _answer(self) -> None:
        self._respond_and_end(PAGE_ROUTE, UPLOAD_RESPONSE_BYTES)
