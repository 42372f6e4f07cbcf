"""All errors that the harness raises itself, and the exit code of each.

    HarnessError
    ├── UsageError               2   a wrong command, option, file or value
    │   └── ConfigurationError       all problems of one file, each with its key and the allowed values
    ├── RunFolderError           2   a run folder is missing, not a run folder, or damaged
    ├── ProcessFailedError       1   a child process did not start, or died of an error
    │   └── ProcessKilledError   3   a child process was killed from outside
    ├── OutOfResourcesError      3   this machine ran out of disk space, file descriptors or memory
    └── LeaderLostError          3   a remote worker lost its leader

An upload that fails is not an error but an `Outcome` (harness/base/model.py).
"""

from __future__ import annotations

import errno
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the `harness` command.

    If several apply, the first of this order wins: usage, bug, lost acknowledgement, stopped by a signal, invalid
    measurement, threshold. A lost acknowledgement and a breached threshold share k6's code, 99.
    """

    PASSED = 0
    BUG = 1
    USAGE = 2
    INVALID = 3
    FAILED = 99
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class HarnessError(Exception):
    """Base of all errors of the harness. The text is shown to the user as it is."""

    exit_code = ExitCode.BUG


class UsageError(HarnessError):
    """The command cannot be carried out as written."""

    exit_code = ExitCode.USAGE


class ConfigurationError(UsageError):
    """One or more problems of one configuration file; all of them are reported at once."""

    def __init__(self, source: str, problems: list[str]) -> None:
        """`source` names the file or option; `problems` are complete lines: dotted key, value, allowed values."""
        self.source = source
        self.problems = problems
        super().__init__("\n".join([f"{source}:", *(f"  {problem}" for problem in problems)]))

    def __reduce__(self) -> tuple[type[ConfigurationError], tuple[str, list[str]]]:
        # by default an exception is unpickled from its text alone: it could not come back from another process
        return type(self), (self.source, self.problems)


class RunFolderError(HarnessError):
    """A folder is not a run folder, or its files are missing or damaged."""

    exit_code = ExitCode.USAGE


class ProcessFailedError(HarnessError):
    """A child process that the run needs did not start, or exited too early."""


class ProcessKilledError(ProcessFailedError):
    """A child process was killed by a user or by the kernel: not a bug of the harness, but the measurement is invalid."""

    exit_code = ExitCode.INVALID


_RESOURCE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Disk, quota, file size, descriptors, memory: an OSError with one of these means this machine, not a bug."""
_SHORTAGE = "this machine ran out of a resource that the run needs:"
_NO_THREAD = (
    "no more threads or processes can be started; raise ulimit -u, TasksMax of the systemd unit, or the container's pids limit "
    "(docker run --pids-limit)"
)


class OutOfResourcesError(HarnessError):
    """This machine ran out of disk space, descriptors or memory: results could not be recorded or drawn."""

    exit_code = ExitCode.INVALID


class LeaderLostError(HarnessError):
    """A remote worker lost its leader: what it measured is of no use without the rest of the run."""

    exit_code = ExitCode.INVALID


def describe_shortage(error: BaseException) -> str:
    """Which resource of this machine ran out, and on which file; "" if the error has another cause.

    Threads have no errno: Python raises a bare RuntimeError when it can't start one. Processes have EAGAIN (fork(2)).

    >>> describe_shortage(OSError(errno.ENOSPC, "No space left on device", "runs/a"))
    'this machine ran out of a resource that the run needs: runs/a: No space left on device'
    >>> describe_shortage(ValueError("x"))
    ''
    """
    if isinstance(error, OutOfResourcesError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _RESOURCE_ERRNOS:
        where = f"{error.filename}: " if error.filename else ""
        return f"{_SHORTAGE} {where}{error.strerror}"
    no_process = isinstance(error, OSError) and error.errno == errno.EAGAIN and error.filename is None
    no_thread = isinstance(error, RuntimeError) and str(error).startswith("can't start new thread")
    return f"{_SHORTAGE} {_NO_THREAD}" if no_process or no_thread else ""
