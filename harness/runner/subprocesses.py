"""The processes that a run starts: JSON lines over their stdin and stdout, everything else goes into their log.

Each has a process group of its own, so that Ctrl-C in the terminal reaches only the harness, which then winds the run down. Each
exits when its stdin ends, so that none is left behind even if the harness is killed with SIGKILL.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from harness.base.errors import OutOfResourcesError, ProcessFailedError, UsageError
from harness.base.signals import Interruption
from harness.runner.exit_reason import child_error, describe_exit

_TAIL_LINES = 12
_TAIL_BYTES = 65_536


class Message(NamedTuple):
    """Something that happened: an event that a process sent, the `ended` of a process, or what the harness itself posted.

    `sender` is the process's name, or "harness".
    """

    sender: str
    event: str
    content: dict[str, Any]


class ManagedProcess:
    """One process of the run, running from construction on."""

    def __init__(
        self, name: str, argv: Sequence[str], env: Mapping[str, str], log: Path, inbox: queue.SimpleQueue[Message]
    ) -> None:
        """Start it. Its events go to `inbox`; its working directory is its log's folder, where no configuration file can lie."""
        self.name = name
        self.log = log
        self.killed = False
        """Whether the harness killed it, so that its exit code says nothing."""
        self._inbox = inbox
        log_file = log.open("ab")
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                env=dict(env),
                cwd=log.parent,
                process_group=0,
            )
        except OSError:
            log_file.close()
            raise
        self._reader = threading.Thread(target=self._read, args=[log_file], name=f"read-{name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code (negative: the signal that ended it); None while it runs."""
        return self._process.poll()

    def send(self, event: str, **content: Any) -> None:
        """Send it an event; one that has ended already gets nothing, and nothing is raised: its `ended` is in the inbox."""
        try:
            self._pipe.write(json.dumps({"event": event, **content}).encode() + b"\n")
            self._pipe.flush()
        except (BrokenPipeError, ValueError):
            return

    def tail(self) -> str:
        """The last lines of its log."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            text = file.read(_TAIL_BYTES).decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-_TAIL_LINES:])

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; False if it still runs."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Kill it and every process it started with SIGKILL; it has ended when this returns."""
        self.killed = True
        self._kill(signal.SIGKILL)
        self._process.wait()

    def stop(self, grace_s: float = 2.0) -> None:
        """Stop it, escalating: end of its stdin, after `grace_s` SIGTERM, after as long again SIGKILL to its whole group."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        for number, timeout_s in ((None, grace_s), (signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
            if number is not None:
                self._kill(number)
            if self.wait(timeout_s):
                break
        self._kill(signal.SIGKILL)  # what it may have started itself and left behind
        self._reader.join(1.0)

    @property
    def _pipe(self) -> BinaryIO:
        if self._process.stdin is None:
            message = f"{self.name} has no stdin"
            raise ProcessFailedError(message)
        return self._process.stdin  # type: ignore[return-value]

    def _kill(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):  # it has ended already
            return

    def _read(self, log_file: BinaryIO) -> None:
        """Sort the process's output into events and log until it ends; runs in a thread of its own."""
        with log_file as log, self._process.stdout or contextlib.nullcontext(()) as output:
            for line in output:
                message = _parse_event(line)
                if message is None:
                    with contextlib.suppress(OSError):  # a full disk may cost a log line, but not the `ended` below
                        log.write(line)
                        log.flush()
                else:
                    event = str(message.pop("event"))
                    self._inbox.put(Message(self.name, event, message))
        self._process.wait()
        self._inbox.put(Message(self.name, "ended", {"exit_code": self._process.returncode}))


def _parse_event(line: bytes) -> dict[str, Any] | None:
    """The event in a line of output; None for any other line: libraries print to stdout too."""
    if not line.startswith(b'{"event"'):
        return None
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


class ProcessGroup:
    """All processes of a run and one inbox for their messages. Leaving the `with` block stops every one of them.

    Waiting methods raise as soon as the run can't begin any more: see `_check_start`.
    """

    def __init__(self, logs: Path) -> None:
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._logs = logs
        self._processes: dict[str, ManagedProcess] = {}
        self._early: list[Message] = []
        """Messages that came while another was expected: processes that start beside each other are ready in any order."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.stop()

    def __contains__(self, name: str) -> bool:
        return name in self._processes

    def __getitem__(self, name: str) -> ManagedProcess:
        return self._processes[name]

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> ManagedProcess:
        """Start a process; its log is logs/<name>.log."""
        process = ManagedProcess(name, argv, env, self._logs / f"{name}.log", self.inbox)
        self._processes[name] = process
        return process

    def post(self, event: str, **content: Any) -> None:
        """Put a message of the harness itself into the inbox. May be called from any thread, and from a signal handler."""
        self.inbox.put(Message("harness", event, content))

    def kill(self, pid: int | None) -> None:
        """Kill the process with this id if it belongs to this group and still runs."""
        for process in self._processes.values():
            if process.pid == pid and process.exit_code is None:
                process.kill()

    def stop_all(self, *prefixes: str) -> None:
        """Stop every process whose name begins with one of these, and wait for its end: none sends anything after this."""
        for process in [it for it in self._processes.values() if it.name.startswith(prefixes)]:
            process.killed = process.killed or process.exit_code is None
            process.stop()

    def expect(
        self, sender: str, event: str, timeout_s: float, other: Callable[[Message], None] | None = None
    ) -> dict[str, Any]:
        """The content of the `event` that `sender` sends within `timeout_s`, or has sent already.

        `other` gets each other message meanwhile; without it they are kept for the calls to come.

        Raises ProcessFailedError with the end of the log if it doesn't come in time, and as `_check_start` if something else
        happens that prevents the run: any process ends, or a signal arrives.
        """
        until = time.monotonic() + timeout_s
        waiting, self._early = self._early, []
        while True:
            message = waiting.pop(0) if waiting else self._next_checked(until - time.monotonic())
            if message is None:
                text = f"{sender} did not send “{event}” within {timeout_s:g} s"
                raise ProcessFailedError(self.with_log_tail(sender, text))
            if (message.sender, message.event) == (sender, event):
                self._early += waiting
                return message.content
            (other or self._early.append)(message)

    def receive(self, sender: str, event: str, timeout_s: float) -> dict[str, Any]:
        """The content of the `event` that `sender` sends within `timeout_s`; all other messages stay in the inbox, signals too.

        For the end of a run, where nothing else may get in the way. Raises ProcessFailedError with the end of the log if the
        sender ends instead, or doesn't send it in time.
        """
        until, others, code = time.monotonic() + timeout_s, [], None
        text = f"{sender} did not send “{event}” within {timeout_s:g} s"
        try:
            while message := self.next(until - time.monotonic()):
                if (message.sender, message.event) == (sender, event):
                    return message.content
                if (message.sender, message.event) == (sender, "ended"):
                    code = message.content["exit_code"]
                    text = describe_exit(sender, code)
                    break
                others.append(message)
        finally:
            for message in others:
                self.inbox.put(message)
        raise child_error(code, self.with_log_tail(sender, text))

    def pause(self, timeout_s: float) -> None:
        """Wait for `timeout_s`, or until any message arrives. Raises as `expect` does."""
        self._next_checked(timeout_s)

    def next(self, timeout_s: float) -> Message | None:
        """The next message, or None if there is none in time."""
        try:
            return self.inbox.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None

    def with_log_tail(self, name: str, text: str) -> str:
        """A text followed by the last lines of a process's log, where the cause usually is."""
        tail = self._processes[name].tail() if name in self._processes else ""
        return f"{text}\nThe end of its log ({self._logs / (name + '.log')}):\n{tail}" if tail else text

    def _next_checked(self, timeout_s: float) -> Message | None:
        message = self.next(timeout_s)
        if message is not None:
            self._check_start(message)
        return message

    def _check_start(self, message: Message) -> None:
        """Raise if this message means that the run can't begin.

        Interruption on a signal; UsageError if a process refused its task or the target's consent ended; OutOfResourcesError if
        one ran out of something; ProcessFailedError if one failed or ended (ProcessKilledError if it was killed).
        """
        reason = str(message.content.get("reason", ""))
        if message.event == "signal":
            raise Interruption(signal.Signals(message.content["number"]))
        if message.event in {"refused", "withdrawn"}:
            raise UsageError(reason)
        if message.event == "starved":
            raise OutOfResourcesError(reason)
        if message.event == "failed":
            raise ProcessFailedError(self.with_log_tail(message.sender, reason))
        if message.event == "ended":
            code = message.content["exit_code"]
            raise child_error(code, self.with_log_tail(message.sender, describe_exit(message.sender, code)))
