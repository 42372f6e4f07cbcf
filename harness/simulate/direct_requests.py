"""Ordinary requests at the simulated server: the path of a `SimulatedRequest`, event by event, without a coroutine.

Nearly all requests of a large simulation are logins and uploads of whole pages, over lines without a rate, to a server whose
faults leave requests alone. For those a coroutine and the task around it cost three times what is done in them. Each
method here is what happens at one moment. Tests hold the two ways to the same bytes.

There are millions of requests: they have slots, and what all of them share stands in one `DirectUploads`.
"""

from __future__ import annotations

from typing import Protocol

from harness.simulate.body import arrived_bytes
from harness.simulate.clock import VirtualEvent, cancel
from harness.simulate.costs import FixedCosts
from harness.simulate.incoming import IncomingRequest
from harness.simulate.server import LOGIN_RESPONSE_BYTES, UPLOAD_RESPONSE_BYTES, SimulatedServer
from mock_server.faults.base import RequestKey
from mock_server.overload.service_time import page_label
from mock_server.overload.worker_pool import JobEnd, Timer
from mock_server.profile.routes import LOGIN_ROUTE, PAGE_ROUTE
from mock_server.profile.units import whole_retry_after_s

# Local names: Python 3.11 looks up the members of an Enum through its metaclass, see harness/station/session.py.
_SERVED, _CANCELLED, _DROPPED = JobEnd.SERVED, JobEnd.CANCELLED, JobEnd.DROPPED
_NAN = float("nan")


class DirectClient(Protocol):
    """The client's side of a direct request."""

    def receive_directly(self, request: DirectRequest) -> None:
        """The response has been sent: it arrives after the way back."""


class DirectRequest:
    """A request that goes on when its client has left. Its client lets the clock call `begin` at `began_s`.

    The response is noted on the request itself: `status` and what follows it.
    """

    __slots__ = (
        "_begun_s", "_client", "_is_in_progress", "_server", "began_s", "body_bytes", "complete_s", "has_left", "head_bytes", "read_bytes",
        "status",
    )  # fmt: skip

    incoming: IncomingRequest | None = None
    _begun_s: float

    def __init__(self, server: SimulatedServer, client: DirectClient, head_bytes: int, body_bytes: int) -> None:
        self._server = server
        self._client = client
        self.head_bytes = head_bytes
        self.body_bytes = body_bytes
        self.read_bytes = 0
        """Bytes of the body that the server has taken: none, or all."""
        self.has_left = False
        """Whether the client has closed the connection."""
        self._is_in_progress = False
        """From its header to its response."""
        self.began_s = self.complete_s = 0.0
        self.status = 200

    def begin(self) -> None:
        """The header has arrived."""
        raise NotImplementedError

    def leave(self) -> None:
        """The client closes the connection."""
        self.has_left = True
        self._server.left_directly += self._is_in_progress

    def _end(self, method: str, route: str, response_bytes: int) -> None:
        """Count the request as over, and send the response unless the client has left."""
        self._is_in_progress = False
        server = self._server
        counters, traffic, now_s = server.counters, server.traffic, server.clock.now_s
        counters.active -= 1
        traffic.unlimited_bytes += self.head_bytes + (self.read_bytes or arrived_bytes(self, now_s))
        if self.has_left:
            server.left_directly -= 1
            counters.request(method, route, None, now_s - self._begun_s)
            return
        traffic.sent_bytes += response_bytes
        counters.request(method, route, self.status, now_s - self._begun_s)
        self._client.receive_directly(self)


class DirectLogin(DirectRequest):
    """A request for a token."""

    __slots__ = ("_key",)

    def __init__(self, server: SimulatedServer, client: DirectClient, key: RequestKey, head_bytes: int) -> None:
        super().__init__(server, client, head_bytes, 0)
        self._key = key

    def begin(self) -> None:
        """The header has arrived."""
        if self.has_left:
            return
        server = self._server
        server.counters.active += 1
        self._is_in_progress = True
        self._begun_s = now_s = server.clock.now_s
        end_s = now_s + server.costs.login_s(self._key)
        if end_s <= now_s:
            self._answer()
        else:
            server.clock.schedule(end_s, self._answer)

    def _answer(self) -> None:
        self._end("POST", LOGIN_ROUTE, LOGIN_RESPONSE_BYTES)


class DirectUploads:
    """What the direct uploads of one simulation share."""

    __slots__ = ("costs", "head_bytes", "labels", "method", "server", "slots", "timeout_s")

    def __init__(
        self, server: SimulatedServer, costs: FixedCosts, slots: tuple[tuple[str, int], ...], method: str, head_bytes: int,
        timeout_s: float,
    ) -> None:  # fmt: skip
        """`slots` are the (form, page) of a station, `timeout_s` is the header Upload-Timeout."""
        self.server = server
        self.costs = costs
        self.slots = slots
        self.labels = [page_label(form, page) for form, page in slots]
        self.method = method
        self.head_bytes = head_bytes
        self.timeout_s = timeout_s


