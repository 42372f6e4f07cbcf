"""How a process of the run ended, in words: killed from outside, by an error of its own, or of its own accord."""

from __future__ import annotations

import signal

from harness.base.errors import ChildError, KilledError
from harness.run_folder.layout import Ended, How

_OWN_DOING = frozenset(
    {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP}
)
"""Signals that a process brings on itself: an error of the program, as an exit code above 0 is."""
_BY_WHOM = {signal.SIGKILL: ": by hand, or by the kernel for want of memory"}


def was_killed(exit_code: int | None) -> bool:
    """Whether a process was ended by another (a signal from outside): nobody's bug, and no measurement any more.

    Our children end well (0) when they are told to, by us or by a SIGTERM; asked of one that we did not tell.

    >>> was_killed(-9), was_killed(0), was_killed(-11), was_killed(1)
    (True, True, False, False)
    """
    return exit_code is not None and exit_code <= 0 and -exit_code not in _OWN_DOING


def told_of(name: str, exit_code: int | None, when: str = "") -> str:
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
    if number in _OWN_DOING:
        return f"{name} died of {number.name}{when}"
    return f"{name} was killed by {number.name}{when}{_BY_WHOM.get(number, '')}"


def lost_child(exit_code: int | None, text: str) -> ChildError:
    """The error for a process that ended before the run could begin."""
    return (KilledError if was_killed(exit_code) else ChildError)(text)


def stopped_by(number: signal.Signals, at_s: float, when: str = "") -> Ended:
    """How a run ended that a signal stopped."""
    how: How = "terminated" if number is signal.SIGTERM else "interrupted"
    return Ended(how=how, at_s=at_s, message=f"{number.name} {when or f'after {at_s:.1f} s'}")


def unless_stopped(ended: Ended, heard: signal.Signals | None) -> Ended:
    """How a run ended: interrupted, if a signal was heard that came after its last upload."""
    if heard is None or ended.how not in {"completed", "deadline", "aborted"}:
        return ended
    return stopped_by(heard, ended.at_s, "while winding down")
