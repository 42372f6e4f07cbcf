"""What Locust runs: the only module that imports it.

Under `harness run` an open (or closed) workload: one `ArrivalDriver` a worker works through the worker's shard of the plan, whatever the server does. The
master (or the only process) deals out the shards, passes T0 on, and waits for every worker's account before it quits:
Locust itself loses its last seconds at a quit, and ends well although a worker has crashed.

Talk with the parent: we say `listening` (master's port), `ready` (workers with their metrics ports), `finished` (accounts);
we hear `t0`, `stop`, and `scraped` (the last scrape is taken: quit).

Under stock Locust (`locust -f` this file: web UI, `--headless`, `--master`, `--worker`, `--processes`) its users are
`StationUser`s: a closed workload that nobody judges, see harness/drive/locust_mode/test.py.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, cast

import gevent
from flask import jsonify, request
from gevent.event import AsyncResult, Event
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.rpc.zmqrpc import BaseSocket
from locust.runners import STATE_SPAWNING, LocalRunner, MasterRunner, WorkerRunner
from locust.stats import StatsEntry

from harness.base.errors import ExitCode, UsageError
from harness.base.model import DELIVERED
from harness.drive.assignment import Assignment
from harness.drive.assignments import AssignmentBuilder
from harness.drive.client.uploader import AttemptResult
from harness.drive.control_channel import exit_with_parent, preparation_failure, send_event, start_receiving
from harness.drive.distributed.auth import JOIN_TOKEN, encrypt_locust
from harness.drive.distributed.join import CLOCK_OFFSET, REMOTE_WORKERS
from harness.drive.distributed.leader_session import LeaderSession
from harness.drive.distributed.worker_session import WorkerSession
from harness.drive.locust_mode.test import StockLocustTest, add_options, find_option_problem
from harness.drive.locust_stats import make_stats_listener
from harness.drive.worker import Worker
from harness.run_folder.layout import RunFolder

_LOOPBACK = "127.0.0.1"
_WORKER_NUMBERS_TIMEOUT_S = 5.0
_UNDER_HARNESS = "HARNESS_RUN" in os.environ


class MasterNode:
    """Deals out the shards and gathers the accounts; also in a run of one process."""

    def __init__(self, environment: Environment) -> None:
        self._runner = cast("Any", environment.runner)
        self._folder = RunFolder(Path(os.environ["HARNESS_RUN"]))
        self._workers: dict[int, dict[str, Any]] = {}
        self._accounts: dict[int, dict[str, Any]] = {}
        self._expected = 1
        self._numbers: dict[str, int] = {}
        self._reception = _make_leader_session(self._runner, self._folder)
        self._runner.register_message("number", self._on_number)
        self._runner.register_message("prepared", self._on_prepared)
        self._runner.register_message("final", self._on_final)

    def deal(self) -> None:
        """Send every worker its orders."""
        distributed = isinstance(self._runner, MasterRunner)
        clients = self._in_order() if distributed else [None]
        self._expected = len(clients)
        if self._reception is not None:
            self._reception.assign_ranks(cast("list[str]", clients), self._numbers)
        dealer = AssignmentBuilder(self._folder, self._expected, os.environ)
        common = dealer.common(away=self._reception is not None)
        for rank, client in enumerate(clients):
            self._runner.send_message("orders", asdict(dealer.order(common, rank)), client_id=client)

    def _in_order(self) -> list[str]:
        """Client ids in the order of the workers' own numbers (those of their logs); numberless ones last."""
        until = time.monotonic() + _WORKER_NUMBERS_TIMEOUT_S
        while len(self._numbers) < len(self._runner.clients) and time.monotonic() < until:
            gevent.sleep(0.02)
        return sorted(self._runner.clients, key=lambda client: (self._numbers.get(client, sys.maxsize), client))

    def hear(self, order: dict[str, Any]) -> None:
        """Pass on what the parent says."""
        match order["event"]:
            case "t0":
                self._runner.send_message("t0", {"monotonic": order["monotonic"]})
                if self._reception is not None:
                    self._reception.start()
            case "stop":
                self._expected -= order.get("lost", 0)
                self._runner.send_message("break_off", None)
                self._tell_when_finished()
            case "scraped":
                gevent.spawn(self._runner.quit)

    def _on_number(self, environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ARG002
        self._numbers[msg.node_id] = msg.data

    def _on_prepared(self, environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ARG002
        rank = msg.data["rank"]
        self._workers[rank] = msg.data
        if self._reception is not None:
            self._workers[rank] |= {"metrics_port": self._reception.start_metrics_proxy(rank), "pid": 0}
        if len(self._workers) == self._expected:
            send_event("ready", workers=[self._workers[rank] for rank in sorted(self._workers)])

    def _on_final(self, environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ARG002
        account = msg.data if self._reception is None else self._reception.complete_account(msg.data)
        self._accounts[account["rank"]] = account
        self._tell_when_finished()

    def _tell_when_finished(self) -> None:
        if len(self._accounts) >= self._expected:
            send_event("finished", workers=[self._accounts[rank] for rank in sorted(self._accounts)])


class WorkerNode:
    """Holds this process's shift and reports to the master."""

    def __init__(self, environment: Environment) -> None:
        self._on_records = make_stats_listener(environment.stats, StatsEntry)
        self._runner = cast("Any", environment.runner)
        self._orders: AsyncResult = AsyncResult()
        self._t0: AsyncResult = AsyncResult()
        self._shift: Worker | None = None
        self._outpost = WorkerSession(self._runner, os.environ) if CLOCK_OFFSET in os.environ else None
        offset_s = 0.0 if self._outpost is None else self._outpost.clock_offset_s
        self._runner.register_message("orders", lambda msg, **_: self._orders.set(Assignment(**msg.data)))
        self._runner.register_message("t0", lambda msg, **_: self._t0.set(msg.data["monotonic"] + offset_s))
        self._runner.register_message("break_off", lambda **_: gevent.spawn(self._break_off))
        if "HARNESS_WORKER" in os.environ:
            self._runner.send_message("number", int(os.environ["HARNESS_WORKER"]))

    def work(self) -> None:
        """Wait for the orders, prepare, wait for T0, work, report."""
        orders = self._orders.get()
        try:
            if self._outpost is None:
                self._shift = Worker(orders, self._on_records)
            else:
                self._shift = self._outpost.make_worker(orders, self._on_records)
        except UsageError as error:
            send_event("refused", reason=str(error))
            raise
        except OSError as error:
            event, reason = preparation_failure(error, orders.metrics_port)
            send_event(event, reason=reason)
            raise
        port = self._shift.metrics_port
        self._runner.send_message("prepared", {"rank": orders.rank, "metrics_port": port, "pid": os.getpid()})
        t0 = self._t0.get()
        account = self._shift.account() if t0 is None else self._shift.work(t0)
        if self._outpost is not None:
            account |= self._outpost.finish_journal()
        if account["unwritten"]:  # the parent hears it at once: other workers may have hours to go
            send_event("unwritten", rank=orders.rank, reason=account["unwritten"])
        self._runner.send_message("final", account)

    def flush(self) -> None:
        """Write down what is known, before an abrupt end."""
        if self._shift is not None:
            self._shift.flush()

    def _break_off(self) -> None:
        if not self._t0.ready():
            self._t0.set(None)
        elif self._shift is not None:
            self._shift.break_off()


def _make_leader_session(runner: Any, folder: RunFolder) -> LeaderSession | None:
    """Who receives the workers of other machines; None where there are none."""
    return LeaderSession(runner, folder.journal, os.environ, send_event) if REMOTE_WORKERS in os.environ else None


def _make_attempt_listener(environment: Environment) -> Callable[[AttemptResult], None]:
    """Feeds Locust's own statistics with attempts that came to an end, under a fixed name."""
    fire: Callable[..., None] = environment.events.request.fire

    def on_attempt(result: AttemptResult) -> None:
        if result.killed:
            return
        seconds = result.done_s - result.sent_s
        fire(
            request_type="POST",
            name="upload",
            response_time=0.0 if math.isnan(seconds) else seconds * 1000,
            response_length=0,
            exception=None if result.outcome in DELIVERED else str(result.outcome),
            context={},
        )

    return on_attempt


class ArrivalDriver(User):
    """Works through this process's shard of the plan: one a worker."""

    abstract = not _UNDER_HARNESS
    worker: ClassVar[WorkerNode]

    @task
    def drive(self) -> None:
        """The whole evening; afterwards nothing, until Locust quits."""
        self.worker.work()
        Event().wait()


def _set_up_run(environment: Environment, runner: Any, **_: Any) -> None:
    environment.process_exit_code = 0
    master = worker = None
    if isinstance(runner, MasterRunner | LocalRunner):
        master = MasterNode(environment)
        on_start: Any = environment.events.test_start
        on_start.add_listener(lambda **_: master.deal())
    if isinstance(runner, WorkerRunner | LocalRunner):
        worker = WorkerNode(environment)
        ArrivalDriver.worker = worker

    def orphaned() -> None:
        if worker is not None:
            worker.flush()
        os._exit(ExitCode.BUG)

    start_receiving(master.hear if master else lambda _: None, orphaned)
    if isinstance(runner, MasterRunner):
        send_event("listening", port=runner.server.port)


class StationUser(User):
    """A phone of stock Locust's: a station's evening, a pause to think, the next station's."""

    abstract = _UNDER_HARNESS
    stock: ClassVar[StockLocustTest]

    def wait_time(self) -> float:
        """Seconds to think."""
        play = self.stock.play
        return 0.0 if play is None else play.think_s()

    @task
    def evening(self) -> None:
        """The next station's evening."""
        if self.stock.play is None:  # the test could not begin: Locust's log says why
            raise StopUser
        self.stock.play.play()


def _set_up_stock(environment: Environment, runner: Any, web_ui: Any, **_: Any) -> None:
    worker = isinstance(runner, WorkerRunner)
    problem = None if worker else find_option_problem(vars(cast("Any", environment.parsed_options)))
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
        sys.exit(ExitCode.USAGE)
    drives = not isinstance(runner, MasterRunner)
    stock = StationUser.stock = StockLocustTest(
        environment, serves=not worker, drives=drives, on_attempt=_make_attempt_listener(environment)
    )
    on: Any = environment.events
    if not worker:
        # while server and photos are made: the web UI stops watching a test that it finds "stopped" right after its start
        on.test_start.add_listener(lambda **_: runner.update_state(STATE_SPAWNING))
    on.test_start.add_listener(lambda **_: stock.begin())
    on.test_stop.add_listener(lambda **_: stock.end(keep_server=runner.user_count > 0))
    on.quit.add_listener(lambda **_: stock.end())
    if web_ui is not None:
        web_ui.app.before_request(_reject_invalid_form)


def _reject_invalid_form() -> Any:
    """What the web UI answers to a start that can't be; None lets it go on."""
    if request.method != "POST" or not request.path.endswith("/swarm"):
        return None
    problem = find_option_problem(request.form.to_dict())
    return None if problem is None else jsonify({"success": False, "message": problem})


def _bind_to_loopback(parser: Any, **_: Any) -> None:
    """Locust's own defaults listen everywhere; its protocol knows no passwords."""
    parser.set_defaults(master_bind_host=_LOOPBACK, web_host=_LOOPBACK)


_on_init: Any = events.init
_on_options: Any = events.init_command_line_parser
_on_options.add_listener(_bind_to_loopback)
if _UNDER_HARNESS:
    if JOIN_TOKEN in os.environ:
        encrypt_locust(BaseSocket, os.environ[JOIN_TOKEN])
    exit_with_parent()
    _on_init.add_listener(_set_up_run)
else:
    _on_options.add_listener(lambda parser, **_: add_options(parser))
    _on_init.add_listener(_set_up_stock)
