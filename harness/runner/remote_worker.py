"""`harness worker`: this machine's part in a run that another machine's `harness run --remote-workers` leads.

Finds the master, compares clocks, asks to join, then runs Locust's worker as a child and watches over both: the master hears at
once when the child ends, and the child is ended when the master falls silent, so that no load goes on that nobody leads.
"""

from __future__ import annotations

import secrets
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import __version__
from harness.base import host_info
from harness.base.errors import (
    ExitCode,
    HarnessError,
    LeaderLostError,
    OutOfResourcesError,
    ProcessFailedError,
    UsageError,
)
from harness.base.host_limits import read_host_limits
from harness.base.signals import SignalHandler
from harness.drive.distributed.auth import JOIN_TOKEN
from harness.drive.distributed.join import (
    CLOCK_OFFSET,
    HEARTBEAT_TIMEOUT_S,
    LEADER_ADDRESS,
    PROTOCOL_VERSION,
    JoinRequest,
)
from harness.drive.distributed.leader_client import (
    ClockOffset,
    LeaderClient,
    RoundTrip,
    estimate_offset,
    parse_clock_reply,
)
from harness.runner.exit_reason import child_error, describe_exit
from harness.runner.launch import locust_command, private_folder, worker_environment
from harness.runner.subprocesses import Interruption, Message, ProcessGroup

_ERROR_OF_EVENT: dict[str, type[HarnessError]] = {
    "refused": UsageError,
    "failed": ProcessFailedError,
    "starved": OutOfResourcesError,
}
"""What a child says that can't begin, and what that is here."""
_CLOCK_SAMPLES = 16
_CLOCK_INTERVAL_S = 0.5
_LOOKUP_INTERVAL_S = 0.5
_POLL_S = 0.05


