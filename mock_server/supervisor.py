"""The processes around the server: its parent, to which it talks in JSON lines, and the supervisor that restarts it.

The supervisor starts the server as a child, and again after a crash fault has killed it. To its own parent it speaks as
the server does: JSON lines on stdin and stdout; end of file on stdin means exit.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any

from mock_server.storage.resumable import POWER_CUTS_VARIABLE
from powercut.mount import PowerCutMount
from powercut.report import CutReport

TOKEN_VARIABLE = "MOCK_SERVER_ADMIN_TOKEN"  # noqa: S105


def send_event(content: dict[str, Any]) -> None:
    """Writes an event to the parent, as a line of JSON on stdout."""
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def receive_commands(source: IO[str], on_command: Callable[[dict[str, Any]], None]) -> None:
    """Reads commands, one JSON object per line, in a thread; exits the process at end of file.

    In a thread, so that the parent's end is noticed even while the event loop is busy.
    """
    threading.Thread(target=_receive_commands, args=(source, on_command), name="commands", daemon=True).start()


def _receive_commands(source: IO[str], on_command: Callable[[dict[str, Any]], None]) -> None:
    for line in source:
        try:
            command = json.loads(line)
        except ValueError:
            sys.stderr.write(f"ignored a line on stdin that is not JSON: {line!r}\n")
            continue
        if isinstance(command, dict):
            on_command(command)
    os._exit(0)  # from a thread, sys.exit would end only the thread


def stop_signals() -> list[signal.Signals]:
    """The signals that stop the server: SIGHUP, of a closed terminal, is one unless it was inherited as ignored (nohup)."""
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *([] if is_ignored else [signal.SIGHUP])]


class Supervisor:
    """Keeps one server running. `t0` is the command that starts the fault schedule, if no parent will send it."""

    def __init__(
        self, command: list[str], token: str, send: Callable[[dict[str, Any]], None], t0: dict[str, Any] | None = None,
        disk: PowerCutMount | None = None,
    ) -> None:  # fmt: skip
        """`disk`, mounted, holds the server's data if its power is to be cut."""
        self._command = command
        self._token = token
        self._send = send
        self._ports: dict[str, int] = {}
        self._t0 = t0
        self._disk = disk
        self._power_cuts = 0
        self._cutting = threading.Event()
        self._cut_done = threading.Event()
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def run(self) -> int:
        """Restarts the server until it exits by itself or is stopped; the exit code."""
        for number in stop_signals():
            signal.signal(number, lambda *_: self._stop())
        while True:
            restart_after_s, was_crash = self._run_child()
            if self._cutting.is_set():  # what ends the process must not put on the disk what the cut drops
                self._cut_done.wait()
            if not was_crash or self._stopping.is_set():
                return self._exit_code()
            if restart_after_s is None:  # a fault that kills it for good: stay, so that the parent sees no exit
                self._stopping.wait()
                return 0
            if self._stopping.wait(restart_after_s):
                return 0
            if self._disk is not None:
                self._disk.mount()

    def _exit_code(self) -> int:
        code = 0 if self._child is None else self._child.wait()
        if self._stopping.is_set():  # killed by us, or told to end
            return max(0, code)
        return code if code >= 0 else 1

    def _run_child(self) -> tuple[float | None, bool]:
        """Starts the server and follows it to its end: when to restart it, and whether a fault killed it."""
        # After a restart the clients expect the same ports, though the kernel chose them the first time.
        port, admin_port = self._ports.get("port"), self._ports.get("admin_port")
        again = ["--port", str(port), "--admin-port", str(admin_port)] if self._ports else []
        with self._lock:
            self._child = child = subprocess.Popen(
                [*self._command, *again], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={**os.environ, TOKEN_VARIABLE: self._token, POWER_CUTS_VARIABLE: str(self._power_cuts)},
            )  # fmt: skip
        crash: dict[str, Any] | None = None
        for line in child.stdout or ():
            event = json.loads(line)
            if event["event"] == "crash":
                crash = event
            if event["event"] == "ready":
                self._ready(event)
                continue
            self._send(event)
        child.wait()
        if crash is not None and "power" in crash:
            self._cut_power(**crash["power"])
        elif crash is not None and self._disk is not None:
            self._disk.unmount()  # killed, but the power is on: the kernel writes what it has
        return (None if crash is None else crash["restart_after"]), crash is not None

    def _cut_power(self, seed: int, *, torn: bool) -> None:
        """Drops what was not synced: the server's process is dead, and its folder is what the disk had."""
        self._power_cuts += 1
        if self._disk is not None:
            # not mounted between a crash and the restart: everything is on the disk already
            report = self._disk.cut(seed, torn=torn) if self._disk.is_mounted else CutReport(0, 0)
            sys.stderr.write(f"power cut: {report}\n")
            self._send({"event": "power_cut", **dataclasses.asdict(report)})

    def _ready(self, event: dict[str, Any]) -> None:
        with self._lock:
            first = not self._ports
            self._ports = event
            if self._t0 is not None:
                self._forward(self._t0 if first else {**self._t0, "again": True})
        self._send({**event, "event": "ready" if first else "restarted"})

    def _forward(self, command: dict[str, Any]) -> None:
        if self._child is not None and self._child.stdin is not None and self._child.poll() is None:
            try:
                self._child.stdin.write(json.dumps(command) + "\n")
                self._child.stdin.flush()
            except BrokenPipeError:  # it has just been killed; after the restart `_ready` sends T0 again
                return

    def _stop(self) -> None:
        self._stopping.set()
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()

    def receive_commands(self) -> None:
        """Forwards the parent's commands to the server, in a thread; at end of file kills it and exits."""
        threading.Thread(target=self._receive_commands, name="commands", daemon=True).start()

    def _receive_commands(self) -> None:
        for line in sys.stdin:
            command = json.loads(line)
            if command.get("event") == "stop":
                self._stop()
                continue
            if command.get("event") == "power_cut":  # for good: the folder is read afterwards
                self._cutting.set()
                self._stopping.set()
                self._kill_child()
                self._cut_power(int(command["seed"]), torn=bool(command["torn"]))
                self._cut_done.set()
                continue
            with self._lock:
                if command.get("event") == "t0":
                    self._t0 = command
                self._forward(command)
        self._stopping.set()
        self._kill_child()
        if self._disk is not None:
            self._disk.unmount()
        os._exit(0)

    def _kill_child(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
