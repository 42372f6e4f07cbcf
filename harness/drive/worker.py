"""A worker's shift: its shard of the plan, every station's evening started when it is due, and the account at the end.

Knows nothing of Locust; locustfile.py brings the orders and takes the account home.
"""

from __future__ import annotations

import gc
import os
import platform
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
import numpy as np
import PIL

from harness.base.errors import UsageError
from harness.base.host_limits import read_host_limits
from harness.base.model import Outcome, Shortage
from harness.drive.assignment import Assignment, resolve_target
from harness.drive.client.pool import ConnectionPool
from harness.drive.client.protocols.templated import build_api
from harness.drive.client.uploader import AttemptResult, TimeoutQueue, Uploader
from harness.drive.closed_user import run_closed_user
from harness.drive.greenlet_pool import GreenletPool
from harness.drive.metrics_server import MetricsServer
from harness.drive.virtual_user import VirtualUser, WorkerContext, sleep_until
from harness.measure.metrics import WorkerMetrics
from harness.plan import Plan, make_plan
from harness.plan.digest import digest_plan
from harness.plan.pins import derive_pin
from harness.run_folder.journal import JournalWriter
from harness.scenario.scenario import Scenario, parse_resolved
from harness.station.link import draw_link_model

if TYPE_CHECKING:
    import numpy.typing as npt

_GC_THRESHOLD = 50_000
"""Objects that may come into being before the garbage collector looks: attempts leave no cycles behind."""
_FLUSH_INTERVAL_S = 0.25


