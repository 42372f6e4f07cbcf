"""One worker: sends its shard of the plan, starts every station when it is due, and accounts for what it did.

Knows nothing of Locust: harness.drive.nodes brings the assignment and sends the account to the leader.
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

from harness.base.address import parse_origin
from harness.base.errors import UsageError
from harness.base.host import read_host_limits
from harness.base.model import Outcome, Shortage
from harness.drive.assignment import Assignment, resolve_also, resolve_endpoint, use_own_copy
from harness.drive.client.connection import Endpoint
from harness.drive.client.own_client import load_own_client
from harness.drive.client.pool import ConnectionPool
from harness.drive.client.protocols.templated import Elsewhere, build_api
from harness.drive.client.uploader import AttemptResult, TimeoutQueue, Uploader
from harness.drive.greenlet_pool import GreenletPool
from harness.drive.metrics_server import MetricsServer
from harness.drive.readers import ReaderDriver
from harness.drive.virtual_user import VirtualUser, WorkerContext, run_closed_user, sleep_until
from harness.measure.metrics import WorkerMetrics
from harness.plan import Plan, make_plan
from harness.plan.own_stations import load_accounts, request_columns
from harness.plan.photos import load_photo_bank
from harness.plan.plan import derive_pin, digest_plan
from harness.plan.readers import draw_reads
from harness.run_folder.journal import JournalWriter
from harness.run_folder.trace import trace_id, trace_prefix
from harness.scenario.scenario import Scenario
from harness.station.link import draw_link_model

if TYPE_CHECKING:
    import numpy.typing as npt

_GC_THRESHOLD = 50_000
"""New objects before the garbage collector runs: attempts leave no cycles behind, so the default of 700 only costs time."""
_FLUSH_INTERVAL_S = 0.25
"""How often the journal is written: what a killed worker loses at most."""


class Worker:
    """The work of one worker in one run: prepared when made, started by `work`.

    The figures of a run come from its journal; its metrics are a live view of the same records.
    """

    def __init__(
        self,
        assignment: Assignment,
        on_records: Callable[[npt.NDArray[np.void]], None] = lambda _: None,
        write: Callable[[memoryview], int] | None = None,
    ) -> None:
        """Make the plan, open the journal and start the metrics server; nothing is sent yet.

        `on_records` is called with the journal's new records whenever they are written; `write` takes the journal's bytes
        instead of a file (remote workers). Raises UsageError if the target does not consent or the plan's digest differs
        from the assignment's, and if its own client can't be loaded; OSError if this machine lacks what the worker needs.
        """
        raise_descriptor_limit()
        self.assignment = assignment = use_own_copy(assignment, os.environ)
        endpoint = resolve_endpoint(assignment)
        others = resolve_also(assignment)
        self._guard = endpoint.guard
        self._guards = [one.guard for one in (endpoint, *others.values()) if one.guard is not None]
        scenario = assignment.scenario
        self._t0 = float("inf")
        # Making the photos takes seconds of CPU: in a native thread, so that heartbeats go on.
        plan = gevent.get_hub().threadpool.apply(
            _make_checked_plan, (scenario, assignment.plan_sha256, assignment.photo_bank)
        )
        labels = {"run": assignment.run, "scenario": scenario.name, "worker": str(assignment.rank)}
        trace_of = partial(_trace_of, plan, assignment.run) if scenario.client.trace else None
        self._metrics = WorkerMetrics(assignment.limits_s, labels, trace_of=trace_of)
        self._context = WorkerContext(
            plan=plan,
            client=scenario.client,
            clock=self._clock,
            deadline_s=scenario.deadline,
            journal=JournalWriter(None if write else Path(assignment.journal), assignment.rank, write),
            metrics=self._metrics,
            seed=scenario.seed,
            on_records=on_records,
            wait_for_rate=None if self._guard is None else self._guard.wait_for_rate,
        )
        self._api = (
            None
            if scenario.target is None or scenario.client.own
            else build_api(scenario.target, {**os.environ, **assignment.environment})
        )
        self._accounts = load_accounts(scenario.stations)
        own, environment = scenario.client.own, {**os.environ, **assignment.environment}
        self._own = load_own_client(own, assignment.own_client_sha256, environment) if own else None
        # Deriving a PIN hashes: not for a server that asks for none.
        self._logs_in = self._api is None or self._api.requires_login or self._own is not None
        self._stations = plan.shard(assignment.rank, assignment.workers)
        self._origin = parse_origin(assignment.target)
        self._connections = ConnectionPool(endpoint, scenario.client.connection, self._clock)
        self._elsewhere = {
            origin: ConnectionPool(one, scenario.client.connection, self._clock) for origin, one in others.items()
        }
        self._max_stations = min(scenario.client.max_in_flight, read_host_limits().connections_per_process)
        """Stations at once. Beyond the descriptors nothing would get through any more, not even a scrape of the metrics."""
        self._timeouts = TimeoutQueue(scenario.client.timeout)
        self._greenlets = GreenletPool(self._count_abandoned)
        self._abandoned = self._broken_reads = 0
        self._readers = self._make_readers(scenario, endpoint)
        self.on_stations_done = self.stop_readers
        """Called when this worker's stations are done; then its readers go on until `stop_readers`, or the deadline."""
        self._unwritten = ""
        self._driver: gevent.Greenlet | None = None
        self._metrics_server = MetricsServer(self._metrics, assignment.metrics_port, time.monotonic)
        self._flusher = gevent.spawn(self._flush_regularly)
        for guard in self._guards:
            guard.start(self.abort)
        # The plan lives until the process ends: frozen, it is not traversed by every collection.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 20, 20)

    @property
    def metrics_port(self) -> int:
        """The port of /metrics."""
        return self._metrics_server.port

    def exposition(self) -> bytes:
        """The metrics as they stand now, in Prometheus' text format."""
        return self._metrics.exposition()

    def work(self, t0: float) -> dict[str, Any]:
        """Send the shard from `t0` (on the monotonic clock) to its end; returns the account."""
        self._t0 = t0
        if any(guard.halted for guard in self._guards):
            return self.account()
        if self._readers is not None:
            self._readers.start()
        self._driver = gevent.spawn(self._start_stations)
        self._driver.join()
        self._greenlets.join()
        for pool in self._pools:
            pool.close()
        if self._readers is not None:
            self.on_stations_done()
            self._readers.join()
        self.flush()
        return self.account()

    def abort(self) -> None:
        """Stop: attempts in flight are censored, no new one starts."""
        # First what starts stations, or it would go on filling the pool that is being emptied.
        if self._driver is not None:
            self._driver.kill()
        if self._readers is not None:
            self._readers.kill()
        self._greenlets.kill()
        self.flush()

    def stop_readers(self) -> None:
        """Let the readers end: the last station of the run is done."""
        if self._readers is not None:
            self._readers.stop()

    def account(self) -> dict[str, Any]:
        """What this worker has done so far; the keys are those of a worker in run.json."""
        return {
            "rank": self.assignment.rank,
            "attempts": self._context.attempts,
            "stations_begun": self._context.stations_begun,
            "stations_planned": len(self._stations),
            "evenings_broken": self._abandoned,
            "reads_broken": self._broken_reads,
            "reads_until_s": None if self._readers is None else self._readers.until_s,
            "shortages": dict(self._context.shortages),
            "unusable": dict(self._context.unusable),
            "stale_connections": sum(pool.stale_connections for pool in self._pools),
            "unwritten": self._unwritten,
            "own_client_bug": "" if self._own is None else self._own.bug,
            "held_back": sum(guard.held_back for guard in self._guards),
            "halted": next((guard.halted for guard in self._guards if guard.halted), ""),
        }

    def flush(self) -> None:
        """Write the journal and update the metrics; if the journal can't be written, keep the reason for the account."""
        try:
            self._context.flush()
        except OSError as error:
            self._unwritten = error.strerror or str(error)

    @property
    def _pools(self) -> list[ConnectionPool]:
        return [self._connections, *self._elsewhere.values()]

    def _clock(self) -> float:
        return time.monotonic() - self._t0

    def _start_stations(self) -> None:
        """Start every station of the shard when it is due (open), or every phone at once (closed)."""
        rounds = self._context.plan.closed_loop
        if rounds is None:
            self._start_open()
            return
        for stations in rounds.of_worker(self.assignment.rank, self.assignment.workers):
            self._greenlets.start(partial(run_closed_user, self._context, stations.tolist(), self._make_user))

    def _start_open(self) -> None:
        """Start stations at their due times whatever the server does: one that is slow gets as many as one that is fast."""
        context = self._context
        pages = len(context.plan.slots)
        for station in self._stations:
            due_s = float(context.plan.due_s[station])
            if due_s >= context.deadline_s:
                return
            if sleep_until(self._clock, due_s) >= context.deadline_s:
                return  # asleep past the deadline, as after a suspend
            self._metrics.pages_due += pages
            if len(self._greenlets) >= self._max_stations:
                self._turn_down(int(station))
                continue
            self._greenlets.start(self._make_user(int(station)).run)

    def _count_abandoned(self) -> None:
        """An unexpected error ended a station: gevent has logged it, the account makes the run's result show it."""
        self._abandoned += 1

    def _count_broken_read(self) -> None:
        """An unexpected error ended a read."""
        self._broken_reads += 1

    def _make_readers(self, scenario: Scenario, endpoint: Endpoint) -> ReaderDriver | None:
        if scenario.readers is None:
            return None
        rank, workers = self.assignment.rank, self.assignment.workers
        reads = draw_reads(scenario.readers, self._context.plan.stations, scenario.seed, rank, workers)
        return ReaderDriver(
            scenario.readers, reads, endpoint, self._clock, scenario.deadline, self._context.journal,
            self._count_broken_read,
        )  # fmt: skip

    def _make_user(self, station: int, due_s: float | None = None) -> VirtualUser:
        plan, client = self._context.plan, self._context.client
        host = self._connections.target.host_header
        pin = derive_pin(plan.stations[station].code, self.assignment.pin_secret) if self._logs_in else ""
        link = draw_link_model(client.link, self._context.seed, plan.stations[station].code)
        elsewhere = {
            origin: Elsewhere(pool.source(link), pool.target.host_header) for origin, pool in self._elsewhere.items()
        }
        uploader = Uploader(
            plan, client, self._connections.source(link), host, pin, self._clock, self._api, self._timeouts,
            self._origin, elsewhere, self._own, self.assignment.run,
            request_columns(plan.stations[station], self._accounts),
        )  # fmt: skip
        return VirtualUser(self._context, station, uploader, due_s)

    def _turn_down(self, station: int) -> None:
        """Record a station that exceeds what this worker may hold as an error of the generator, not of the server."""
        now_s = self._clock()
        due_s = float(self._context.plan.due_s[station])
        page = self._context.plan.pages_of(station).start
        result = AttemptResult(Outcome.GENERATOR_ERROR, due_s=due_s, done_s=now_s)
        configured = self._context.client.max_in_flight
        result.shortage = Shortage.MAX_IN_FLIGHT if self._max_stations == configured else Shortage.DESCRIPTORS
        self._context.record_attempt(page, 1, result)

    def _flush_regularly(self) -> None:
        while True:
            gevent.sleep(_FLUSH_INTERVAL_S)
            self.flush()
            # An attempt without a record is not measured, and after a bug of the own client the run is invalid: sending more
            # would only load the server.
            if self._unwritten or (self._own is not None and self._own.bug):
                self.abort()
                return


def _trace_of(plan: Plan, run: str, page: int, attempt: int) -> str:
    """The trace id of an attempt at a page (row of the plan)."""
    key = plan.key(page)
    return trace_id(trace_prefix(run, key.station, key.form, key.page), attempt)


def _make_checked_plan(scenario: Scenario, sha256: str, photo_bank: str) -> Plan:
    """The plan, with the photos of the file `photo_bank` ("" makes them again).

    Raises UsageError if its digest is not `sha256` ("" accepts any).
    """
    plan = make_plan(scenario, load_photo_bank(Path(photo_bank)) if photo_bank else None)
    if sha256 and digest_plan(plan) != sha256:
        message = (
            "the plan made here differs from the leader's, with the same scenario and seed: install the same versions "
            f"(here: python {platform.python_version()}, numpy {np.__version__}, pillow {PIL.__version__}) on the same kind "
            "of processor"
        )
        raise UsageError(message)
    return plan


def raise_descriptor_limit() -> None:
    """Raise this process's soft limit of open files to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