class DirectUpload(DirectRequest):
    """An upload of a whole page; implements `PoolJob` for the work on it."""

    __slots__ = (
        "_attempt", "_body_event", "_is_at_work", "_shared", "_station", "_worked_s", "ended_s", "enqueued_s", "expected_s",
        "is_authorised", "latest_start_s", "page", "queue_s", "retry_after_s", "server_s", "started_s", "timer",
    )  # fmt: skip

    latest_start_s: float | None
    enqueued_s: float
    expected_s: float
    ended_s: float

    def __init__(
        self, shared: DirectUploads, client: DirectClient, station: str, page: int, attempt: int, body_bytes: int,
        is_authorised: bool,
    ) -> None:  # fmt: skip
        """`station` is the station's code, `page` the page's row in the plan."""
        self._shared = shared
        self._server = shared.server
        self._client = client
        self._station = station
        self._attempt = attempt
        self.page = page
        self.head_bytes = shared.head_bytes
        self.body_bytes = body_bytes
        self.is_authorised = is_authorised
        self.read_bytes = 0
        self.has_left = self._is_in_progress = self._is_at_work = False
        self._body_event: VirtualEvent | None = None
        self.started_s: float | None = None
        self.timer: Timer | None = None
        self.retry_after_s: float | None = None
        """In whole seconds, as the header has it."""
        self.queue_s = self.server_s = _NAN
        """As Server-Timing has them."""

    @property
    def key(self) -> RequestKey:
        """What the request is about."""
        shared = self._shared
        form, page = shared.slots[self.page % len(shared.slots)]
        return RequestKey(self._station, form, page, self._attempt, shared.method, "upload")

    def begin(self) -> None:
        """The header has arrived."""
        if self.has_left:
            return
        server = self._server
        clock = server.clock
        server.counters.active += 1
        self._is_in_progress = True
        self._begun_s = now_s = clock.now_s
        if not self.is_authorised:
            self._respond(401)
            return
        reason = server.admission.refusal(self._shared.timeout_s)
        if reason is not None:
            self._shed(reason)
            return
        end_s, limit_s = self.complete_s, now_s + server.body_timeout_s
        if limit_s < end_s:  # noqa: PLR1730 - min() is a call
            end_s = limit_s
        if end_s <= now_s:
            self._take_body()
        else:
            self._body_event = clock.schedule(end_s, self._take_body)

    def leave(self) -> None:
        """The client closes the connection: work goes on unless it waits for the client."""
        super().leave()
        server = self._server
        if self._is_at_work:
            if server.cancels_on_disconnect:
                server.pool.cancel(self)
        elif self._body_event is not None:
            cancel(self._body_event)
            self._body_event = server.clock.schedule(server.clock.now_s, self._take_body)

    def _take_body(self) -> None:
        """The body is in, takes too long, or does not come any more."""
        self._body_event = None
        server = self._server
        if server.clock.now_s < self.complete_s:
            self._respond(408)
            return
        self.read_bytes = self.body_bytes
        admission, timeout_s = server.admission, self._shared.timeout_s
        reason = admission.refusal(timeout_s)  # again: others may have filled the queue while the body came
        if reason is not None:
            self._shed(reason)
            return
        self.latest_start_s = admission.latest_start_s(timeout_s)
        self._is_at_work = True
        server.pool.submit(self)

    # --- the work (PoolJob)

    def service_s(self) -> float:
        """How long the worker will need."""
        labels = self._shared.labels
        label = f"{self._station}{labels[self.page % len(labels)]}{self._attempt}"
        return self._server.work.service_s(self, label, self.body_bytes)

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
            end_s = now_s + self._shared.costs.commit_s
            if end_s <= now_s:
                self._commit()
            else:
                server.clock.schedule(end_s, self._commit)
        elif end is _CANCELLED:
            self._answer()
        elif end is _DROPPED:
            self._respond(503)
        else:
            self._shed(end.value)

    def _commit(self) -> None:
        server, worked_s, enqueued_s = self._server, self._worked_s, self.enqueued_s
        self.queue_s = queue_s = 0.0 if self.started_s is None else self.started_s - enqueued_s
        # In the order in which a SimulatedRequest's response adds up: to the last bit the same.
        self.server_s = worked_s - enqueued_s - queue_s + server.clock.now_s - worked_s
        self._respond(server.work.store_page(self.page))

    # --- the response

    def _shed(self, reason: str) -> None:
        pause_s = self._server.work.shed(self.key, reason)
        self.retry_after_s = None if pause_s is None else whole_retry_after_s(pause_s)
        self._respond(503)

    def _respond(self, status: int) -> None:
        """Make the response, which takes a moment, unless the client has left."""
        self.status = status
        clock = self._server.clock
        now_s = clock.now_s
        end_s = now_s + self._shared.costs.answer_s
        if self.has_left or end_s <= now_s:
            self._answer()
        else:
            clock.schedule(end_s, self._answer)

    def _answer(self) -> None:
        self._end(self._shared.method, PAGE_ROUTE, UPLOAD_RESPONSE_BYTES)
