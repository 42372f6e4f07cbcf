"""SIGINT, SIGTERM and SIGHUP, from the first import to the end of a command.

The first signal asks the command to stop: it winds down and exits with 130, 143 or 129. The second one ends it at once; children
notice by the end of their stdin. SIGINT and SIGTERM are handled even if they were inherited as ignored (background jobs).
SIGHUP, which a closed terminal or a lost ssh session sends, stays ignored under `nohup`: that is what nohup is for.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, ClassVar, Self

_ALWAYS_HANDLED = (signal.SIGINT, signal.SIGTERM)


def handled_signals() -> tuple[signal.Signals, ...]:
    """The signals that stop a command: SIGINT and SIGTERM, and SIGHUP unless it was inherited as ignored."""
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return _ALWAYS_HANDLED if is_ignored else (*_ALWAYS_HANDLED, signal.SIGHUP)


class ImmediateExit(BaseException):
    """Ends the command at once. A BaseException, so that no `except Exception` on the way mistakes it for an error."""

    latest: ClassVar[ImmediateExit | None] = None
    """The last one that was raised: for code that calls C code which replaces it by an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = signal.Signals(number)
        ImmediateExit.latest = self


class Interruption(Exception):  # noqa: N818 - it is not an error
    """The first signal stopped the command before there was anything to wind down, so it unwinds like an error."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


class SignalHandler:
    """While entered: records the first signal and passes it to `listener`; the second raises `ImmediateExit`."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.listener: Callable[[signal.Signals], None] | None = None
        self._exiting = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._handle) for number in handled_signals()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: object) -> None:
        if self._exiting:
            return  # a third signal would interrupt the clean-up of `ImmediateExit` and leave processes behind
        if self.received is not None:
            self._exiting = True
            raise ImmediateExit(number)
        self.received = signal.Signals(number)
        if self.listener is not None:
            self.listener(self.received)


def exit_at_once(number: int, _frame: object) -> None:
    """A signal handler for times when there is nothing to wind down, such as during imports."""
    raise ImmediateExit(number)
