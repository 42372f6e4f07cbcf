"""`harness worker`: one worker process on this machine for a run that `harness run --remote-workers` leads on another.

It finds the leader, compares clocks, asks to join, then runs Locust's worker as a child process and supervises both sides: the
leader learns at once when the child ends, and the child is stopped when the leader goes silent, so that no load goes on that
nobody controls.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import __version__
from harness.base.errors import (
    ExitCode,
    HarnessError,
    LeaderLostError,
    OutOfResourcesError,
    ProcessFailedError,
    UsageError,
)
from harness.base.host import available_cores, describe_host, read_host_limits
from harness.base.signals import Interruption, SignalHandler
from harness.base.temporary import temporary_folder
from harness.drive.distributed.auth import JOIN_TOKEN
from harness.drive.distributed.join import (
    CLOCK_OFFSET,
    HEARTBEAT_TIMEOUT_S,
    LEADER_ADDRESS,
    OWN_CLIENT,
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
from harness.runner.launch import locust_command, worker_environment
from harness.runner.subprocesses import Message, ProcessGroup

_ERROR_OF_EVENT: dict[str, type[HarnessError]] = {
    "refused": UsageError,
    "failed": ProcessFailedError,
    "starved": OutOfResourcesError,
}
"""Events of a child that can't begin, and the error that each becomes here."""
_CLOCK_SAMPLES = 16
_CLOCK_INTERVAL_S = 0.5
_LOOKUP_INTERVAL_S = 0.5
_POLL_S = 0.05


@dataclass(frozen=True)
class AllowedClient:
    """An own client that a remote worker may run."""

    name: str
    """The absolute path of its file, or an installed one's name."""
    sha256: str


