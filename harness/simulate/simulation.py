"""One run in virtual time, from T0 to the end of the drain."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, inf

import numpy as np

from harness.base.garbage import without_collections
from harness.base.model import Outcome
from harness.measure.metrics import WorkerMetrics
from harness.plan import Plan
from harness.plan.readers import draw_reads
from harness.run_folder.journal import JournalWriter
from harness.scenario.scenario import Scenario
from harness.simulate.clock import VirtualClock
from harness.simulate.connection import Network
from harness.simulate.direct_requests import DirectUploads
from harness.simulate.page_store import PageStore
from harness.simulate.phone import Phone
from harness.simulate.phone_context import PhoneContext
from harness.simulate.readers import LAST_READS_S, SimulatedReaders
from harness.simulate.server import SimulatedServer
from harness.simulate.station_client import HEAD_BYTES
from harness.station.session import ClosedLoop
from mock_server.faults.matching import Injection

MAX_DRAIN_S = 15.0
"""As the mock server's own limit (mock_server/upload/drain.py)."""
_DRAIN_STEP_S = 0.02
SCRAPE_INTERVAL_S = 1.0
MAX_SCRAPES = 7_200
"""Of one run, about: a chart shows no more, and a scrape every second of three days would take longer than the uploads."""
_GRACE_S = 1.0
"""Attempts end by their time limits, so nothing can come later than the last of them; a rounding error might."""


@dataclass(frozen=True, slots=True)
class SimulationEnd:
    """How a simulation ended."""

    at_s: float
    """When nothing was left to attempt and the last fault was over, or when it was aborted."""
    aborted: str = ""
    """Why it ended early; "" if it did not."""
    problem: str = ""
    """What went wrong while the server was drained; "" if it became idle."""


