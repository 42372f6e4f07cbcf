"""SIGINT and SIGTERM from the first import to the last word of a command.

The first one asks: whoever listens winds down, and the exit code says 130 or 143 in the end. The second one ends the command
at once (children find out by the end of their stdin). They are heard also where they were inherited as ignored.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, Self

HANDLED_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ImmediateExit(BaseException):
    """A signal ended the command at once. A BaseException, so that nothing on the way takes it for an error."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = signal.Signals(number)


class Interruption(Exception):  # noqa: N818 - it is not an error
    """The first signal stopped the command before there was anything to wind down, so it unwinds like an error."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


class SignalHandler:
    """While it is entered, the first signal is noted (and told to `listener`), and the second raises Stopped."""

    def __init__(self) -> None:
        self.heard: signal.Signals | None = None
        self.listener: Callable[[signal.Signals], None] | None = None
        self._ending = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in HANDLED_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: object) -> None:
        if self._ending:
            return  # on the way out already: a third one can't make it faster, only dirtier
        if self.heard is not None:
            self._ending = True
            raise ImmediateExit(number)
        self.heard = signal.Signals(number)
        if self.listener is not None:
            self.listener(self.heard)


def exit_at_once(number: int, _frame: object) -> None:
    """A handler for times when there is nothing to wind down."""
    raise ImmediateExit(number)
