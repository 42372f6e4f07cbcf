"""What Locust runs: the only module that imports Locust, but for `__main__`, which starts it.

Under `harness run` one `ArrivalDriver` per worker process sends the worker's shard of the plan, whatever the server does; see
harness/drive/nodes.py. Events to the parent process: `listening` (the master's port) and those of the nodes; events from
it: `target` (it is in run.json), `t0`, `stop`, and `scraped` (the last scrape has been taken: quit).

Under stock Locust (`locust -f` this file: web UI, `--headless`, `--master`, `--worker`, `--processes`) its users are
`StationUser`s: a closed workload without a verdict, see harness/drive/locust_mode/test.py.
"""

from __future__ import annotations

import os
import sys
from typing import Any, ClassVar, cast

from flask import jsonify, request
from gevent.event import Event
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.rpc.zmqrpc import BaseSocket
from locust.runners import STATE_SPAWNING, LocalRunner, MasterRunner, WorkerRunner
from locust.stats import StatsEntry

from harness.base.errors import ExitCode
from harness.drive.control_channel import exit_with_parent, send_event, start_receiving
from harness.drive.distributed.auth import JOIN_TOKEN, encrypt_locust
from harness.drive.locust_mode.test import LocustTest, add_options, find_option_problem
from harness.drive.locust_mode.users import make_attempt_listener
from harness.drive.nodes import MasterNode, WorkerNode

_LOOPBACK = "127.0.0.1"
_UNDER_HARNESS = "HARNESS_RUN" in os.environ


class ArrivalDriver(User):
    """Sends this process's shard of the plan: one per worker, and the only Locust user there is under `harness run`."""

    abstract = not _UNDER_HARNESS
    node: ClassVar[WorkerNode]

    @task
    def drive(self) -> None:
        """Do all the work of the run in one task, then wait for Locust to quit."""
        self.node.work()
        Event().wait()


def _set_up_run(environment: Environment, runner: Any, **_: Any) -> None:
    environment.process_exit_code = 0  # failed attempts are results, not an error of this process
    master = worker = None
    if isinstance(runner, MasterRunner | LocalRunner):
        master = MasterNode(runner, distributed=isinstance(runner, MasterRunner))
        on_start: Any = environment.events.test_start
        on_start.add_listener(lambda **_: master.assign())
    if isinstance(runner, WorkerRunner | LocalRunner):
        worker = ArrivalDriver.node = WorkerNode(runner, environment.stats, StatsEntry)

    def exit_orphaned() -> None:
        if worker is not None:
            worker.flush()
        os._exit(ExitCode.BUG)

    start_receiving(master.receive if master else lambda _: None, exit_orphaned)
    if isinstance(runner, MasterRunner):
        send_event("listening", port=runner.server.port)


class StationUser(User):
    """A user of stock Locust: one station after another, with a think time between."""

    abstract = _UNDER_HARNESS
    test: ClassVar[LocustTest]

    def wait_time(self) -> float:
        """Seconds to think; Locust calls it after each task."""
        users = self.test.users
        return 0.0 if users is None else users.draw_think_s()

    # The function's name shows in Locust's list of tasks.
    @task
    def upload_station(self) -> None:
        """Play the next station."""
        if self.test.users is None:  # the test could not start: Locust's log has the reason
            raise StopUser
        self.test.users.play_station()


def _set_up_locust_mode(environment: Environment, runner: Any, web_ui: Any, **_: Any) -> None:
    is_worker = isinstance(runner, WorkerRunner)
    problem = None if is_worker else find_option_problem(vars(cast("Any", environment.parsed_options)))
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
        sys.exit(ExitCode.USAGE)
    test = StationUser.test = LocustTest(
        environment,
        serves=not is_worker,
        drives=not isinstance(runner, MasterRunner),
        on_attempt=make_attempt_listener(environment.events.request.fire),
    )
    on: Any = environment.events
    if not is_worker:
        # While the server starts and the photos are made: the web UI stops polling a test that it finds "stopped" right
        # after its start.
        on.test_start.add_listener(lambda **_: runner.update_state(STATE_SPAWNING))
    on.test_start.add_listener(lambda **_: test.start())
    on.test_stop.add_listener(lambda **_: test.end(keep_server=runner.user_count > 0))
    on.quit.add_listener(lambda **_: test.end())
    if web_ui is not None:
        web_ui.app.before_request(_reject_invalid_form)


def _reject_invalid_form() -> Any:
    """The web UI's response to a start with invalid options; None lets the request through."""
    if request.method != "POST" or not request.path.endswith("/swarm"):
        return None
    problem = find_option_problem(request.form.to_dict())
    return None if problem is None else jsonify({"success": False, "message": problem})


def _bind_to_loopback(parser: Any, **_: Any) -> None:
    """Change Locust's defaults, which listen on all interfaces without a password."""
    parser.set_defaults(master_bind_host=_LOOPBACK, web_host=_LOOPBACK)


_on_init: Any = events.init
_on_options: Any = events.init_command_line_parser
_on_options.add_listener(_bind_to_loopback)
if _UNDER_HARNESS:
    if JOIN_TOKEN in os.environ:
        # Before Locust opens a socket: CURVE keys can only be set on one that is not connected yet.
        encrypt_locust(BaseSocket, os.environ[JOIN_TOKEN])
    exit_with_parent()
    _on_init.add_listener(_set_up_run)
else:
    _on_options.add_listener(lambda parser, **_: add_options(parser))
    _on_init.add_listener(_set_up_locust_mode)