class Simulation:
    """A scenario played in virtual time; `play` once.

    The journal gets every attempt. `metrics` is what a worker would export, `server` what the mock server would be.
    """

    def __init__(
        self, scenario: Scenario, plan: Plan, journal: JournalWriter, metrics: WorkerMetrics,
        log: Callable[[Injection], None],
    ) -> None:  # fmt: skip
        """`log` gets every injection of a fault."""
        sizes = array("q", np.array([body.size_bytes for body in plan.bank], np.int64)[plan.body_of_page].tobytes())
        self.clock = VirtualClock()
        client = scenario.client
        store = PageStore(plan, scenario.server.dedupe, sends_key=client.retry.idempotency_key)
        self.server = SimulatedServer(scenario, self.clock, store, sizes, log)
        costs = self.server.costs
        self._scenario = scenario
        self._plan = plan
        method, head_bytes = "PUT" if client.protocol == "put" else "POST", HEAD_BYTES[client.protocol]
        self.phones = PhoneContext(
            plan=plan,
            client=client,
            clock=self.clock,
            network=Network(self.server, costs, client),
            journal=journal,
            metrics=metrics,
            seed=scenario.seed,
            deadline_s=scenario.deadline,
            size_of_page=sizes,
            on_done=self._end_phone,
            closes_each=client.connection == "each",
            page_method=method,
            page_head_bytes=head_bytes,
            uploads=DirectUploads(self.server, costs.fixed, plan.slots, method, head_bytes, client.timeout),
            direct_from_s=direct_from_s(scenario) if costs.are_fixed else inf,
        )
        self._scrape_interval_s = scrape_interval_s(scenario.longest_s)
        self.readers = self._make_readers()
        """None if the scenario has none."""
        self._active = 0
        self._arriving: Iterator[int] = iter(())
        self._on_second: Callable[[float], str] = lambda _: ""
        self._aborted = ""

    def _make_readers(self) -> SimulatedReaders | None:
        scenario, phones = self._scenario, self.phones
        if scenario.readers is None:
            return None
        return SimulatedReaders(
            scenario.readers, draw_reads(scenario.readers, self._plan.stations, scenario.seed), self.clock, self.server,
            phones.network.costs, phones.journal, scenario.deadline,
        )  # fmt: skip

    def play(self, on_second: Callable[[float], str]) -> SimulationEnd:
        """Play the run to its end.

        `on_second` is called once a virtual second (less often in runs of hours: see `scrape_interval_s`), and at the end
        of the drain, with the seconds since T0; a reason that it returns aborts the run.
        """
        self._on_second = on_second
        # an attempt leaves no cycle behind, and traversing the plan costs time
        with without_collections():
            self.server.begin_schedule()
            self._tick()
            if self.readers is not None:
                self.readers.start()
            self._begin_phones()
            if self._active:
                self.clock.run(self._scenario.longest_s + _GRACE_S)
            if self._active and not self._aborted:
                message = f"{self._active} phones have not ended {_GRACE_S:g} s after the last attempt could"
                raise RuntimeError(message)
            if self.readers is not None:
                self._end_readers(self.readers)
            end_s = self._await_faults()
            problem = self._drain()
            on_second(self.clock.now_s)
        return SimulationEnd(end_s, self._aborted, problem)

    def _begin_phones(self) -> None:
        rounds = self._plan.closed_loop
        self._active = 1  # the arrivals themselves: the run is not over before the last station has arrived
        if rounds is None:
            self._arriving = iter(self._plan.shard(0, 1).tolist())
            self._await_arrival()
            return
        for stations in rounds.of_worker(0, 1):
            think_s = rounds.think_s[stations].tolist()
            first_s = float(self._plan.due_s[stations[0]])
            loop = ClosedLoop(stations.tolist(), think_s, self._scenario.deadline)
            self._active += 1
            Phone(self.phones).begin_closed(loop, first_s - think_s[0])
        self._end_phone()

    def _await_arrival(self) -> None:
        """Wait for the next station. One event at a time: a heap of all of them would slow every other event down."""
        station = next(self._arriving, None)
        due_s = float("inf") if station is None else float(self._plan.due_s[station])
        if station is None or due_s >= self._scenario.deadline:
            self._end_phone()
        else:
            self.clock.call_at(due_s, self._arrive, station, due_s)

    def _arrive(self, station: int, due_s: float) -> None:
        if self.phones.is_stopped:
            return
        self.phones.metrics.pages_due += len(self._plan.slots)
        self._active += 1
        self._await_arrival()
        Phone(self.phones).begin(station, due_s)

    def _end_phone(self) -> None:
        self._active -= 1
        if self._active == 0:
            self.clock.is_stopped = True

    def _end_readers(self, readers: SimulatedReaders) -> None:
        """Start no more reads, and give those in flight a last second."""
        readers.stop()
        if not self._aborted:
            limit_s = self.clock.now_s + LAST_READS_S
            readers.on_idle = self._stop_clock
            if readers.in_flight:
                self.clock.run(limit_s)
            if readers.in_flight:
                self.clock.advance(limit_s)
        readers.kill()

    def _stop_clock(self) -> None:
        self.clock.is_stopped = True

    def _tick(self) -> None:
        reason = self._on_second(self.clock.now_s)
        if reason and not self._aborted and self._active:
            self._aborted = reason
            self._censor()
            self.clock.is_stopped = True
        self.clock.call_later(self._scrape_interval_s, self._tick)

    def _censor(self) -> None:
        """Record the attempts that are in flight when the run is broken off."""
        self.phones.is_stopped = True
        for phone, record in self.phones.in_flight.items():
            record.outcome = Outcome.CENSORED
            self.phones.journal.end(record)
            self.phones.attempts += 1
            phone.stop()

    def _await_faults(self) -> float:
        """Let the faults begin and end that are still to come, as a real run does: a crash may lose what was delivered."""
        if not self._aborted:
            self.clock.advance(max(self.clock.now_s, self._scenario.faults_over_s(self.clock.now_s)))
        return self.clock.now_s

    def _drain(self) -> str:
        """Heal the faults and let the server finish its queue; what went wrong."""
        server, limit_s = self.server, self.clock.now_s + MAX_DRAIN_S
        if not server.is_up:
            return "the server could not be drained: it had crashed"
        server.begin_drain()
        while True:
            server.drop_disconnected()
            if server.is_idle:
                return ""
            if self.clock.now_s >= limit_s:
                return f"the server was not idle after draining for {MAX_DRAIN_S:g} s"
            self.clock.advance(self.clock.now_s + _DRAIN_STEP_S)


def scrape_interval_s(longest_s: float) -> float:
    """Whole seconds between the scrapes of a run that takes at most so long: 1 up to two hours.

    >>> scrape_interval_s(72.0), scrape_interval_s(72 * 3600.0)
    (1.0, 36.0)
    """
    return max(SCRAPE_INTERVAL_S, float(ceil(longest_s / MAX_SCRAPES)))


def direct_from_s(scenario: Scenario) -> float:
    """From when on an upload of the scenario is as ordinary as a `DirectUpload`: infinite for never.

    A whole page, over a line of its own, and no fault to come but those that slow the workers down.
    """
    server = scenario.server
    is_plain = not scenario.client.resumes and server.reading != "asynchronous"
    if not is_plain or server.ingress is not None or server.egress is not None:
        return inf
    ends_s = [inf if fault.end is None else fault.end for fault in scenario.faults if fault.scope != "work"]
    return max(ends_s, default=-inf)
