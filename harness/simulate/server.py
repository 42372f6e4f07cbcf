"""The mock server in virtual time: its process and connections, and what it responds; harness/simulate/upload_work.py has uploads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from harness.base.model import Outcome
from harness.scenario.scenario import Scenario
from harness.simulate.clock import VirtualClock
from harness.simulate.costs import Costs
from harness.simulate.faults import VirtualFaults
from harness.simulate.incoming import IncomingRequest
from harness.simulate.page_store import PageStore
from harness.simulate.publication import HEAD_BYTES, NOT_MODIFIED_BYTES, Publication
from harness.simulate.request import SimulatedRequest
from harness.simulate.response import RequestKind, SimulatedResponse, refuse
from harness.simulate.resumable_uploads import ResumableUploads
from harness.simulate.tus_uploads import TusUploads
from harness.simulate.upload_work import UploadWork
from harness.simulate.virtual_line import VirtualEgress, VirtualIngress, VirtualTraffic
from mock_server.faults.faulted_request import ConnectionEnded, ProcessKilled, Refusal
from mock_server.faults.matching import Injection
from mock_server.overload.admission import Admission
from mock_server.overload.server_counters import ServerCounters
from mock_server.overload.worker_pool import WorkerPool
from mock_server.profile.routes import (
    FILE_ROUTE,
    FILES_ROUTE,
    LOGIN_ROUTE,
    NATION_ROUTE,
    PAGE_ROUTE,
    RESULTS_ROUTE,
    UPLOAD_ROUTE,
)

_ROUTES: dict[RequestKind, str] = {
    "login": LOGIN_ROUTE, "page": PAGE_ROUTE, "create": FILES_ROUTE, "head": FILE_ROUTE, "patch": FILE_ROUTE,
    "read": RESULTS_ROUTE,
}  # fmt: skip
_RESUMABLE_ROUTES: dict[RequestKind, str] = {
    **_ROUTES, "create": PAGE_ROUTE, "head": UPLOAD_ROUTE, "patch": UPLOAD_ROUTE,
}  # fmt: skip
_NOT_MODIFIED = 304
UPLOAD_RESPONSE_BYTES, LOGIN_RESPONSE_BYTES = 336, 229
"""Of the mock server's responses with their heads, measured."""
_RESPONSE_BODY = b'{"receipt":"0123456789abcdef","sha256":"%s","size":1600000}' % (b"0" * 64)
"""As long as that of a real receipt: faults that slow a response down act on its bytes."""
_RESPONSE_HEAD = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\nServer: mock\r\n\r\n"


