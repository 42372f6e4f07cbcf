"""Why a process or a whole run ended, and the resources that are set aside so that this can always be written down.

A process ends in one of three ways: another process killed it (its measurement is lost, but nothing is wrong with the harness),
it crashed (a bug), or it exited by itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from pathlib import Path

from harness.base.errors import ProcessFailedError, ProcessKilledError, UsageError, describe_shortage
from harness.run_folder.layout import EndReason, RunEnd

RESERVED_BYTES = 4 * 1024 * 1024
"""Several times what summary and report of an ordinary run take (1 MB)."""
RESERVED_DESCRIPTORS = 24
_DISK_FULL_BELOW_BYTES = 64 * 1024
_CRASH_SIGNALS = frozenset(
    {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP}
)
"""Signals that a process causes itself: an error of the program, as an exit code above 0 is."""
_LIKELY_CAUSE = {signal.SIGKILL: ": by a user or by the kernel's OOM killer"}


def was_killed(exit_code: int | None) -> bool:
    """Whether something outside the harness ended a process: not a bug, but its measurement is lost.

    To be asked only of a process that was not asked to stop. Exit code 0 counts as killed: workers and server exit with 0 on
    SIGTERM, so an unexpected 0 means that somebody else sent one.

    >>> was_killed(-9), was_killed(0), was_killed(-11), was_killed(1)
    (True, True, False, False)
    """
    return exit_code is not None and exit_code <= 0 and -exit_code not in _CRASH_SIGNALS


def describe_exit(name: str, exit_code: int | None, when: str = "") -> str:
    """One clause on the end of a process: its name, the signal or exit code, and when. Negative exit codes are signals.

    >>> describe_exit("server", -9, "after 3.4 s")
    "server was killed by SIGKILL after 3.4 s: by a user or by the kernel's OOM killer"
    >>> describe_exit("server", 1)
    'server ended with exit code 1'
    """
    when = f" {when}" if when else ""
    if exit_code == 0:
        return f"{name} exited with code 0 unexpectedly{when}, as a SIGTERM from outside makes it do"
    if exit_code is None or exit_code > 0:
        return f"{name} ended with exit code {exit_code}{when}"
    try:
        number = signal.Signals(-exit_code)
    except ValueError:  # real-time signals between SIGRTMIN and SIGRTMAX have no name in Python
        return f"{name} was killed by signal {-exit_code}{when}"
    if number in _CRASH_SIGNALS:
        return f"{name} crashed with {number.name}{when}"
    return f"{name} was killed by {number.name}{when}{_LIKELY_CAUSE.get(number, '')}"


_END_BY_SIGNAL: dict[signal.Signals, EndReason] = {signal.SIGTERM: "terminated", signal.SIGHUP: "hung_up"}


def child_error(exit_code: int | None, text: str) -> ProcessFailedError:
    """The error to raise for a process that ended before the run could begin; exit code 3 if killed, else 1."""
    return (ProcessKilledError if was_killed(exit_code) else ProcessFailedError)(text)


def ended_by_signal(number: signal.Signals, at_s: float, when: str = "") -> RunEnd:
    """The end of a run that SIGINT, SIGTERM or SIGHUP stopped `at_s` seconds after T0."""
    how = _END_BY_SIGNAL.get(number, "interrupted")
    return RunEnd(how=how, at_s=at_s, message=f"{number.name} {when or f'after {at_s:.1f} s'}")


def ended_or_interrupted(ended: RunEnd, received: signal.Signals | None) -> RunEnd:
    """The end of a run, changed to interrupted if a signal arrived while the run was wound down.

    Ends that already tell of a failure stay: what went wrong first is what a reader has to know.
    """
    if received is None or ended.how not in {"completed", "deadline", "aborted"}:
        return ended
    return ended_by_signal(received, ended.at_s, "while winding down")


class ReservedResources:
    """A file of `size_bytes` and some descriptors, held from construction to `release`.

    A full disk or a used-up descriptor table would otherwise take run.json, the summary and the report with it: the run
    releases its reserve before it writes them.
    """

    def __init__(self, path: Path, size_bytes: int = RESERVED_BYTES) -> None:
        """Reserve. Raises UsageError if disk, quota or descriptor limit don't have that much left."""
        self._path = path
        self._descriptors = [os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)]
        try:
            # fallocate, not truncate: a sparse file reserves nothing
            os.posix_fallocate(self._descriptors[0], 0, size_bytes)
            self._descriptors += [os.dup(self._descriptors[0]) for _ in range(RESERVED_DESCRIPTORS)]
        except OSError as error:
            self.release()
            message = (
                f"{path.parent}: cannot reserve the {size_bytes / 1e6:.1f} MB and {RESERVED_DESCRIPTORS} descriptors "
                f"that a run needs to write its results: {error.strerror}"
            )
            raise UsageError(message) from None

    def end_after(self, text: str, at_s: float, *, killed: bool) -> RunEnd:
        """The end of a run after one of its processes ended as `text` says.

        With a full disk the end is "starved" whatever the process's log says: a full disk is why it died, and why its log
        breaks off.
        """
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize >= _DISK_FULL_BELOW_BYTES:
            return RunEnd(how="killed" if killed else "crashed", at_s=at_s, message=text)
        shortage = describe_shortage(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path.parent)))
        return RunEnd(how="starved", at_s=at_s, message=f"{shortage}\n{text}")

    def release(self) -> None:
        """Give everything back; calling it again does nothing."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
