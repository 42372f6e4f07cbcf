"""How a process of the run ended, in words: killed from outside, by an error of its own, or of its own accord."""

from __future__ import annotations

import signal

from harness.base.errors import ProcessFailedError, ProcessKilledError
from harness.run_folder.layout import EndReason, RunEnd

_CRASH_SIGNALS = frozenset(
    {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP}
)
"""Signals that a process brings on itself: an error of the program, as an exit code above 0 is."""
_LIKELY_CAUSE = {signal.SIGKILL: ": by hand, or by the kernel for want of memory"}


def was_killed(exit_code: int | None) -> bool:
    """Whether a process was ended by another (a signal from outside): nobody's bug, and no measurement any more.

    Our children end well (0) when they are told to, by us or by a SIGTERM; asked of one that we did not tell.

    >>> was_killed(-9), was_killed(0), was_killed(-11), was_killed(1)
    (True, True, False, False)
    """
    return exit_code is not None and exit_code <= 0 and -exit_code not in _CRASH_SIGNALS


def describe_exit(name: str, exit_code: int | None, when: str = "") -> str:
    """The end of a process in a clause: who, by which signal or exit code, when.

    >>> told_of("server", -9, "after 3.4 s")
    'server was killed by SIGKILL after 3.4 s: by hand, or by the kernel for want of memory'
    >>> told_of("server", 1)
    'server ended with exit code 1'
    """
    when = f" {when}" if when else ""
    if exit_code == 0:
        return f"{name} ended{when}, told by nobody here (exit code 0, as a SIGTERM from outside makes it)"
    if exit_code is None or exit_code > 0:
        return f"{name} ended with exit code {exit_code}{when}"
    try:
        number = signal.Signals(-exit_code)
    except ValueError:  # a real-time signal has no name of its own
        return f"{name} was killed by signal {-exit_code}{when}"
    if number in _CRASH_SIGNALS:
        return f"{name} died of {number.name}{when}"
    return f"{name} was killed by {number.name}{when}{_LIKELY_CAUSE.get(number, '')}"


def child_error(exit_code: int | None, text: str) -> ProcessFailedError:
    """The error for a process that ended before the run could begin."""
    return (ProcessKilledError if was_killed(exit_code) else ProcessFailedError)(text)


def ended_by_signal(number: signal.Signals, at_s: float, when: str = "") -> RunEnd:
    """How a run ended that a signal stopped."""
    how: EndReason = "terminated" if number is signal.SIGTERM else "interrupted"
    return RunEnd(how=how, at_s=at_s, message=f"{number.name} {when or f'after {at_s:.1f} s'}")


def ended_or_interrupted(ended: RunEnd, heard: signal.Signals | None) -> RunEnd:
    """How a run ended: interrupted, if a signal was heard that came after its last upload."""
    if heard is None or ended.how not in {"completed", "deadline", "aborted"}:
        return ended
    return ended_by_signal(heard, ended.at_s, "while winding down")
