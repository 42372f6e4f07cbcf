"""Everything that can go wrong on our side, and the exit code that each stands for.

    HarnessError
    ├── UsageError            2   a wrong command, option, file or value
    │   └── ConfigurationError    several problems of one file, each with its key and what is allowed
    ├── BrokenRunError        2   a run folder that is missing, foreign or torn beyond use
    ├── ChildError            1   a process of ours did not start, or died of an error
    │   └── KilledError           3   a process of ours was killed from outside
    └── StarvedError          3   this machine ran out of what the run needs
    └── LeaderlessError       3   a worker's master fell silent

An upload that fails is not here: it is an `Outcome` (harness/base/model.py).
"""

from __future__ import annotations

import errno
from enum import IntEnum


class ExitCode(IntEnum):
    """What the `harness` command tells the shell.

    Where several hold, the first in this order wins: interrupted or terminated, usage, bug, lost acknowledgement,
    invalid, threshold (a lost acknowledgement and a threshold share k6's number, 99).
    """

    PASSED = 0
    BUG = 1
    USAGE = 2
    INVALID = 3
    FAILED = 99
    INTERRUPTED = 130
    TERMINATED = 143


class HarnessError(Exception):
    """Base of our own errors; its text is what the user reads."""

    exit_code = ExitCode.BUG


class UsageError(HarnessError):
    """The user asked for something that cannot be done as written."""

    exit_code = ExitCode.USAGE


class ConfigurationError(UsageError):
    """One or more problems in one configuration file, all of them at once."""

    def __init__(self, source: str, problems: list[str]) -> None:
        """`problems` are finished lines: dotted key, value, what is allowed."""
        self.source = source
        self.problems = problems
        super().__init__("\n".join([f"{source}:", *(f"  {problem}" for problem in problems)]))


class RunFolderError(HarnessError):
    """A folder that is not a run, or of which too little is left."""

    exit_code = ExitCode.USAGE


class ProcessFailedError(HarnessError):
    """A process that the run needs did not start, or ended too early."""


class ProcessKilledError(ProcessFailedError):
    """A process that the run needs was killed, by hand or by the kernel: no bug of ours, and no measurement either."""

    exit_code = ExitCode.INVALID


RESOURCE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Disk, quota, file size, descriptors, memory: what a measurement can't go on without, and nobody's mistake in it."""


class OutOfResourcesError(HarnessError):
    """This machine ran out of disk, descriptors or memory: what was measured could not be written down or drawn."""

    exit_code = ExitCode.INVALID


class LeaderLostError(HarnessError):
    """The master of a run that this machine works for fell silent: what was measured here is of no use."""

    exit_code = ExitCode.INVALID


def describe_exhaustion(error: OSError) -> str:
    """In words, what ran out and what to do."""
    where = f"{error.filename}: " if error.filename else ""
    return f"this machine ran out of what the run needs: {where}{error.strerror}"