class SimulatedServer:
    """The server under test. `begin` takes a request whose header has arrived; the response goes to its client."""

    def __init__(
        self, scenario: Scenario, clock: VirtualClock, store: PageStore, size_of_page: Sequence[int],
        log: Callable[[Injection], None],
    ) -> None:  # fmt: skip
        """`size_of_page` are the photos' bytes by row of the plan; `log` gets every injection of a fault."""
        self._scenario = scenario
        self._profile = scenario.server
        self.clock = clock
        self.store = store
        self._log = log
        self.costs = Costs(scenario.simulate, scenario.seed)
        self.work = UploadWork(self, scenario, self.costs, store, size_of_page, log)
        self._uploads: TusUploads | ResumableUploads = TusUploads(self, scenario, self.work)
        self._routes = _ROUTES
        if scenario.client.protocol == "resumable":
            self._uploads, self._routes = ResumableUploads(self, scenario, self.work), _RESUMABLE_ROUTES
        self.in_progress: dict[SimulatedRequest, None] = {}
        """In the order of their begin: a set would end them in another order in each process."""
        self.left_directly = 0
        """Direct requests in progress whose client has left (see `DirectRequest`)."""
        self._incoming: dict[SimulatedRequest, None] = {}
        """Requests whose header is on its way, and over an ingress with a rate all of which bytes are."""
        self._publication = Publication(store.plan, store, scenario.server.public_cache, clock)
        self._reads: dict[str, int] = {}
        """Reads so far, by path: the server counts them, and forgets them in a crash."""
        self._port_closers = 0
        self.is_up = False
        self.connection_epoch = 0
        """Counts how often all connections were lost: one that was opened in an earlier epoch is gone."""
        self.received_s = 0.0
        """When its process will have taken in what is under way on unlimited links: what is sent next comes behind it."""
        self.process = 0
        """Counts the server's processes: a crash begins another one."""
        self.connections = 0
        """Open ones, idle ones among them."""
        self.max_connections = scenario.server.max_connections
        self.body_timeout_s = scenario.server.body_timeout
        self.cancels_on_disconnect = scenario.server.cancel_on_disconnect
        self.token_lifetime_s = scenario.server.token_lifetime
        self.tokens_survive_restart = scenario.server.tokens_survive_restart
        self._handlers: dict[RequestKind, Callable[[SimulatedRequest], Awaitable[SimulatedResponse]]] = {
            "login": self._log_in,
            "page": self.work.upload,
            "create": self._uploads.create,
            "head": self._uploads.query,
            "patch": self._uploads.resume,
            "read": self._read,
        }
        self._start_process()

    # --- the process

    def _start_process(self) -> None:
        self.process += 1
        self.counters = ServerCounters()
        self.pool = WorkerPool(self._profile, self.clock)
        self.admission = Admission(self._profile, self.pool)
        self.faults = VirtualFaults(self._scenario.faults, self._scenario.seed, self.clock, self, self._log)
        self.counters.watch(self.pool, self.faults)
        self.traffic = self._make_traffic()
        self.counters.watch_traffic(self.traffic)
        self._port_closers = 0
        self.received_s = 0.0
        self.is_up = True

    def _make_traffic(self) -> VirtualTraffic:
        ingress, egress, clock = self._profile.ingress, self._profile.egress, self.clock
        return VirtualTraffic(
            None if ingress is None else VirtualIngress(ingress, clock),
            None if egress is None else VirtualEgress(egress, clock),
        )

    def begin_schedule(self) -> None:
        """T0: faults begin and end from now on."""
        self.faults.attach()

    @property
    def is_listening(self) -> bool:
        """Whether a connection would be accepted."""
        return self.is_up and not self._port_closers

    def close_port(self) -> None:
        """Stop listening on the data port and reset every connection."""
        self._port_closers += 1
        if self._port_closers == 1:
            self._lose_connections(lambda _request: Outcome.RESET)

    def open_port(self) -> None:
        """Listen again once everything that closed the port is over."""
        self._port_closers -= 1

    def kill(self, restart_after_s: float | None) -> None:
        """End the process as `kill -9` would, as the next event: a request of its own may be what asks for it."""
        self.clock.call_later(0.0, self._crash, restart_after_s)

    def cut_power(self, restart_after_s: float | None, *, torn: bool) -> None:  # noqa: ARG002
        """End the process as a power cut would: like `kill`, because the mock syncs whatever it acknowledges."""
        self.kill(restart_after_s)

    def _crash(self, restart_after_s: float | None) -> None:
        self.is_up = False
        self.faults.detach()
        for request in tuple(self.in_progress):
            request.abandon()
        # The kernel resets connections with unread bytes, and closes the others.
        self._lose_connections(
            lambda request: Outcome.RESET if request.complete_s > self.clock.now_s else Outcome.CLOSED
        )
        self.in_progress.clear()
        self.work.forget_deletions()
        if restart_after_s is not None:
            self.clock.call_later(restart_after_s + self.costs.restart_s, self._restart)

    def _restart(self) -> None:
        self._uploads.recover()
        self._publication.forget()
        self._reads.clear()
        self._start_process()
        self.faults.attach(again=True)

    def _lose_connections(self, outcome: Callable[[SimulatedRequest], Outcome]) -> None:
        self.connection_epoch += 1
        self.connections = 0
        for request in (*self.in_progress, *self._incoming, *self.traffic.responses):
            request.break_off(outcome(request))

    def connect(self) -> Outcome | None:
        """Open a connection; how that failed, or None."""
        if not self.is_listening:
            return Outcome.REFUSED
        if self.connections >= self.max_connections:
            return Outcome.CLOSED
        self.connections += 1
        return None

    def hang_up(self, epoch: int | None) -> None:
        """Close a connection that was opened in this epoch, unless all of those are gone."""
        if epoch == self.connection_epoch:
            self.connections -= 1

    # --- requests

    def accept(self, request: SimulatedRequest, incoming: IncomingRequest, parse_s: float) -> None:
        """Take a request that comes in over the ingress, from its first byte; `begin` follows when its header is in."""
        request.incoming, request.complete_s = incoming, float("inf")
        self._incoming[request] = None

        def end(has_left: bool) -> None:
            self._incoming.pop(request, None)
            request.sender_is_over(has_left)

        incoming.on_header = partial(self.clock.call_later, parse_s, self.begin, request)
        incoming.on_bytes, incoming.on_over = request.bytes_arrived, end

    def expect(self, request: SimulatedRequest) -> None:
        """Take a request that comes in over a line of its own: `begin` follows when its header is in."""
        self._incoming[request] = None
        self.clock.schedule(request.began_s, partial(self.begin, request))

    def begin(self, request: SimulatedRequest) -> None:
        """Process a request whose header has arrived; a client that has left by now is not known to the server."""
        if request.incoming is None:
            self._incoming.pop(request, None)
        if request.is_disconnected:
            return
        if not self.is_listening:  # the port has closed while the header was under way
            request.break_off(Outcome.RESET)
            return
        self.counters.active += 1
        self.in_progress[request] = None
        request.traffic = self.traffic
        request.start(self._serve(request))

    async def _serve(self, request: SimulatedRequest) -> None:
        begun_s, login = self.clock.now_s, request.key.phase == "login"
        counters = self.counters
        status: int | None = None
        try:
            response = await self._handlers[request.kind](request)
        except Refusal as refusal:
            response = refuse(refusal.status, refusal.retry_after_s)
        except ProcessKilled:
            return  # the crash is the next event, and ends this connection with all others
        except ConnectionEnded:
            response = None
        if response is not None and not request.is_disconnected:
            try:
                await self._answer(request, response, 0.0 if login else self.costs.answer_s(request.key))
            except ProcessKilled:
                return
            status = request.sent_status
        counters.active -= 1
        self.in_progress.pop(request, None)
        request.release_hits()
        if request.incoming is None:
            self.traffic.unlimited_bytes += request.head_bytes + request.arrived_bytes
        else:
            request.incoming.discard()
        route = NATION_ROUTE if request.path == NATION_ROUTE else self._routes[request.kind]
        counters.request(request.key.method, route, status, self.clock.now_s - begun_s)

    async def _answer(self, request: SimulatedRequest, response: SimulatedResponse, cost_s: float) -> None:
        request.response_bytes = self._response_bytes(request, response)
        if request.hits:
            body = bytes(request.response_bytes - HEAD_BYTES) if request.kind == "read" else _RESPONSE_BODY
            raw = _RESPONSE_HEAD % (response.status, len(body)) + body
            if await request.answer(response, raw):
                if not request.is_answered:
                    request.deliver()
                return
        await request.sleep_until(self.clock.now_s + cost_s)
        request.response = response
        request.deliver()

    def _response_bytes(self, request: SimulatedRequest, response: SimulatedResponse) -> int:
        """How long a response is with its head, as the mock server's are."""
        if request.kind != "read" or not response.snapshot:
            return LOGIN_RESPONSE_BYTES if request.kind == "login" else UPLOAD_RESPONSE_BYTES
        if response.status == _NOT_MODIFIED:
            return NOT_MODIFIED_BYTES
        return HEAD_BYTES + self._publication.body_bytes(request.path)

    def count_read(self, path: str) -> int:
        """Which read of this path comes now: the first is 1."""
        self._reads[path] = self._reads.get(path, 0) + 1
        return self._reads[path]

    async def _read(self, request: SimulatedRequest) -> SimulatedResponse:
        if self.faults.has("request"):
            await request.meet_faults()
        shown = self._publication.snapshot()
        return SimulatedResponse(_NOT_MODIFIED if shown == request.snapshot else 200, snapshot=shown)

    async def _log_in(self, request: SimulatedRequest) -> SimulatedResponse:
        await request.meet_faults()
        await request.sleep_until(self.clock.now_s + self.costs.login_s(request.key))
        return SimulatedResponse(200)

    # --- the end

    def begin_drain(self) -> None:
        """Heal the faults, and delete what faults have scheduled for deletion."""
        self.faults.heal()
        self.work.delete_scheduled()

    def drop_disconnected(self) -> None:
        """Drop the waiting jobs whose client has left."""
        self.counters.dropped += self.pool.drop_disconnected()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in progress whose client is still there, or that a worker has."""
        waits = any(not request.is_disconnected for request in self.in_progress)
        waits_directly = self.counters.active - len(self.in_progress) > self.left_directly
        return not (waits or waits_directly or self.pool.depth or self.pool.busy)
