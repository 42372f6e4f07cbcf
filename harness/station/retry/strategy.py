"""What a strategy is: three questions that a station's evening asks it, and what it answers.

A strategy is pure: its state and what it is told in, a decision out. The clock's reading and the generator are arguments.
Each station has its own: phones share nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from harness.base.model import DELIVERED, Outcome
from harness.run_folder.journal import GiveUpReason

SERVED = DELIVERED | {Outcome.PENDING, Outcome.REJECTED, Outcome.UNREADABLE}
"""The server did its work, whatever it thought of the page: no sign that it is overloaded."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt that was sent and didn't deliver."""

    attempts: int
    """How many this page has had, this one included; those withheld don't count."""
    outcome: Outcome
    status: int = 0
    retry_after_s: float | None = None


class RetryStrategy(ABC):
    """How one station behaves. An attempt is asked for, sent and over before the next one is asked for."""

    __slots__ = ()

    def before(self, now_s: float, attempts: int) -> float | GiveUpReason | None:  # noqa: ARG002
        """None: send. A moment: withhold the attempt, ask again then. A reason: give the page up.

        `attempts` is how many this page has had, so 0 is its first. Unless a strategy says otherwise, all are sent.
        """
        return None

    def ended(self, outcome: Outcome, now_s: float) -> None:  # noqa: B027
        """Hear how an attempt that was sent ended. Unless a strategy says otherwise, that changes nothing."""

    @abstractmethod
    def pause(self, failure: FailedAttempt) -> float | GiveUpReason:
        """Seconds to wait before the next attempt at the page, or why there is none. Asked after `ended`."""
