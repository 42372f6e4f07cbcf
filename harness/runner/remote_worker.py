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
from harness.base.errors import ChildError, ExitCode, HarnessError, LeaderlessError, StarvedError, UsageError
from harness.base.host_limits import limits_here
from harness.base.signals import Signals
from harness.drive.distributed.auth import JOIN_TOKEN
from harness.drive.distributed.clock_sync import Offset, RoundTrip, offset_of
from harness.drive.distributed.env import CLOCK_OFFSET, MASTER_ADDRESS
from harness.drive.distributed.join import PROTOCOL, Candidate
from harness.drive.distributed.leader_client import Line, round_trip
from harness.runner.exit_reason import lost_child, told_of
from harness.runner.launch import locust_command, private_folder, worker_environment
from harness.runner.subprocesses import Family, Interruption, Message

SILENT_S = 4.0
"""A master that says nothing for so long is gone: the load stops."""
_CANNOT: dict[str, type[HarnessError]] = {"refused": UsageError, "failed": ChildError, "starved": StarvedError}
"""What a child says that can't begin, and what that is here."""
_TRIPS = 16
_ASK_EVERY_S = 0.5
_LOOK_UP_EVERY_S = 0.5
_STEP_S = 0.05


class RemoteWorker:
    """One worker process's guardian, for one run."""

    def __init__(self, host: str, port: int, token: str, signals: Signals, say: Callable[[str], None]) -> None:
        """The master is at `host` (looked up once: what it leads to is kept to) and `port`."""
        self._host = host
        self._port = port
        self._token = token
        self._signals = signals
        self._say = say
        self._trips: deque[RoundTrip] = deque(maxlen=_TRIPS)
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
            Family(folder) as family,
            Line(address, self._port, identity, self._token) as line,
        ):
            self._line = line
            self._signals.listener = lambda number: family.note("signal", number=number)
            self._find(until, join_timeout_s)
            offset = offset_of(self._trips)
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
            time.sleep(_LOOK_UP_EVERY_S)

    def _find(self, until: float, timeout_s: float) -> None:
        """Wait for the master, and ask it the time until that is known well."""
        self._say(f"Looking for the master at {self._host}:{self._port} ({timeout_s:g} s)")
        while len(self._trips) < _TRIPS:
            if self._signals.heard is not None:
                raise Interruption(self._signals.heard)
            if time.monotonic() > until:
                raise UsageError(self._unheard(timeout_s))
            self._line.ask_the_time()
            self._hear(_STEP_S if self._trips else 0.2)

    def _unheard(self, timeout_s: float) -> str:
        where = f"the master at {self._host}:{self._port}"
        if not self._line.reached:
            return f"nobody listens at {self._host}:{self._port}: within {timeout_s:g} s there was no connection. Is harness run --remote-workers … --bind … under way there?"
        if not self._line.trusted:
            return f"{where} is locked with another {JOIN_TOKEN} than ours: set the same one on both machines"
        return f"{where} did not answer within {timeout_s:g} s"

    def _join(self, offset: Offset) -> int:
        facts = host_info.host()
        candidate = Candidate(
            name=facts["name"], package=__version__, protocol=PROTOCOL, cores=facts["cores"],
            limits=asdict(limits_here()), offset_s=offset.monotonic_s,
            wall_offset_s=offset.wall_s, uncertainty_s=offset.uncertainty_s,
        )  # fmt: skip
        self._say(
            f"Clocks: {1000 * offset.wall_s:+.1f} ms beside the master's, ± {1000 * offset.uncertainty_s:.1f} ms (best of {_TRIPS})"
        )
        self._line.say("join", candidate.told())
        until = time.monotonic() + SILENT_S
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
        message = self._line.hear(timeout_s)
        if message is None:
            return "", None
        self._heard_s = time.monotonic()
        if message[0] == "time":
            self._trips.append(round_trip(message[1], self._heard_s))
        return message

    # --- working

    def _start(self, family: Family, folder: Path, address: str, ticket: int, offset: Offset) -> None:
        more = {
            "HARNESS_WORKER": str(ticket),
            CLOCK_OFFSET: repr(offset.monotonic_s),
            MASTER_ADDRESS: address,
            JOIN_TOKEN: self._token,
        }
        argv = [*locust_command(), "--worker", "--master-host", address, "--master-port", str(self._port)]
        family.start("worker", argv, worker_environment(folder, more))

    def _watch(self, family: Family, ticket: int) -> ExitCode:
        """Until the child has ended, the master has gone, or a signal came."""
        asked_s, first = 0.0, list(self._trips)
        self._trips.clear()
        while True:
            now = time.monotonic()
            if now - asked_s > _ASK_EVERY_S:
                asked_s = now
                self._tell_clocks(ticket, first)
                self._line.ask_the_time()
            kind, content = self._hear(_STEP_S)
            if kind == "over":
                text = f"there is no run: {content}"
                raise UsageError(text)
            if now - self._heard_s > SILENT_S:
                text = f"the master fell silent for {SILENT_S:g} s: the load is stopped"
                raise LeaderlessError(text)
            said = family.next(0.0)
            if said is not None and (code := self._heard_of(family, ticket, said)) is not None:
                return code

    def _tell_clocks(self, ticket: int, first: list[RoundTrip]) -> None:
        trips = list(self._trips) or first
        self._line.say("clock", {"ticket": ticket, "offset": asdict(offset_of(trips))})

    def _heard_of(self, family: Family, ticket: int, said: Message) -> ExitCode | None:
        if said.event == "signal":
            self._leave(ticket, "it was stopped there by a signal")
            return ExitCode.INTERRUPTED if said.content["number"] == signal.SIGINT else ExitCode.TERMINATED
        if said.event in _CANNOT:
            reason = str(said.content["reason"])
            self._leave(ticket, reason, said.event)
            raise _CANNOT[said.event](reason)
        if said.event != "ended":
            return None
        code = said.content["exit_code"]
        if code == 0:
            self._say("The run is over")
            return ExitCode.PASSED
        text = told_of("its process", code)
        self._leave(ticket, text)
        raise lost_child(code, family.explained("worker", text))

    def _leave(self, ticket: int, reason: str, event: str = "failed") -> None:
        """Tell the master why we go; `event` as our child would have told it on the master's own machine."""
        self._line.say("gone", {"ticket": ticket, "reason": reason, "event": event})
