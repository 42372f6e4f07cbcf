"""A test that stock Locust starts, from its web UI or its command line: its options, the server it loads, its users.

Uses Locust's environment and runner by what they do and imports nothing of Locust: locustfile.py connects the two.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import gevent

from harness.base.errors import ProcessFailedError, UsageError
from harness.base.safe_files import write_json
from harness.base.temporary import temporary_folder
from harness.drive.client.uploader import AttemptResult
from harness.drive.locust_mode.users import LocustUsers
from harness.scenario import loader
from harness.scenario.scenario import Scenario
from harness.target.connect import parse_loopback_origin
from mock_server.profile.units import duration_s

MOCK = "mock"
"""Stands for a mock server that the test starts itself where Locust wants a host."""
_DEFAULT_SCENARIO = "kaliwates"
_DEFAULT_THINK = "1s"
_READY_TIMEOUT_S = 30.0
_EXIT_TIMEOUT_S = 5.0


def add_options(parser: Any) -> None:
    """Add `--scenario` and `--think` to Locust's own options, outside a group: its web UI does not show groups.

    Abbreviations are refused: `--headles` would start the web UI, or a test without an end.
    """
    parser.allow_abbrev = False
    parser.add_argument(
        "--scenario",
        choices=list(loader.shipped_scenarios()),
        default=_DEFAULT_SCENARIO,
        env_var="LOCUST_SCENARIO",
        help="Photos, stations, server and faults. Its arrivals are not used: Locust's users replace them.",
    )
    parser.add_argument(
        "--think",
        metavar="DURATION",
        default=_DEFAULT_THINK,
        env_var="LOCUST_THINK",
        help="Mean think time of a user between two stations, such as 500ms or 2s (exponentially distributed).",
    )
    parser.set_defaults(web_host="127.0.0.1")


def find_option_problem(options: Mapping[str, Any]) -> str | None:
    """What is wrong with the options (or with a form of the web UI), as a message; None if nothing is."""
    scenario = options.get("scenario", _DEFAULT_SCENARIO)
    shipped = loader.shipped_scenarios()
    if scenario not in shipped:
        return f'--scenario "{scenario}" is not one of {", ".join(shipped)}'
    try:
        duration_s(options.get("think", _DEFAULT_THINK))
        if not _is_mock(options.get("host")):
            parse_loopback_origin("--host", str(options["host"]))
    except (UsageError, ValueError) as error:
        text = str(error)
        return text if isinstance(error, UsageError) else f'--think "{options.get("think")}" {text}'
    return None


class LocustTest:
    """One process of stock Locust: the only one, the master, or a worker."""

    def __init__(
        self, environment: Any, *, serves: bool, drives: bool, on_attempt: Callable[[AttemptResult], None]
    ) -> None:
        """`serves`: starts the mock server (the only process, or the master); `drives`: has users (all but a master)."""
        self._environment = environment
        self._serves = serves
        self._drives = drives
        self._on_attempt = on_attempt
        self._mock: MockProcess | None = None
        self.users: LocustUsers | None = None
        """What this process's users do; None while no test runs."""
        if serves and not environment.host:
            environment.host = MOCK

    def start(self) -> None:
        """Start the mock server if no host was named, and plan the photos. Raises UsageError if the host is not loopback."""
        self.end()
        options = self._environment.parsed_options
        scenario = loader.load_scenario(options.scenario)
        if self._serves and _is_mock(self._environment.host):
            self._mock = MockProcess(scenario)
            # Here the workers find the server: Locust passes its host on to them.
            self._environment.host = self._mock.url
        if self._drives:
            host = self._environment.host
            parse_loopback_origin("--host", host)
            rank = int(getattr(self._environment.runner, "worker_index", 0))
            self.users = LocustUsers(scenario, host, rank, duration_s(options.think), self._on_attempt)

    def end(self, *, keep_server: bool = False) -> None:
        """End the test: its mock server exits, with all that it stored.

        `keep_server` leaves it until the next call: a master that quits ends the test before its workers' users have
        stopped, and what they still send must not meet a closed port.
        """
        users, self.users = self.users, None
        if users is not None:
            users.close()
        if self._mock is not None and not keep_server:
            self._environment.host = MOCK
            self._mock.end()
            self._mock = None


class MockProcess:
    """A mock server with a scenario's profile and faults: a child of this process that lives as long as the test.

    `harness run` starts its own differently (harness/runner/launch.py): with PINs, a run folder, and a life after the
    last upload.
    """

    def __init__(self, scenario: Scenario) -> None:
        """Start it on a port that the kernel chooses; its faults' schedule begins at once.

        Raises ProcessFailedError if it is not ready in time.
        """
        self._resources = ExitStack()
        self._folder = self._resources.enter_context(temporary_folder("mock-server"))
        self._log = self._folder / "server.log"
        profile = self._folder / "profile.json"
        write_json(profile, scenario.mock_profile())
        argv = [
            "--supervised",
            "--profile",
            str(profile),
            "--data",
            str(self._folder),
            "--port",
            "0",
            "--admin-port",
            "0",
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mock_server", *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "MOCK_SERVER_ADMIN_TOKEN": secrets.token_urlsafe(24)},
                process_group=0,
            )
        try:
            self.url = f"http://127.0.0.1:{self._wait_until_ready()}"
            self._send({"event": "t0", "monotonic": time.monotonic()})
        except BaseException:
            # Also a GreenletExit: the user may stop the test before it has begun, and the child must not outlive it.
            self.end()
            raise

    def end(self) -> None:
        """End it and remove what it stored."""
        if self._process.stdin is not None:
            self._process.stdin.close()  # end of file asks it to exit
        try:
            self._process.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._resources.close()

    def _wait_until_ready(self) -> int:
        """Wait for the server's `ready` event; returns its port."""
        output = self._process.stdout
        with gevent.Timeout(_READY_TIMEOUT_S, False):
            for line in output or ():
                message = json.loads(line)
                if message.get("event") == "ready":
                    return int(message["port"])
        text = f"the mock server did not start:\n{self._log.read_text('utf-8', 'replace')[-2000:]}"
        raise ProcessFailedError(text)

    def _send(self, content: dict[str, object]) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(content).encode() + b"\n")
            self._process.stdin.flush()


def _is_mock(host: str | None) -> bool:
    return not host or host == MOCK
