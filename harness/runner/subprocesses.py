"""Processes that a run starts: JSON lines over their stdin and stdout, everything else into their log.

Each child has a process group of its own, so that a Ctrl-C in the terminal reaches the harness alone, and ends when its
stdin ends: also when the harness is killed outright.
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
from harness.runner.exit_reason import child_error, describe_exit

_TAIL_LINES = 12
_TAIL_BYTES = 65_536


class Message(NamedTuple):
    """Something that happened: an event a child told, `ended` of a child, or a signal to ourselves."""

    sender: str
    event: str
    content: dict[str, Any]


class ManagedProcess:
    """One process of the run."""

    def __init__(
        self, name: str, argv: Sequence[str], env: Mapping[str, str], log: Path, inbox: queue.SimpleQueue[Message]
    ) -> None:
        """Start it in the folder of its log (no configuration file lies there). What it says goes to `inbox`."""
        self.name = name
        self.log = log
        self.killed = False
        """Whether we ended it by force, so that its end is no news."""
        self._inbox = inbox
        kept = log.open("ab")
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=kept,
                env=dict(env),
                cwd=log.parent,
                process_group=0,
            )
        except OSError:
            kept.close()
            raise
        self._reader = threading.Thread(target=self._read, args=[kept], name=f"read-{name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    def tell(self, event: str, **content: Any) -> None:
        """Send it a line; one that has gone hears nothing."""
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
        """End it and all that it started at once, as kill -9 does; gone when this returns."""
        self.killed = True
        self._kill(signal.SIGKILL)
        self._process.wait()

    def end(self, grace_s: float = 2.0) -> None:
        """End it for certain: its stdin ends, then SIGTERM, then SIGKILL to its whole group."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        for number, patience_s in ((None, grace_s), (signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
            if number is not None:
                self._kill(number)
            if self.wait(patience_s):
                break
        self._kill(signal.SIGKILL)  # whatever it may have started itself
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
        except (ProcessLookupError, PermissionError):
            return

    def _read(self, kept: BinaryIO) -> None:
        with kept as log, self._process.stdout or contextlib.nullcontext(()) as output:
            for line in output:
                message = _parsed(line)
                if message is None:
                    with contextlib.suppress(OSError):  # a full disk: the words are lost, the child's end must not be
                        log.write(line)
                        log.flush()
                else:
                    event = str(message.pop("event"))
                    self._inbox.put(Message(self.name, event, message))
        self._process.wait()
        self._inbox.put(Message(self.name, "ended", {"exit_code": self._process.returncode}))


def _parsed(line: bytes) -> dict[str, Any] | None:
    if not line.startswith(b'{"event"'):
        return None
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


class ProcessGroup:
    """All children of a run, and the inbox for what they say. Leaving the `with` block ends every one of them."""

    def __init__(self, logs: Path) -> None:
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._logs = logs
        self._children: dict[str, ManagedProcess] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():
            child.end()

    def __contains__(self, name: str) -> bool:
        return name in self._children

    def __getitem__(self, name: str) -> ManagedProcess:
        return self._children[name]

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> ManagedProcess:
        """Start a child; its log is logs/<name>.log."""
        child = ManagedProcess(name, argv, env, self._logs / f"{name}.log", self.inbox)
        self._children[name] = child
        return child

    def note(self, event: str, **content: Any) -> None:
        """Put something into the inbox that no child told."""
        self.inbox.put(Message("harness", event, content))

    def kill(self, pid: int | None) -> None:
        """Kill the child with this id, as `ManagedProcess.kill` does; where none has it, nothing happens."""
        for child in self._children.values():
            if child.pid == pid and child.exit_code is None:
                child.kill()

    def end_all(self, *names: str) -> None:
        """End every child whose name begins so, and wait for it: none of them sends anything after this."""
        for child in [it for it in self._children.values() if it.name.startswith(names)]:
            child.killed = child.killed or child.exit_code is None
            child.end()

    def expect(
        self, sender: str, event: str, timeout_s: float, other: Callable[[Message], None] = lambda _: None
    ) -> dict[str, Any]:
        """Wait until `sender` tells `event`; `other` hears what else is said meanwhile.

        Raises ChildError with the log's tail if any child ends instead, or nothing comes in time; Interruption on a
        signal.
        """
        until = time.monotonic() + timeout_s
        while True:
            message = self._good(until - time.monotonic())
            if message is None:
                text = f"{sender} did not say “{event}” within {timeout_s:g} s"
                raise ProcessFailedError(self.explained(sender, text))
            if (message.sender, message.event) == (sender, event):
                return message.content
            other(message)

    def hear(self, sender: str, event: str, timeout_s: float) -> dict[str, Any]:
        """Wait until `sender` tells `event`; what others say meanwhile is left in the inbox, signals too.

        Raises ChildError with the log's tail if it ends instead, or doesn't say it in time.
        """
        until, others, code = time.monotonic() + timeout_s, [], None
        text = f"{sender} did not say “{event}” within {timeout_s:g} s"
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
        raise child_error(code, self.explained(sender, text))

    def pause(self, timeout_s: float) -> None:
        """Wait as long, or until anything is said. Raises as `expect` does if a child ends or a signal comes."""
        self._good(timeout_s)

    def next(self, timeout_s: float) -> Message | None:
        """The next message, or None if there is none in time."""
        try:
            return self.inbox.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None

    def _good(self, timeout_s: float) -> Message | None:
        """The next message, if it lets a run begin. Raises ChildError, UsageError, StarvedError or Interruption otherwise."""
        message = self.next(timeout_s)
        if message is None:
            return None
        if message.event == "signal":
            raise Interruption(signal.Signals(message.content["number"]))
        if message.event in {"refused", "withdrawn"}:
            raise UsageError(str(message.content.get("reason", "")))
        if message.event == "starved":
            raise OutOfResourcesError(str(message.content.get("reason", "")))
        if message.event == "failed":
            raise ProcessFailedError(self.explained(message.sender, str(message.content.get("reason", ""))))
        if message.event == "ended":
            code = message.content["exit_code"]
            raise child_error(code, self.explained(message.sender, describe_exit(message.sender, code)))
        return message

    def explained(self, name: str, text: str) -> str:
        """A text with the tail of a child's log."""
        tail = self._children[name].tail() if name in self._children else ""
        return f"{text}\nThe end of its log ({self._logs / (name + '.log')}):\n{tail}" if tail else text


class Interruption(Exception):  # noqa: N818 - it is no error
    """A signal asked us to stop."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number
