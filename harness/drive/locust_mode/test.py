"""A test that stock Locust starts, from its web UI or its command line: its options, the server it loads, and its users' work.

Knows Locust's environment and runner by what they do, and imports nothing of it: locustfile.py hooks this up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.base.errors import UsageError
from harness.drive.client.uploader import AttemptResult
from harness.drive.locust_mode.mock import MockProcess
from harness.drive.locust_mode.users import StockLocustUsers
from harness.scenario import loader
from harness.scenario.scenario import Scenario
from harness.target.loopback import parse_loopback_origin
from mock_server.profile.units import duration_s

MOCK = "mock"
"""What stands for a mock server of our own where Locust wants a host."""
_DEFAULT_SCENARIO = "kaliwates"
_DEFAULT_THINK = "1s"


def add_options(parser: Any) -> None:
    """Add ours to Locust's own options: its web UI shows them too (of an argument group it would not)."""
    parser.add_argument(
        "--scenario",
        choices=list(loader.shipped_scenarios()),
        default=_DEFAULT_SCENARIO,
        env_var="LOCUST_SCENARIO",
        help="Photos, stations, server and faults; its arrivals are not used: the users are.",
    )
    parser.add_argument(
        "--think",
        metavar="DURATION",
        default=_DEFAULT_THINK,
        env_var="LOCUST_THINK",
        help="Mean pause of a user between two stations, as in 500ms or 2s (exponential).",
    )
    parser.set_defaults(web_host="127.0.0.1")


def find_option_problem(options: Mapping[str, Any]) -> str | None:
    """What is wrong with the options (or a form of the web UI), in words; None if nothing is."""
    scenario = options.get("scenario", _DEFAULT_SCENARIO)
    shipped = loader.shipped_scenarios()
    if scenario not in shipped:
        return f'--scenario "{scenario}" is none of {", ".join(shipped)}'
    try:
        duration_s(options.get("think", _DEFAULT_THINK))
        if not _is_mock(options.get("host")):
            parse_loopback_origin("--host", str(options["host"]))
    except (UsageError, ValueError) as error:
        text = str(error)
        return text if isinstance(error, UsageError) else f'--think "{options.get("think")}" {text}'
    return None


class StockLocustTest:
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
        self.play: StockLocustUsers | None = None
        if serves and not environment.host:
            environment.host = MOCK

    def begin(self) -> None:
        """A test starts: the mock server if none was named, then the photos. Raises UsageError for a host elsewhere."""
        self.end()
        options = self._environment.parsed_options
        scenario = loader.load_scenario(options.scenario)
        if self._serves:
            self._serve(scenario)
        if self._drives:
            host = self._environment.host
            parse_loopback_origin("--host", host)
            rank = int(getattr(self._environment.runner, "worker_index", 0))
            self.play = StockLocustUsers(scenario, host, rank, duration_s(options.think), self._on_attempt)

    def end(self, *, keep_server: bool = False) -> None:
        """The test is over: its server goes, with all that it stored.

        `keep_server` leaves it until the next call: a master that quits says so before its workers' users have stopped, and
        what they still send must not find a server gone.
        """
        play, self.play = self.play, None
        if play is not None:
            play.close()
        if self._mock is not None and not keep_server:
            self._environment.host = MOCK
            self._mock.end()
            self._mock = None

    def _serve(self, scenario: Scenario) -> None:
        """Where all processes find the server: Locust passes its host on to the workers."""
        if _is_mock(self._environment.host):
            self._mock = MockProcess(scenario)
            self._environment.host = self._mock.url


def _is_mock(host: str | None) -> bool:
    return not host or host == MOCK