class Worker:
    """The work of one worker in one run."""

    def __init__(
        self,
        orders: Assignment,
        on_records: Callable[[npt.NDArray[np.void]], None] = lambda _: None,
        write: Callable[[memoryview], int] | None = None,
    ) -> None:
        """Plan, open the journal (or have `write` take its records), start the exporter; nothing is sent yet.

        Raises UsageError where the target doesn't consent, or the plan is another here than where the orders come from.
        """
        raise_descriptor_limit()
        self.orders = orders
        target = resolve_target(orders)
        self._guard = target.guard
        scenario = parse_resolved(orders.scenario)
        self._scenario = scenario
        self._t0 = float("inf")
        # the photos take seconds of pure CPU: in a real thread, so that heartbeats go on
        plan = gevent.get_hub().threadpool.apply(_make_checked_plan, (scenario, orders.plan_sha256))
        labels = {"run": orders.run, "scenario": scenario.name, "worker": str(orders.rank)}
        self._telemetry = WorkerMetrics(orders.limits_s, labels)
        self._desk = WorkerContext(
            plan=plan,
            client=scenario.client,
            clock=self._clock,
            deadline_s=scenario.deadline,
            journal=JournalWriter(None if write else Path(orders.journal), orders.rank, write),
            telemetry=self._telemetry,
            seed=scenario.seed,
            on_records=on_records,
            hold=(lambda: None) if self._guard is None else self._guard.wait_for_rate,
        )
        self._api = (
            None if scenario.target is None else build_api(scenario.target, {**os.environ, **orders.environment})
        )
        self._logs_in = self._api is None or self._api.requires_login
        self._stations = plan.shard(orders.rank, orders.workers)
        self._connections = ConnectionPool(target, scenario.client.connection, self._clock)
        self._most = min(scenario.client.max_in_flight, read_host_limits().a_process)
        """Stations at once: beyond the descriptors nothing would get through any more, not even our own scrapes."""
        self._timeouts = TimeoutQueue(scenario.client.timeout)
        self._evenings = GreenletPool(self._note_broken)
        self._broken = 0
        self._unwritten = ""
        self._driver: gevent.Greenlet | None = None
        self._exporter = MetricsServer(self._telemetry, orders.metrics_port, time.monotonic)
        self._flusher = gevent.spawn(self._flush_often)
        if self._guard is not None:
            self._guard.start(self.break_off)
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 20, 20)

    @property
    def metrics_port(self) -> int:
        """Where the instruments are served."""
        return self._exporter.port

    def instruments(self) -> bytes:
        """What the instruments show now, in Prometheus' text format."""
        return self._telemetry.exposition()

    def work(self, t0: float) -> dict[str, Any]:
        """Drive every station of the shard from T0 (on the monotonic clock) to its end; the account of it."""
        self._t0 = t0
        if self._guard is not None and self._guard.halted:
            return self.account()
        self._driver = gevent.spawn(self._drive)
        self._driver.join()
        self._evenings.join()
        self._connections.close()
        self.flush()
        return self.account()

    def break_off(self) -> None:
        """Stop: attempts in flight are censored, nothing new starts."""
        if self._driver is not None:
            self._driver.kill()
        self._evenings.kill()
        self.flush()

    def account(self) -> dict[str, Any]:
        """What this worker has done so far."""
        return {
            "rank": self.orders.rank,
            "attempts": self._desk.attempts,
            "stations_begun": self._desk.stations_begun,
            "stations_planned": len(self._stations),
            "evenings_broken": self._broken,
            "shortages": dict(self._desk.shortages),
            "unwritten": self._unwritten,
            "held_back": 0 if self._guard is None else self._guard.held_back,
            "halted": "" if self._guard is None else self._guard.halted,
        }

    def flush(self) -> None:
        """Write down what is known; where that can't be, note why."""
        try:
            self._desk.flush()
        except OSError as error:
            self._unwritten = error.strerror or str(error)

    def _clock(self) -> float:
        return time.monotonic() - self._t0

    def _drive(self) -> None:
        rounds = self._desk.plan.rounds
        if rounds is None:
            self._drive_open()
            return
        for stations in rounds.of_worker(self.orders.rank, self.orders.workers):
            self._evenings.begin(partial(run_closed_user, self._desk, stations.tolist(), self._evening))

    def _drive_open(self) -> None:
        desk = self._desk
        pages = len(desk.plan.slots)
        for station in self._stations:
            due_s = float(desk.plan.due_s[station])
            if due_s >= desk.deadline_s:
                return
            if sleep_until(self._clock, due_s) >= desk.deadline_s:
                return
            self._telemetry.pages_due += pages
            if len(self._evenings) >= self._most:
                self._refuse(int(station))
                continue
            self._evenings.begin(self._evening(int(station)).run)

    def _note_broken(self) -> None:
        """An error that nobody thought of ended an evening: gevent has logged it, the account must tell it."""
        self._broken += 1

    def _evening(self, station: int, due_s: float | None = None) -> VirtualUser:
        plan, client = self._desk.plan, self._desk.client
        host = self._connections.target.host_header
        pin = derive_pin(plan.stations[station].code, self.orders.pin_secret) if self._logs_in else ""
        line = draw_link_model(client.link, self._desk.seed, plan.stations[station].code)
        uploader = Uploader(
            plan, client, self._connections.source(line), host, pin, self._clock, self._api, self._timeouts
        )
        return VirtualUser(self._desk, station, uploader, due_s)

    def _refuse(self, station: int) -> None:
        """More stations at once than this worker may hold: our limit, noted as such."""
        now = self._clock()
        due = float(self._desk.plan.due_s[station])
        page = self._desk.plan.pages_of(station).start
        result = AttemptResult(Outcome.GENERATOR_ERROR, due_s=due, done_s=now)
        held_to = self._desk.client.max_in_flight
        result.shortage = Shortage.MAX_IN_FLIGHT if self._most == held_to else Shortage.DESCRIPTORS
        self._desk.note(page, 1, result)

    def _flush_often(self) -> None:
        while True:
            gevent.sleep(_FLUSH_INTERVAL_S)
            self.flush()
            if self._unwritten:  # what is not written down was not measured: nothing more is sent
                self.break_off()
                return


def _make_checked_plan(scenario: Scenario, sha256: str) -> Plan:
    """The plan. Raises UsageError where it has another digest than expected."""
    plan = make_plan(scenario)
    if sha256 and digest_plan(plan) != sha256:
        message = (
            "the plan comes out otherwise here than on the master, with the same scenario and seed: install the same "
            f"versions (here: python {platform.python_version()}, numpy {np.__version__}, pillow {PIL.__version__}) on the "
            "same kind of processor"
        )
        raise UsageError(message)
    return plan


def raise_descriptor_limit() -> None:
    """Let this process open as many descriptors as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
