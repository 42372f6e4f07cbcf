"""The readers of a simulation: open arrivals of reads, as harness/drive/readers.py makes them over sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.base.model import Outcome
from harness.plan.readers import Read
from harness.run_folder.journal import AttemptRecord, JournalWriter
from harness.scenario.readers import MAX_READS_IN_FLIGHT, ReaderOptions
from harness.simulate.clock import VirtualClock, VirtualTask, suspend
from harness.simulate.connection import AttemptEnded
from harness.simulate.costs import Costs
from harness.simulate.incoming import IncomingRequest
from harness.simulate.request import SimulatedRequest
from harness.simulate.response import SimulatedResponse
from harness.simulate.server import SimulatedServer
from harness.station.response_outcome import classify_read
from mock_server.faults.base import RequestKey

REQUEST_BYTES = 95
"""Of a read's request, about, without the path and If-None-Match."""
LAST_READS_S = 1.0
"""How long a run that is over waits for reads in flight."""
_ETAG_BYTES = 35
_MAX_ETAGS = 10_000


class SimulatedReaders:
    """The readers of one run. A read that is broken off, by `stop` or `kill`, leaves no record."""

    def __init__(
        self, options: ReaderOptions, reads: Iterator[Read], clock: VirtualClock, server: SimulatedServer, costs: Costs,
        journal: JournalWriter, deadline_s: float,
    ) -> None:  # fmt: skip
        self.options = options
        self.clock = clock
        self.server = server
        self.costs = costs
        self.journal = journal
        self._reads = reads
        self._deadline_s = deadline_s
        self.idle_connections: list[int] = []
        """The server's epoch in which each was opened: they are kept and shared."""
        self.snapshots: dict[str, int] = {}
        """The snapshot that was last read of each path."""
        self.in_flight: dict[Reader, None] = {}
        self.on_idle: Callable[[], None] = _do_nothing
        """Called when no read is in flight any more."""
        self.until_s: float | None = None
        """When reads ceased to be started; None while they are."""

    def start(self) -> None:
        """Begin; reads start until the deadline, `stop` or `kill`."""
        self._await_next()

    def _await_next(self) -> None:
        read = next(self._reads)
        if read.due_s < self._deadline_s:
            self.clock.call_at(read.due_s, self._begin, read)
        elif self.until_s is None:
            self.until_s = self._deadline_s

    def _begin(self, read: Read) -> None:
        if self.until_s is not None:
            return
        self._await_next()
        if len(self.in_flight) < MAX_READS_IN_FLIGHT:
            Reader(self).begin(read)
        else:
            record = AttemptRecord(Outcome.GENERATOR_ERROR, page=read.resource, due_s=read.due_s)
            record.done_s = self.clock.now_s
            self.journal.read(record)

    def stop(self) -> None:
        """Start no more reads."""
        if self.until_s is None:
            self.until_s = min(self.clock.now_s, self._deadline_s)

    def kill(self) -> None:
        """Start no more reads, and break off those in flight."""
        self.stop()
        for reader in tuple(self.in_flight):
            reader.break_off()
        self.in_flight.clear()


def _do_nothing() -> None:
    pass


class Reader(VirtualTask):
    """One read, from its connection to its response."""

    __slots__ = ("_connection", "_readers", "_request")

    def __init__(self, readers: SimulatedReaders) -> None:
        super().__init__(readers.clock)
        self._readers = readers
        self._request: SimulatedRequest | None = None
        self._connection: int | None = None

    def begin(self, read: Read) -> None:
        """Make the read, now."""
        self.start(self._make(read))

    async def _make(self, read: Read) -> None:
        readers, now_s = self._readers, self.clock.now_s
        readers.in_flight[self] = None
        record = AttemptRecord(page=read.resource, due_s=read.due_s, sent_s=now_s)
        limit = self.clock.call_at(now_s + readers.options.timeout, self._time_out)
        try:
            await self._connect()
            record.connected_s = self.clock.now_s
            response = await self._ask(read.path)
        except AttemptEnded as ended:
            record.outcome = ended.outcome
            self._leave()
        else:
            record.outcome, record.status = classify_read(response.status), response.status
            record.first_byte_s = self.clock.now_s
            self._keep()
        limit.cancel()
        record.done_s = self.clock.now_s
        del readers.in_flight[self]
        readers.journal.read(record)
        if not readers.in_flight:
            readers.on_idle()

    async def _connect(self) -> None:
        readers, server = self._readers, self._readers.server
        while readers.idle_connections:
            if readers.idle_connections.pop() == server.connection_epoch:
                self._connection = server.connection_epoch
                return
        await self.sleep_until(self.clock.now_s + readers.costs.connect_s(RequestKey("", "", 0, 0, "", "")))
        failed = server.connect()
        if failed is not None:
            raise AttemptEnded(failed)
        self._connection = server.connection_epoch

    async def _ask(self, path: str) -> SimulatedResponse:
        readers, server = self._readers, self._readers.server
        key = RequestKey("", "", 0, server.count_read(path), "GET", "public")
        request = self._request = SimulatedRequest(self.clock, self, key, server.faults)
        known = readers.snapshots.get(path, 0) if readers.options.conditional else 0
        request.kind, request.path, request.snapshot = "read", path, known
        request.head_bytes = REQUEST_BYTES + len(path) + (_ETAG_BYTES if known else 0)
        if server.traffic.ingress is None:
            self.clock.call_later(0.0, server.begin, request)
        else:
            incoming = IncomingRequest(server.traffic.ingress, self.clock, request.head_bytes, 0)
            server.accept(request, incoming, 0.0)
            incoming.begin()
        response: SimulatedResponse = await suspend()
        self._request = None
        if readers.options.conditional and (known or len(readers.snapshots) < _MAX_ETAGS):
            readers.snapshots[path] = response.snapshot or known
        return response

    def _keep(self) -> None:
        if self._connection == self._readers.server.connection_epoch:
            self._readers.idle_connections.append(self._connection)

    def _leave(self) -> None:
        """Close the connection of a read that has ended without a response."""
        request, self._request = self._request, None
        self._readers.server.hang_up(self._connection)
        self._connection = None
        if request is not None:
            request.leave()

    def break_off(self) -> None:
        """End the read where it waits, without a record."""
        self.abandon()
        self._leave()

    def receive(self, request: SimulatedRequest, response: SimulatedResponse) -> None:
        """The response has arrived."""
        if self._request is request:
            self.resume(response)

    def lose_connection(self, request: SimulatedRequest, outcome: Outcome) -> None:
        """The connection has ended without a complete response."""
        self.clock.call_later(0.0, self._fail, request, outcome)

    def _fail(self, request: SimulatedRequest, outcome: Outcome) -> None:
        if self._request is request:
            self.throw(AttemptEnded(outcome))

    def _time_out(self) -> None:
        reached = Outcome.TIMEOUT_CONNECT if self._request is None else Outcome.TIMEOUT_RESPONSE
        self.throw(AttemptEnded(reached))
