"""A server of the user's on a disk whose power is cut: started, killed with everything it started, restarted on what was synced."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.base.errors import UsageError
from harness.base.signals import SignalHandler
from powercut.mount import PowerCutError, PowerCutMount

_POLL_S = 0.1
_STOP_GRACE_S = 10.0
_KILL_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class PowerCutPlan:
    """When the power fails, and how."""

    after_s: float
    """From each start of the command; SIGUSR1 cuts at once."""
    times: int
    restart_after_s: float
    torn: bool
    seed: int


class ServerOnCutDisk:
    """Runs a command with a folder on such a disk; `run` returns when the command has ended or a signal came."""

    def __init__(self, folder: Path, command: Sequence[str], plan: PowerCutPlan, log: Callable[[str], None]) -> None:
        self._folder = folder
        self._command = command
        self._plan = plan
        self._log = log
        self._is_asked = False

    def run(self, signals: SignalHandler) -> int | None:
        """The exit code of the command; None if a signal ended it. Raises UsageError if it can't be started."""
        previous = signal.signal(signal.SIGUSR1, self._ask)
        try:
            with PowerCutMount(self._folder) as disk:
                for number in range(self._plan.times + 1):
                    ended, code = self._serve(disk, number, signals)
                    if ended:
                        return code
                return None
        except PowerCutError as error:
            raise UsageError(str(error)) from None
        finally:
            signal.signal(signal.SIGUSR1, previous)

    def _ask(self, _number: int, _frame: object) -> None:
        self._is_asked = True

    def _serve(self, disk: PowerCutMount, number: int, signals: SignalHandler) -> tuple[bool, int | None]:
        """One life of the command: whether it was the last one, and its exit code."""
        process, started = self._start(), time.monotonic()
        try:
            if not self._wait(process, number, started, signals):
                code = process.poll()
                if code is not None:
                    self._log(f"the command ended with exit code {code}")
                    return True, code
                self._stop(process)
                return True, None
        finally:
            _kill_all(process)  # also if a second signal ends all this at once
        report = disk.cut(self._plan.seed + number, torn=self._plan.torn)
        after_s = time.monotonic() - started
        self._log(f"power cut {number + 1} of {self._plan.times}, after {after_s:.1f} s: {report}")
        restart_at = time.monotonic() + self._plan.restart_after_s
        while time.monotonic() < restart_at:
            if signals.received is not None:
                return True, None
            time.sleep(_POLL_S)
        disk.mount()
        return False, None

    def _wait(self, process: subprocess.Popen[bytes], number: int, started: float, signals: SignalHandler) -> bool:
        """Wait until the power is to be cut; False if the command ended before, or a signal came."""
        is_last = number == self._plan.times
        self._is_asked = False
        while is_last or not (self._is_asked or time.monotonic() - started >= self._plan.after_s):
            if process.poll() is not None or signals.received is not None:
                return False
            time.sleep(_POLL_S)
        return True

    def _start(self) -> subprocess.Popen[bytes]:
        self._log(f"starting: {' '.join(self._command)}")
        try:
            return subprocess.Popen(self._command, process_group=0)
        except OSError as error:
            message = f"{self._command[0]}: {error.strerror}"
            raise UsageError(message) from None

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ask the command to end, as a user would; kill it if it doesn't."""
        process.terminate()
        try:
            process.wait(_STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self._log(f"the command did not end within {_STOP_GRACE_S:g} s of SIGTERM: killed")
        _kill_all(process)


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and everything it started, also what has a session of its own, before any of it can notice."""
    try:
        parent = psutil.Process(process.pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for act in (psutil.Process.suspend, psutil.Process.kill):
        for member in family:
            try:
                act(member)
            except psutil.NoSuchProcess:
                continue
    psutil.wait_procs(family, timeout=_KILL_TIMEOUT_S)
    process.wait()