class RemoteWorker:
    """Joins one run and supervises the one worker process that works for it."""

    def __init__(
        self, host: str, port: int, token: str, signals: SignalHandler, log: Callable[[str], None],
        own_client: AllowedClient | None = None,
    ) -> None:  # fmt: skip
        """`host` and `port` are the leader's; `token` is the shared secret; `log` receives one line per step.

        `own_client` is the own client that this worker may run; None: none.
        """
        self._own_client = own_client
        self._host = host
        self._port = port
        self._token = token
        self._signals = signals
        self._log = log
        self._round_trips: deque[RoundTrip] = deque(maxlen=_CLOCK_SAMPLES)
        self._received_s = time.monotonic()

    def work(self, join_timeout_s: float) -> ExitCode:
        """Join the run, work until it ends, and return the exit code.

        Raises UsageError if the leader can't be reached within `join_timeout_s` or rejects this worker, LeaderLostError if it
        goes silent, ProcessFailedError or OutOfResourcesError if the worker process fails, Interruption on a signal before joining.
        """
        until = time.monotonic() + join_timeout_s
        # Resolved once: the name must not lead to another machine when the child connects.
        address = self._resolve(until)
        identity = f"{socket.gethostname()}_{secrets.token_hex(8)}"
        with (
            temporary_folder("worker") as folder,
            ProcessGroup(folder) as processes,
            LeaderClient(address, self._port, identity, self._token) as leader,
        ):
            self._leader = leader
            self._signals.listener = lambda number: processes.post("signal", number=number)
            self._synchronise(until, join_timeout_s)
            offset = estimate_offset(self._round_trips)
            ticket = self._join(offset)
            self._log(f"Joined as worker {ticket}; waiting for the run")
            self._start(processes, folder, address, ticket, offset)
            return self._supervise(processes, ticket)

    # --- joining

    def _resolve(self, until: float) -> str:
        """The leader's address. Retries until then: the leader's machine may still be coming up, and its name with it."""
        while True:
            try:
                return str(socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)[0][4][0])
            except OSError as error:
                if time.monotonic() > until:
                    message = f"--master {self._host}: the name can't be resolved: {error.strerror or error}"
                    raise UsageError(message) from None
            if self._signals.received is not None:
                raise Interruption(self._signals.received)
            time.sleep(_LOOKUP_INTERVAL_S)

    def _synchronise(self, until: float, timeout_s: float) -> None:
        """Wait for the leader, then measure its clock: the best of several round trips bounds the error."""
        self._log(f"Connecting to the leader at {self._host}:{self._port} (up to {timeout_s:g} s)")
        while len(self._round_trips) < _CLOCK_SAMPLES:
            if self._signals.received is not None:
                raise Interruption(self._signals.received)
            if time.monotonic() > until:
                raise UsageError(self._why_unreachable(timeout_s))
            self._leader.request_time()
            # Until the first reply the leader may not be there yet: ask less often.
            self._receive(_POLL_S if self._round_trips else 0.2)

    def _why_unreachable(self, timeout_s: float) -> str:
        where = f"{self._host}:{self._port}"
        if not self._leader.connected:
            return f"connection refused by {where} for {timeout_s:g} s: is harness run --remote-workers … --bind … running there?"
        if not self._leader.authenticated:
            return (
                f"join token mismatch: the leader at {where} uses another {JOIN_TOKEN}; set the same on both machines"
            )
        return f"the leader at {where} did not answer within {timeout_s:g} s"

    def _join(self, offset: ClockOffset) -> int:
        """Ask to join; the number that the leader gives this worker. Raises UsageError if it rejects us or does not answer."""
        facts = describe_host()
        request = JoinRequest(
            name=facts["name"], package=__version__, protocol=PROTOCOL_VERSION, cores=available_cores(),
            limits=asdict(read_host_limits()), offset_s=offset.monotonic_s,
            wall_offset_s=offset.wall_s, uncertainty_s=offset.uncertainty_s,
            own_client_sha256="" if self._own_client is None else self._own_client.sha256,
        )  # fmt: skip
        self._log(
            f"Clock offset to the leader: {1000 * offset.wall_s:+.1f} ms ± {1000 * offset.uncertainty_s:.1f} ms "
            f"(best of {_CLOCK_SAMPLES} round trips)"
        )
        self._leader.send("join", request.to_message())
        until = time.monotonic() + HEARTBEAT_TIMEOUT_S
        while (left_s := until - time.monotonic()) > 0:
            kind, content = self._receive(left_s)
            if kind == "welcome":
                return int(content)
            if kind in {"refused", "over"}:
                text = f"the leader at {self._host}:{self._port} rejected this worker: {content}"
                raise UsageError(text)
        text = (
            f"the leader at {self._host}:{self._port} did not answer the join request within {HEARTBEAT_TIMEOUT_S:g} s"
        )
        raise UsageError(text)

    def _receive(self, timeout_s: float) -> tuple[str, Any]:
        """The leader's next message, ("", None) if none came in time. Clock replies are also kept as round trips."""
        message = self._leader.receive(timeout_s)
        if message is None:
            return "", None
        self._received_s = time.monotonic()
        if message[0] == "time":
            self._round_trips.append(parse_clock_reply(message[1], self._received_s))
        return message

    # --- working

    def _start(self, processes: ProcessGroup, folder: Path, address: str, ticket: int, offset: ClockOffset) -> None:
        more = {
            "HARNESS_WORKER": str(ticket),
            CLOCK_OFFSET: repr(offset.monotonic_s),
            LEADER_ADDRESS: address,
            JOIN_TOKEN: self._token,
            **({} if self._own_client is None else {OWN_CLIENT: self._own_client.name}),
        }
        argv = [*locust_command(), "--worker", "--master-host", address, "--master-port", str(self._port)]
        processes.start("worker", argv, worker_environment(folder, more))

    def _supervise(self, processes: ProcessGroup, ticket: int) -> ExitCode:
        """Wait until the child has ended, the leader is lost, or a signal arrives."""
        asked_s, initial = 0.0, list(self._round_trips)
        # Clocks drift during a long run: from here on only fresh round trips count.
        self._round_trips.clear()
        while True:
            now_s = time.monotonic()
            if now_s - asked_s > _CLOCK_INTERVAL_S:
                asked_s = now_s
                self._send_clock(ticket, initial)
                self._leader.request_time()
            kind, content = self._receive(_POLL_S)
            if kind == "over":
                text = f"the leader has no run for this worker: {content}"
                raise UsageError(text)
            if now_s - self._received_s > HEARTBEAT_TIMEOUT_S:
                text = f"the leader has been silent for {HEARTBEAT_TIMEOUT_S:g} s: stopping the load"
                raise LeaderLostError(text)
            message = processes.next(0.0)
            if message is not None and (code := self._exit_after(processes, ticket, message)) is not None:
                return code

    def _send_clock(self, ticket: int, initial: list[RoundTrip]) -> None:
        """Send the current clock offset; it also serves as this worker's heartbeat."""
        round_trips = list(self._round_trips) or initial
        self._leader.send("clock", {"ticket": ticket, "offset": asdict(estimate_offset(round_trips))})

    def _exit_after(self, processes: ProcessGroup, ticket: int, message: Message) -> ExitCode | None:
        """The exit code if this message ends our part; None if the work goes on. Raises if the child failed."""
        if message.event == "signal":
            self._leave(ticket, "it was stopped there by a signal")
            return ExitCode(128 + message.content["number"])
        if message.event in _ERROR_OF_EVENT:
            reason = str(message.content["reason"])
            self._leave(ticket, reason, message.event)
            raise _ERROR_OF_EVENT[message.event](reason)
        if message.event != "ended":
            return None
        code = message.content["exit_code"]
        if code == 0:
            self._log("The run is over")
            return ExitCode.PASSED
        text = describe_exit("its process", code)
        self._leave(ticket, text)
        raise child_error(code, processes.with_log_tail("worker", text))

    def _leave(self, ticket: int, reason: str, event: str = "failed") -> None:
        """Tell the leader why this worker goes; `event` is what the child would have sent as a local worker of the leader."""
        self._leader.send("gone", {"ticket": ticket, "reason": reason, "event": event})
