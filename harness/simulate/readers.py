"""The readers of a simulation: open arrivals of GETs of the published results, answered from the server's cache.

Their connections are kept, as those of a CDN are, so opening one costs nothing here; what they share with the stations is
the server's way out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from harness.base.model import Outcome, Station
from harness.plan.readers import Read, draw_reads
from harness.run_folder.journal import AttemptRecord, JournalWriter
from harness.scenario.readers import LEVEL_DIGITS, ReaderOptions
from harness.simulate.clock import VirtualClock, VirtualTimer
from harness.simulate.request import SimulatedRequest, SimulatedResponse
from harness.simulate.server import SimulatedServer
from harness.station.response_outcome import classify_status
from mock_server.faults.base import RequestKey

HEAD_BYTES, CHILD_BYTES = 450, 120
"""Of a published result: its headers and sums, and the sums of each place in it; about."""


class SimulatedReaders:
    """All readers of one run. A read that is under way when the run ends leaves no record."""

    def __init__(
        self, options: ReaderOptions, stations: list[Station], seed: int, deadline_s: float, clock: VirtualClock,
        server: SimulatedServer, journal: JournalWriter,
    ) -> None:  # fmt: skip
        self._options = options
        self._reads: Iterator[Read] = draw_reads(options, stations, seed)
        self._deadline_s = deadline_s
        self._clock = clock
        self._server = server
        self._journal = journal
        self._children = _count_children(stations)
        self._records: dict[SimulatedRequest, tuple[AttemptRecord, VirtualTimer, int]] = {}
        self._attempts: Counter[str] = Counter()
        self.until_s: float | None = None
        """When reads ceased to be started; None while they are."""

    def begin(self) -> None:
        """Start reads from now on, each when it is due, until the deadline or `stop`."""
        read = next(self._reads)
        if read.due_s < self._deadline_s:
            self._clock.call_at(read.due_s, self._make, read)
        else:
            self.until_s = self._deadline_s

    def stop(self) -> None:
        """Start no more reads, and forget those under way."""
        if self.until_s is None:
            self.until_s = min(self._clock.now_s, self._deadline_s)
        for request, (_, timer, _) in self._records.items():
            timer.cancel()
            request.disconnect()
        self._records.clear()

    def _make(self, read: Read) -> None:
        if self.until_s is not None:
            return
        self.begin()
        now_s = self._clock.now_s
        record = AttemptRecord(page=read.resource, due_s=read.due_s, sent_s=now_s, connected_s=now_s)
        if not self._server.is_listening:
            self._end(record, Outcome.REFUSED)
            return
        self._attempts[read.path] += 1  # as the mock counts them, so that faults draw for each read
        key = RequestKey("", "", 0, self._attempts[read.path], "GET", "public")
        request = SimulatedRequest(self._clock, self, key, self._server.faults)
        request.kind = "read"
        size = HEAD_BYTES + CHILD_BYTES * self._children.get(read.path.rpartition("/")[2].removesuffix(".json"), 0)
        timer = self._clock.call_later(self._options.timeout, self._time_out, request)
        self._records[request] = (record, timer, size)
        self._server.begin(request)

    def _end(self, record: AttemptRecord, outcome: Outcome) -> None:
        record.outcome, record.done_s = outcome, self._clock.now_s
        self._journal.read(record)

    def _time_out(self, request: SimulatedRequest) -> None:
        record, _, _ = self._records.pop(request)
        request.disconnect()
        self._end(record, Outcome.TIMEOUT_RESPONSE)

    def receive(self, request: SimulatedRequest, response: SimulatedResponse) -> None:
        """The server has answered: the result goes out on the line that all responses share."""
        found = self._records.get(request)
        if found is None:
            return
        record, _, size = found
        record.status, record.first_byte_s = response.status, self._clock.now_s
        self._server.traffic.sent_bytes += size
        line = self._server.traffic.egress
        if line is None:
            self._finish(request)
        else:
            line.start(size, math.inf, lambda: self._finish(request))

    def _finish(self, request: SimulatedRequest) -> None:
        found = self._records.pop(request, None)
        if found is not None:
            record, timer, _ = found
            timer.cancel()
            # A read that got what it asked for is accepted, as harness/drive/readers.py has it.
            self._end(record, Outcome.ACCEPTED if record.status == 200 else classify_status(record.status))

    def lose_connection(self, request: SimulatedRequest, outcome: Outcome) -> None:
        """The connection has ended without a complete response."""
        found = self._records.pop(request, None)
        if found is not None:
            record, timer, _ = found
            timer.cancel()
            self._end(record, outcome)


def _count_children(stations: list[Station]) -> dict[str, int]:
    """How many places each place has in it, by the code that ends its path ("ppwp": the nation)."""
    digits = list(LEVEL_DIGITS.values())
    children: dict[str, set[str]] = {}
    for station in stations:
        for level, below in pairwise(digits):
            children.setdefault(station.code[:level] or "ppwp", set()).add(station.code[:below])
    return {code: len(found) for code, found in children.items()}
