"""The Locust processes of a run: the master hands out the assignments and collects the accounts, the workers send.

Imports nothing of Locust: locustfile.py passes in the runner, which sends and receives messages. A run of one process has
both nodes in it, on a runner that delivers to itself. The master waits for every account before it reports `finished`,
because Locust itself loses the last seconds of its statistics at a quit and exits with 0 although a worker has crashed.

Messages from the master: `assignment`, `t0`, `abort`, `stop_readers`; from a worker: `worker_number`, `prepared`, `stations_done`
(only if it has readers), `account`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import gevent
import numpy as np
from gevent.event import AsyncResult, Event

from harness.base.errors import UsageError
from harness.base.model import DELIVERED, OUTCOMES
from harness.drive.assignment import Assignment, AssignmentBuilder
from harness.drive.control_channel import preparation_failure, send_event
from harness.drive.distributed.join import CLOCK_OFFSET, REMOTE_WORKERS
from harness.drive.distributed.leader_session import LeaderSession
from harness.drive.distributed.worker_session import WorkerSession
from harness.drive.worker import Worker
from harness.run_folder.journal import RecordKind
from harness.run_folder.layout import RunFolder

if TYPE_CHECKING:
    import numpy.typing as npt

_WORKER_NUMBERS_TIMEOUT_S = 5.0


class MasterNode:
    """Hands out the assignments and collects the accounts, also in a run of one process.

    Events to the parent process: `ready` (every worker, with its metrics port), `own_client_failed` (a bug of the scenario's own
    client ended a worker's part) and `finished` (every account).
    """

    def __init__(self, runner: Any, *, distributed: bool) -> None:
        """`runner` is Locust's; `distributed` if the workers are processes of their own, which connect to it."""
        self._runner = runner
        self._distributed = distributed
        self._folder = RunFolder(Path(os.environ["HARNESS_RUN"]))
        self._workers: dict[int, dict[str, Any]] = {}
        self._accounts: dict[int, dict[str, Any]] = {}
        self._stations_done: set[int] = set()
        """Ranks of the workers whose stations are done and whose readers go on until those of all workers are."""
        self._expected = 1
        self._target_known = Event()
        """The target is in run.json: this process starts beside the server."""
        self._worker_numbers: dict[str, int] = {}
        self._session = _make_leader_session(self._runner, self._folder)
        self._runner.register_message("worker_number", self._on_worker_number)
        self._runner.register_message("prepared", self._on_prepared)
        self._runner.register_message("account", self._on_account)
        self._runner.register_message("stations_done", self._on_stations_done)

    def assign(self) -> None:
        """Send every worker its assignment, once the target is known."""
        self._target_known.wait()
        clients = self._ordered_clients() if self._distributed else [None]
        self._expected = len(clients)
        if self._session is not None:
            self._session.assign_ranks(cast("list[str]", clients), self._worker_numbers)
        builder = AssignmentBuilder(self._folder.read_run(), self._folder, self._expected, os.environ)
        common = builder.common(remote=self._session is not None)
        for rank, client in enumerate(clients):
            assignment = builder.for_worker(common, rank).to_message()
            self._runner.send_message("assignment", assignment, client_id=client)

    def receive(self, event: dict[str, Any]) -> None:
        """Pass an event of the parent process on to the workers."""
        match event["event"]:
            case "target":
                self._target_known.set()
            case "t0":
                self._runner.send_message("t0", {"monotonic": event["monotonic"]})
                if self._session is not None:
                    self._session.start()
            case "stop":
                # Workers that were lost will not send an account: don't wait for it.
                self._expected -= event.get("lost", 0)
                self._runner.send_message("abort", None)
                self._report_when_finished()
            case "scraped":
                gevent.spawn(self._runner.quit)

    def _ordered_clients(self) -> list[str]:
        """Client ids in the order of the workers' numbers, so that rank and log file agree; those without one come last."""
        until = time.monotonic() + _WORKER_NUMBERS_TIMEOUT_S
        while len(self._worker_numbers) < len(self._runner.clients) and time.monotonic() < until:
            gevent.sleep(0.02)
        return sorted(self._runner.clients, key=lambda client: (self._worker_numbers.get(client, sys.maxsize), client))

    def _on_worker_number(self, environment: Any, msg: Any, **_: Any) -> None:  # noqa: ARG002
        self._worker_numbers[msg.node_id] = msg.data

    def _on_prepared(self, environment: Any, msg: Any, **_: Any) -> None:  # noqa: ARG002
        rank = msg.data["rank"]
        self._workers[rank] = msg.data
        if self._session is not None:  # scraped through a proxy here; its pid means nothing on this machine
            self._workers[rank] |= {"metrics_port": self._session.start_metrics_proxy(rank), "pid": 0}
        if len(self._workers) == self._expected:
            send_event("ready", workers=[self._workers[rank] for rank in sorted(self._workers)])

    def _on_account(self, environment: Any, msg: Any, **_: Any) -> None:  # noqa: ARG002
        account = msg.data if self._session is None else self._session.complete_account(msg.data)
        self._accounts[account["rank"]] = account
        if account.get("own_client_bug"):  # at once, as the other workers may have hours to go, and the run is invalid
            send_event("own_client_failed", rank=account["rank"], reason=account["own_client_bug"])
        self._stop_readers_when_done()
        self._report_when_finished()

    def _on_stations_done(self, environment: Any, msg: Any, **_: Any) -> None:  # noqa: ARG002
        self._stations_done.add(msg.data)
        self._stop_readers_when_done()

    def _stop_readers_when_done(self) -> None:
        # A worker that was halted has sent its account without that message.
        if self._stations_done and len(self._stations_done | self._accounts.keys()) >= self._expected:
            self._runner.send_message("stop_readers", None)

    def _report_when_finished(self) -> None:
        if len(self._accounts) >= self._expected:
            send_event("finished", workers=[self._accounts[rank] for rank in sorted(self._accounts)])


class WorkerNode:
    """Runs the worker of this process and reports to the master.

    Events to the parent process: `refused`, `starved`, `failed` (it could not prepare) and `unwritten` (its journal).
    """

    def __init__(self, runner: Any, stats: Any, stats_entry: Callable[..., Any]) -> None:
        """`stats` are Locust's own statistics, `stats_entry` makes an entry of them."""
        self._on_records = make_stats_listener(stats, stats_entry)
        self._runner = runner
        self._assignment: AsyncResult = AsyncResult()
        self._t0: AsyncResult = AsyncResult()
        """When to start, on this machine's monotonic clock; None if the run was aborted before."""
        self._worker: Worker | None = None
        self._session = WorkerSession(self._runner, os.environ) if CLOCK_OFFSET in os.environ else None
        offset_s = 0.0 if self._session is None else self._session.clock_offset_s
        self._runner.register_message("assignment", lambda msg, **_: self._assignment.set(msg.data))
        self._runner.register_message("t0", lambda msg, **_: self._t0.set(msg.data["monotonic"] + offset_s))
        # Spawned: an abort waits for the attempts in flight, and Locust's message loop must go on meanwhile.
        self._runner.register_message("abort", lambda **_: gevent.spawn(self._abort))
        self._runner.register_message("stop_readers", lambda **_: gevent.spawn(self._stop_readers))
        if "HARNESS_WORKER" in os.environ:
            self._runner.send_message("worker_number", int(os.environ["HARNESS_WORKER"]))

    def work(self) -> None:
        """Wait for the assignment, prepare, wait for T0, send, report."""
        assignment = Assignment.from_message(self._assignment.get())
        self._worker = worker = self._prepare(assignment)
        worker.on_stations_done = lambda: self._runner.send_message("stations_done", assignment.rank)
        prepared = {"rank": assignment.rank, "metrics_port": worker.metrics_port, "pid": os.getpid()}
        self._runner.send_message("prepared", prepared)
        t0 = self._t0.get()
        account = worker.account() if t0 is None else worker.work(t0)
        if self._session is not None:
            account |= self._session.finish_journal()
        if account["unwritten"]:  # at once, because the account waits for the other workers, which may have hours to go
            send_event("unwritten", rank=assignment.rank, reason=account["unwritten"])
        self._runner.send_message("account", account)

    def flush(self) -> None:
        """Write what is known, before an abrupt end."""
        if self._worker is not None:
            self._worker.flush()

    def _prepare(self, assignment: Assignment) -> Worker:
        try:
            if self._session is None:
                return Worker(assignment, self._on_records)
            return self._session.make_worker(assignment, self._on_records)
        except UsageError as error:
            send_event("refused", reason=str(error))
            raise
        except OSError as error:
            event, reason = preparation_failure(error, assignment.metrics_port)
            send_event(event, reason=reason)
            raise

    def _stop_readers(self) -> None:
        if self._worker is not None:
            self._worker.stop_readers()

    def _abort(self) -> None:
        if not self._t0.ready():
            self._t0.set(None)
        elif self._worker is not None:
            self._worker.abort()


def make_stats_listener(stats: Any, entry: Callable[..., Any]) -> Callable[[npt.NDArray[np.void]], None]:
    """A listener that adds journal records (dtype journal.RECORD) to Locust's own statistics, under a fixed name.

    Firing Locust's event for each attempt would cost more than sending it, and in a run nothing but the statistics
    listens to it. So entries are added up as Locust's master adds up those of its workers.
    """
    delivered = [OUTCOMES.index(outcome) for outcome in DELIVERED]

    def on_records(records: npt.NDArray[np.void]) -> None:
        ends = records[
            (records["kind"] == RecordKind.END) & np.isfinite(records["sent_s"]) & np.isfinite(records["done_s"])
        ]
        if not len(ends):
            return
        delta: Any = entry(stats, "upload", "POST")  # Any: annotated as int where Locust itself adds floats
        now = time.time()
        took_ms = (ends["done_s"] - ends["sent_s"]) * 1000
        delta.num_requests = len(ends)
        delta.num_failures = int((~np.isin(ends["outcome"], delivered)).sum())
        delta.total_response_time = float(took_ms.sum())
        delta.min_response_time, delta.max_response_time = float(took_ms.min()), float(took_ms.max())
        times, counts = np.unique(np.rint(took_ms).astype(int), return_counts=True)
        delta.response_times = dict(zip(times.tolist(), counts.tolist(), strict=True))
        delta.last_request_timestamp = now
        delta.num_reqs_per_sec = {int(now): delta.num_requests}
        delta.num_fail_per_sec = {int(now): delta.num_failures}
        stats.total.extend(delta)
        stats.get("upload", "POST").extend(delta)

    return on_records


def _make_leader_session(runner: Any, folder: RunFolder) -> LeaderSession | None:
    """The session that remote workers join; None if all workers are on this machine."""
    if REMOTE_WORKERS not in os.environ:
        return None
    record = folder.read_run()
    own_client = (str(record.scenario["client"]["protocol"]), record.own_client_sha256)
    return LeaderSession(runner, folder.journal, os.environ, send_event, own_client=own_client)
