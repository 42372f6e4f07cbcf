"""The mock server in virtual time: the path of an upload as mock_server/upload/pipeline.py has it, without bytes.

Admission, pool, service times, faults and the rules for duplicates are the mock server's own modules. What is added for
the work that is left out (parsing, committing, answering) comes from the scenario's table [simulate].
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from harness.base.model import Outcome
from harness.scenario.scenario import Scenario
from harness.simulate.clock import VirtualClock, VirtualTimer
from harness.simulate.costs import Costs
from harness.simulate.faults import VirtualFaults
from harness.simulate.incoming import IncomingRequest
from harness.simulate.page_store import PageStore, StoredRow
from harness.simulate.publication import HEAD_BYTES, NOT_MODIFIED_BYTES, Publication
from harness.simulate.request import RequestKind, SimulatedRequest, SimulatedResponse
from harness.simulate.resumable import ResumableUploads, SimulatedUpload
from harness.simulate.virtual_line import VirtualEgress, VirtualIngress, VirtualTraffic
from mock_server.faults.faulted_request import ConnectionEnded, ProcessKilled, Refusal
from mock_server.faults.matching import Hit, Injection
from mock_server.overload.admission import Admission
from mock_server.overload.server_counters import ServerCounters
from mock_server.overload.service_time import ServiceTimes
from mock_server.overload.worker_pool import Job, JobEnd, WorkerPool
from mock_server.profile.keyed_random import keyed_uniform
from mock_server.profile.routes import FILE_ROUTE, FILES_ROUTE, LOGIN_ROUTE, NATION_ROUTE, PAGE_ROUTE, RESULTS_ROUTE
from mock_server.profile.units import whole_retry_after_s

_FATAL_STATUSES = {400, 409, 422}
"""Refusals that sending the last bytes again cannot cure: the upload is removed."""
_ROUTES: dict[RequestKind, str] = {
    "login": LOGIN_ROUTE, "page": PAGE_ROUTE, "create": FILES_ROUTE, "head": FILE_ROUTE, "patch": FILE_ROUTE,
    "read": RESULTS_ROUTE,
}  # fmt: skip
_NOT_MODIFIED = 304
_UPLOAD_RESPONSE_BYTES, _LOGIN_RESPONSE_BYTES = 336, 229
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
        self._clock = clock
        self.store = store
        self._sizes = size_of_page
        self._log = log
        self._costs = Costs(scenario.simulate, scenario.seed)
        self._service_times = ServiceTimes(scenario.server, scenario.seed)
        self._in_progress: dict[SimulatedRequest, None] = {}
        """In the order of their begin: a set would end them in another order in each process."""
        self._uploads = ResumableUploads(scenario.server.upload_lifetime)
        self._checks_chunks = scenario.client.tus is not None and scenario.client.tus.checksum != "none"
        self._deletes: dict[int, tuple[VirtualTimer, SimulatedRequest, float]] = {}
        """Scheduled deletions by number: their timer, whose copies, and the moment of their commit."""
        self._deletions = 0
        self._incoming: dict[SimulatedRequest, None] = {}
        """Requests of which bytes are on the ingress, if that has a rate."""
        self._publication = Publication(store.plan, store, scenario.server.public_cache, clock)
        self._reads: dict[str, int] = {}
        """Reads so far, by path: the server counts them, and forgets them in a crash."""
        self._port_closers = 0
        self.is_up = False
        self.connection_epoch = 0
        """Counts how often all connections were lost: one that was opened in an earlier epoch is gone."""
        self.process = 0
        """Counts the server's processes: a crash begins another one."""
        self.connections = 0
        """Open ones, idle ones among them."""
        self.max_connections = scenario.server.max_connections
        self.token_lifetime_s = scenario.server.token_lifetime
        self.tokens_survive_restart = scenario.server.tokens_survive_restart
        self._handlers: dict[RequestKind, Callable[[SimulatedRequest], Awaitable[SimulatedResponse]]] = {
            "login": self._log_in,
            "page": self._upload,
            "create": self._create,
            "head": self._query,
            "patch": self._continue,
            "read": self._read,
        }
        self._start_process()

    # --- the process

    def _start_process(self) -> None:
        self.process += 1
        self.counters = ServerCounters()
        self.pool = WorkerPool(self._profile, self._clock)
        self._admission = Admission(self._profile, self.pool)
        self.faults = VirtualFaults(self._scenario.faults, self._scenario.seed, self._clock, self, self._log)
        self.counters.watch(self.pool, self.faults)
        self.traffic = self._make_traffic()
        self.counters.watch_traffic(self.traffic)
        self._port_closers = 0
        self.is_up = True

    def _make_traffic(self) -> VirtualTraffic:
        ingress, egress, clock = self._profile.ingress, self._profile.egress, self._clock
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
        self._clock.call_later(0.0, self._crash, restart_after_s)

    def cut_power(self, restart_after_s: float | None, *, torn: bool) -> None:  # noqa: ARG002
        """End the process as a power cut would: like `kill`, because the mock syncs whatever it acknowledges."""
        self.kill(restart_after_s)

    def _crash(self, restart_after_s: float | None) -> None:
        self.is_up = False
        self.faults.detach()
        for request in tuple(self._in_progress):
            request.abandon()
        # The kernel resets connections with unread bytes, and closes the others.
        self._lose_connections(
            lambda request: Outcome.RESET if request.complete_s > self._clock.now_s else Outcome.CLOSED
        )
        self._in_progress.clear()
        for timer, *_ in self._deletes.values():
            timer.cancel()
        self._deletes.clear()
        if restart_after_s is not None:
            self._clock.call_later(restart_after_s + self._costs.restart_s, self._restart)

    def _restart(self) -> None:
        self._uploads.recover()
        self._publication.forget()
        self._reads.clear()
        self._start_process()
        self.faults.attach(again=True)

    def _lose_connections(self, outcome: Callable[[SimulatedRequest], Outcome]) -> None:
        self.connection_epoch += 1
        self.connections = 0
        for request in (*self._in_progress, *self._incoming, *self.traffic.responses):
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

        incoming.on_header = partial(self._clock.call_later, parse_s, self.begin, request)
        incoming.on_bytes, incoming.on_over = request.bytes_arrived, end

    def begin(self, request: SimulatedRequest) -> None:
        """Process a request whose header has arrived; a client that has left by now is not known to the server."""
        if request.is_disconnected:
            return
        if not self.is_listening:  # the port has closed while the header was under way
            request.break_off(Outcome.RESET)
            return
        self.counters.active += 1
        self._in_progress[request] = None
        request.traffic = self.traffic
        request.start(self._serve(request))

    async def _serve(self, request: SimulatedRequest) -> None:
        begun_s, login = self._clock.now_s, request.key.phase == "login"
        counters = self.counters
        status: int | None = None
        try:
            response = await self._handlers[request.kind](request)
        except Refusal as refusal:
            pause_s = refusal.retry_after_s
            response = SimulatedResponse(refusal.status, None if pause_s is None else whole_retry_after_s(pause_s))
        except ProcessKilled:
            return  # the crash is the next event, and ends this connection with all others
        except ConnectionEnded:
            response = None
        if response is not None and not request.is_disconnected:
            try:
                await self._answer(request, response, 0.0 if login else self._costs.answer_s(request.key))
            except ProcessKilled:
                return
            status = request.sent_status
        counters.active -= 1
        self._in_progress.pop(request, None)
        request.release_hits()
        if request.incoming is None:
            self.traffic.unlimited_bytes += request.head_bytes + request.arrived_bytes
        else:
            request.incoming.discard()
        route = NATION_ROUTE if request.path == NATION_ROUTE else _ROUTES[request.kind]
        counters.request(request.key.method, route, status, self._clock.now_s - begun_s)

    async def _answer(self, request: SimulatedRequest, response: SimulatedResponse, cost_s: float) -> None:
        request.response_bytes = self._response_bytes(request, response)
        if request.hits:
            body = bytes(request.response_bytes - HEAD_BYTES) if request.kind == "read" else _RESPONSE_BODY
            raw = _RESPONSE_HEAD % (response.status, len(body)) + body
            if await request.answer(response, raw):
                if not request.is_answered:
                    request.deliver()
                return
        await request.sleep_until(self._clock.now_s + cost_s)
        request.response = response
        request.deliver()

    def _response_bytes(self, request: SimulatedRequest, response: SimulatedResponse) -> int:
        """How long a response is with its head, as the mock server's are."""
        if request.kind != "read" or not response.snapshot:
            return _LOGIN_RESPONSE_BYTES if request.kind == "login" else _UPLOAD_RESPONSE_BYTES
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
        await request.sleep_until(self._clock.now_s + self._costs.login_s(request.key))
        return SimulatedResponse(200)

    async def _upload(self, request: SimulatedRequest) -> SimulatedResponse:
        if self.faults.has("request"):
            await request.meet_faults()
        self._authorise(request)
        self._check_load(request)
        await request.read_body(self._profile.body_timeout)
        return await self._process(request)

    async def _process(self, request: SimulatedRequest, *, resumable: bool = False) -> SimulatedResponse:
        """Process an upload that has been read: a resumable one is always waited for."""
        self._check_load(request)  # again: others may have filled the queue while the body came
        if self._profile.reading == "asynchronous" and not resumable:
            self._process_later(request)
            response = SimulatedResponse(202)
        else:
            response = await self._work_and_commit(request, waits=True)
        if self.faults.has("acknowledgement"):
            request.match("acknowledgement")
        return response

    def _authorise(self, request: SimulatedRequest) -> None:
        if not request.is_authorised:
            raise Refusal(401, "The token has expired")

    # --- resumable uploads

    async def _create(self, request: SimulatedRequest) -> SimulatedResponse:
        if self.faults.has("request"):
            await request.meet_faults()
        self._authorise(request)
        self._check_load(request)
        await request.sleep_until(self._clock.now_s + self._costs.commit_s(request.key))
        number = self._uploads.create(request.page, self._sizes[request.page], self._clock.now_s)
        response = SimulatedResponse(201, upload=number)
        if request.body_bytes:
            received = await self._receive(request, self._uploads.get(number))
            return response._replace(offset=received.offset, queue_s=received.queue_s, server_s=received.server_s)
        return response

    async def _query(self, request: SimulatedRequest) -> SimulatedResponse:
        return SimulatedResponse(200, offset=(await self._find(request)).reported_offset)

    async def _continue(self, request: SimulatedRequest) -> SimulatedResponse:
        upload = await self._find(request)
        if request.offset != upload.reported_offset and not upload.is_pretended:
            raise Refusal(409, "Upload-Offset is not the offset of the upload")
        if upload.reported_offset == upload.length:  # complete: a repeated last PATCH succeeds and stores nothing
            return SimulatedResponse(204, offset=upload.length)
        self._check_load(request)
        return await self._receive(request, upload)

    async def _find(self, request: SimulatedRequest) -> SimulatedUpload:
        self._authorise(request)
        if self.faults.has("request"):
            await request.meet_faults()
        return self._uploads.find(request)

    async def _receive(self, request: SimulatedRequest, upload: SimulatedUpload) -> SimulatedResponse:
        """Append the body; what has come of it is kept if it breaks off, unless the chunk has a checksum."""
        before, upload.is_locked = upload.offset, True
        try:
            try:
                await request.read_body(self._profile.body_timeout)
            finally:
                whole = request.read_bytes == request.body_bytes
                upload.offset = before + (request.arrived_bytes if whole or not self._checks_chunks else 0)
            if upload.offset < upload.length:
                return SimulatedResponse(204, offset=upload.offset)
            return await self._finish(request, upload, before)
        finally:
            upload.is_locked = False

    async def _finish(self, request: SimulatedRequest, upload: SimulatedUpload, before: int) -> SimulatedResponse:
        """Store the page that the bytes are; if it is refused for now, the upload goes back to its offset before."""
        try:
            response = await self._process(request, resumable=True)
            upload.is_stored = True
        except Refusal as refusal:
            upload.is_expired = refusal.status in _FATAL_STATUSES
            raise
        finally:
            if not upload.is_stored:
                upload.truncate(before)
        return response._replace(status=204, offset=upload.length)

    # --- the work

    def _check_load(self, request: SimulatedRequest) -> None:
        timeout_s = request.timeout_s if self._profile.shed == "deadline" else None
        reason = self._admission.refusal(timeout_s)
        if reason is not None:
            raise self._overloaded(request, reason)

    def _overloaded(self, request: SimulatedRequest, reason: str) -> Refusal:
        self.counters.shed[reason] += 1
        draw = partial(keyed_uniform, self._scenario.seed, "retry_after", *request.key[:4])
        return Refusal(503, "Overloaded", self._admission.retry_after_s(draw))

    def _process_later(self, request: SimulatedRequest) -> None:
        """Process an upload that is answered before: by a request of its own, which has no client."""
        later = SimulatedRequest(self._clock, request.client, request.key, self.faults)
        later.page, later.timeout_s = request.page, request.timeout_s
        later.is_answered = True
        self._in_progress[later] = None
        later.start(self._finish_later(later))

    async def _finish_later(self, request: SimulatedRequest) -> None:
        # A refusal has no one to go to: the client learns of it when it sends the page again.
        with suppress(Refusal, ConnectionEnded):
            await self._work_and_commit(request, waits=False)
        self._in_progress.pop(request, None)
        request.release_hits()

    async def _work_and_commit(self, request: SimulatedRequest, *, waits: bool) -> SimulatedResponse:
        began_s = self._clock.now_s
        pool = self.pool
        job = Job(
            partial(self._service_s, request),
            request.end_job,
            request.is_gone,
            self._admission.latest_start_s(request.timeout_s if self._profile.shed == "deadline" else None),
        )
        if waits and self._profile.cancel_on_disconnect:
            request.cancel_job = pool.cancel
        pool.submit(job)
        request.job = job
        end = await request.await_job()
        request.job = None  # the two refer to each other, and while a simulation plays, nothing collects cycles
        if end is JobEnd.CANCELLED:
            raise ConnectionEnded
        if end is JobEnd.DROPPED:
            raise Refusal(503, "The server dropped the upload")
        if end is not JobEnd.SERVED:
            raise self._overloaded(request, end.value)
        self.counters.service.observe(job.expected_s)
        if waits and request.is_disconnected:
            self.counters.wasted += 1
        queue_s, worked_s = job.wait_s, self._clock.now_s
        status = await self._commit(request)
        service_s = worked_s - began_s - queue_s
        return SimulatedResponse(status, None, queue_s, service_s + self._clock.now_s - worked_s)

    def _service_s(self, request: SimulatedRequest) -> float:
        key = request.key
        seconds = self._service_times.seconds(key.station, key.form, key.page, key.attempt, self._sizes[request.page])
        # When the work begins, not when it is queued: the fault may have begun meanwhile.
        return seconds / self.faults.capacity_factor(key)

    async def _commit(self, request: SimulatedRequest) -> int:
        """Store the page as the faults would have it: 201, or 200 if it was stored already."""
        page, store = request.page, self.store
        rows: tuple[StoredRow, ...] | None = None
        acting: tuple[Hit, ...] = ()
        if self.faults.has("rows"):
            sent = (store.row(page),)
            changed, acting = request.hit_rows(sent)
            rows = None if changed == sent else changed
        await request.sleep_until(self._clock.now_s + self._costs.commit_s(request.key))
        if store.is_duplicate(page):
            return 200
        now_s = self._clock.now_s
        copies = 1 if rows is None else len(rows)
        if rows is None:
            store.put(page, now_s)
        else:
            store.put_rows(page, rows, now_s)
        for hit in acting:
            hit.act()
        self.counters.stored += copies
        self.counters.stored_bytes += copies * self._sizes[page]
        if request.deleting_hit is not None and request.delete_after_s is not None:
            request.deleting_hit.act(is_logged=True)
            self._deletions += 1
            timer = self._clock.call_later(request.delete_after_s, self._delete, self._deletions)
            self._deletes[self._deletions] = (timer, request, now_s)
        return 201

    def _delete(self, number: int) -> None:
        timer, request, at_s = self._deletes.pop(number)
        timer.cancel()
        hit = request.deleting_hit
        if hit is not None and self.store.delete(request.page, at_s):
            self._log(hit.injection)

    # --- the end

    def begin_drain(self) -> None:
        """Heal the faults, and delete what faults have scheduled for deletion."""
        self.faults.heal()
        for number in tuple(self._deletes):
            self._delete(number)

    def drop_disconnected(self) -> None:
        """Drop the waiting jobs whose client has left."""
        self.counters.dropped += self.pool.drop_disconnected()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in progress whose client is still there, or that a worker has."""
        waits = any(not request.is_disconnected for request in self._in_progress)
        return not (waits or self.pool.depth or self.pool.busy)
