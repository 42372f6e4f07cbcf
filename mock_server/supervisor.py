"""Starts the server as a child and starts it again after the fault `crash` has killed it.

To whoever started it the keeper speaks as the server does: JSON lines in and out, an end with the end of its input.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

TOKEN_VARIABLE = "MOCK_SERVER_ADMIN_TOKEN"  # noqa: S105


class Supervisor:
    """One server, kept alive."""

    def __init__(
        self, command: list[str], token: str, say: Callable[[dict[str, Any]], None], t0: dict[str, Any] | None = None
    ) -> None:
        self._command = command
        self._token = token
        self._say = say
        self._ports: dict[str, int] = {}
        self._t0 = t0
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def run(self) -> int:
        """Keeps the server until it is told to stop; the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        while True:
            restart_after_s, was_crash = self._one_life()
            if not was_crash or self._stopping.is_set():
                return self._code()
            if restart_after_s is None:
                self._stopping.wait()
                return 0
            if self._stopping.wait(restart_after_s):
                return 0

    def _code(self) -> int:
        code = 0 if self._child is None else self._child.wait()
        return code if code >= 0 else 1

    def _one_life(self) -> tuple[float | None, bool]:
        """Starts the server and follows it to its end: when to restart it, and whether it crashed on purpose."""
        port, admin_port = self._ports.get("port"), self._ports.get("admin_port")
        again = ["--port", str(port), "--admin-port", str(admin_port)] if self._ports else []
        with self._lock:
            self._child = child = subprocess.Popen(
                [*self._command, *again], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={**os.environ, TOKEN_VARIABLE: self._token},
            )  # fmt: skip
        crash: dict[str, Any] | None = None
        for line in child.stdout or ():
            said = json.loads(line)
            if said["event"] == "crash":
                crash = said
            if said["event"] == "ready":
                self._ready(said)
                continue
            self._say(said)
        child.wait()
        return (None if crash is None else crash["restart_after"]), crash is not None

    def _ready(self, said: dict[str, Any]) -> None:
        with self._lock:
            first = not self._ports
            self._ports = said
            if self._t0 is not None:
                self._tell(self._t0 if first else {**self._t0, "again": True})
        self._say({**said, "event": "ready" if first else "restarted"})

    def _tell(self, command: dict[str, Any]) -> None:
        if self._child is not None and self._child.stdin is not None and self._child.poll() is None:
            try:
                self._child.stdin.write(json.dumps(command) + "\n")
                self._child.stdin.flush()
            except BrokenPipeError:
                return

    def _stop(self) -> None:
        self._stopping.set()
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()

    def listen(self) -> None:
        """Passes commands on, in a thread of its own; when they end, so does everything."""
        threading.Thread(target=self._listen, name="keeper", daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            command = json.loads(line)
            if command.get("event") == "stop":
                self._stop()
                continue
            with self._lock:
                if command.get("event") == "t0":
                    self._t0 = command
                self._tell(command)
        if self._child is not None:
            self._child.kill()
        os._exit(0)