class RemoteWorker:
    """One worker process's guardian, for one run."""

    def __init__(self, host: str, port: int, token: str, signals: SignalHandler, say: Callable[[str], None]) -> None:
        """The master is at `describe_host` (looked up once: what it leads to is kept to) and `port`."""
        self._host = host
        self._port = port
        self._token = token
        self._signals = signals
        self._say = say
        self._trips: deque[RoundTrip] = deque(maxlen=_CLOCK_SAMPLES)
        self._heard_s = time.monotonic()

    def work(self, join_timeout_s: float) -> ExitCode:
        """Join and work to the end.

        Raises UsageError where nobody is there in time or the master refuses; ChildError where the work could not be done.
        """
        until = time.monotonic() + join_timeout_s
        address = self._look_up(until)
        identity = f"{socket.gethostname()}_{secrets.token_hex(8)}"
        with (
            private_folder() as folder,
            ProcessGroup(folder) as family,
            LeaderClient(address, self._port, identity, self._token) as line,
        ):
            self._line = line
            self._signals.listener = lambda number: family.note("signal", number=number)
            self._find(until, join_timeout_s)
            offset = estimate_offset(self._trips)
            ticket = self._join(offset)
            self._say(f"Joined as worker {ticket}; waiting for the run")
            self._start(family, folder, address, ticket, offset)
            return self._watch(family, ticket)

    # --- joining

    def _look_up(self, until: float) -> str:
        """The one address that the master's name leads to; a name may come with the master. Raises UsageError."""
        while True:
            try:
                return str(socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)[0][4][0])
            except OSError as error:
                if time.monotonic() > until:
                    message = f"--master {self._host}: its address can't be found: {error.strerror or error}"
                    raise UsageError(message) from None
            if self._signals.heard is not None:
                raise Interruption(self._signals.heard)
            time.sleep(_LOOKUP_INTERVAL_S)

    def _find(self, until: float, timeout_s: float) -> None:
        """Wait for the master, and ask it the time until that is known well."""
        self._say(f"Looking for the master at {self._host}:{self._port} ({timeout_s:g} s)")
        while len(self._trips) < _CLOCK_SAMPLES:
            if self._signals.heard is not None:
                raise Interruption(self._signals.heard)
            if time.monotonic() > until:
                raise UsageError(self._unheard(timeout_s))
            self._line.request_time()
            self._hear(_POLL_S if self._trips else 0.2)

    def _unheard(self, timeout_s: float) -> str:
        where = f"the master at {self._host}:{self._port}"
        if not self._line.connected:
            return f"nobody listens at {self._host}:{self._port}: within {timeout_s:g} s there was no connection. Is harness run --remote-workers … --bind … under way there?"
        if not self._line.authenticated:
            return f"{where} is locked with another {JOIN_TOKEN} than ours: set the same one on both machines"
        return f"{where} did not answer within {timeout_s:g} s"

    def _join(self, offset: ClockOffset) -> int:
        facts = host_info.describe_host()
        candidate = JoinRequest(
            name=facts["name"], package=__version__, protocol=PROTOCOL_VERSION, cores=facts["cores"],
            limits=asdict(read_host_limits()), offset_s=offset.monotonic_s,
            wall_offset_s=offset.wall_s, uncertainty_s=offset.uncertainty_s,
        )  # fmt: skip
        self._say(
            f"Clocks: {1000 * offset.wall_s:+.1f} ms beside the master's, ± {1000 * offset.uncertainty_s:.1f} ms (best of {_CLOCK_SAMPLES})"
        )
        self._line.send("join", candidate.to_message())
        until = time.monotonic() + HEARTBEAT_TIMEOUT_S
        while (left_s := until - time.monotonic()) > 0:
            kind, content = self._hear(left_s)
            if kind == "welcome":
                return int(content)
            if kind in {"refused", "over"}:
                text = f"the master at {self._host}:{self._port} refused this worker: {content}"
                raise UsageError(text)
        text = f"the master at {self._host}:{self._port} did not say whether we may join"
        raise UsageError(text)

    def _hear(self, timeout_s: float) -> tuple[str, Any]:
        """The next message, ("", None) if none came in time. What it tells of the time is noted."""
        message = self._line.receive(timeout_s)
        if message is None:
            return "", None
        self._heard_s = time.monotonic()
        if message[0] == "time":
            self._trips.append(parse_clock_reply(message[1], self._heard_s))
        return message

    # --- working

    def _start(self, family: ProcessGroup, folder: Path, address: str, ticket: int, offset: ClockOffset) -> None:
        more = {
            "HARNESS_WORKER": str(ticket),
            CLOCK_OFFSET: repr(offset.monotonic_s),
            LEADER_ADDRESS: address,
            JOIN_TOKEN: self._token,
        }
        argv = [*locust_command(), "--worker", "--master-host", address, "--master-port", str(self._port)]
        family.start("worker", argv, worker_environment(folder, more))

    def _watch(self, family: ProcessGroup, ticket: int) -> ExitCode:
        """Until the child has ended, the master has gone, or a signal came."""
        asked_s, first = 0.0, list(self._trips)
        self._trips.clear()
        while True:
            now = time.monotonic()
            if now - asked_s > _CLOCK_INTERVAL_S:
                asked_s = now
                self._tell_clocks(ticket, first)
                self._line.request_time()
            kind, content = self._hear(_POLL_S)
            if kind == "over":
                text = f"there is no run: {content}"
                raise UsageError(text)
            if now - self._heard_s > HEARTBEAT_TIMEOUT_S:
                text = f"the master fell silent for {HEARTBEAT_TIMEOUT_S:g} s: the load is stopped"
                raise LeaderLostError(text)
            said = family.next(0.0)
            if said is not None and (code := self._heard_of(family, ticket, said)) is not None:
                return code

    def _tell_clocks(self, ticket: int, first: list[RoundTrip]) -> None:
        trips = list(self._trips) or first
        self._line.send("clock", {"ticket": ticket, "offset": asdict(estimate_offset(trips))})

    def _heard_of(self, family: ProcessGroup, ticket: int, said: Message) -> ExitCode | None:
        if said.event == "signal":
            self._leave(ticket, "it was stopped there by a signal")
            return ExitCode.INTERRUPTED if said.content["number"] == signal.SIGINT else ExitCode.TERMINATED
        if said.event in _ERROR_OF_EVENT:
            reason = str(said.content["reason"])
            self._leave(ticket, reason, said.event)
            raise _ERROR_OF_EVENT[said.event](reason)
        if said.event != "ended":
            return None
        code = said.content["exit_code"]
        if code == 0:
            self._say("The run is over")
            return ExitCode.PASSED
        text = describe_exit("its process", code)
        self._leave(ticket, text)
        raise child_error(code, family.explained("worker", text))

    def _leave(self, ticket: int, reason: str, event: str = "failed") -> None:
        """Tell the master why we go; `event` as our child would have told it on the master's own machine."""
        self._line.send("gone", {"ticket": ticket, "reason": reason, "event": event})
