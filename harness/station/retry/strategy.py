"""The interface of a retry strategy: what a station's session asks it, and what it answers.

A strategy is pure: its state and the end of each attempt in, a decision out. The time and the random numbers are
arguments. Each station has its own strategy, because phones share nothing: a breaker or a budget that covered several
stations would protect a server better than any client can.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from harness.base.model import DELIVERED, Outcome
from harness.run_folder.journal import GiveUpReason

SERVED = DELIVERED | {Outcome.PENDING, Outcome.REJECTED, Outcome.UNREADABLE}
"""The server did its work and answered, even if it rejected the page: not a sign of overload."""


class FailedAttempt(NamedTuple):
    """An attempt that was sent and did not deliver its page."""

    attempts: int
    """How many of this page have been sent, including this one; withheld ones don't count."""
    outcome: Outcome
    status: int = 0
    """Of the HTTP response; 0 without one."""
    retry_after_s: float | None = None
    """None without the header."""


class RetryStrategy(ABC):
    """How one station behaves: `before_attempt`, the attempt, `after_attempt`, and `next_pause` if it failed.

    A station makes one attempt at a time, so the calls never overlap and `now_s` (seconds since T0) never decreases.
    """

    __slots__ = ()

    needs_history: ClassVar[bool] = True
    """False: nothing that happens before the station's first failure changes a decision, and first attempts are sent.

    Such a strategy is made when the first attempt has failed: most stations of a healthy run never need theirs.
    """

    def before_attempt(self, now_s: float, attempts: int) -> float | GiveUpReason | None:  # noqa: ARG002
        """None: send. A time: withhold the attempt and ask again then. A reason: give the page up.

        `attempts` is how many of this page have been sent, so 0 before the first. The time must lie at least
        MIN_PAUSE_S ahead, or the session would spin. By default every attempt is sent.
        """
        return None

    def after_attempt(self, outcome: Outcome, now_s: float) -> None:  # noqa: B027
        """Take in how an attempt that was sent ended, deliveries included. By default that changes nothing."""

    @abstractmethod
    def next_pause(self, failure: FailedAttempt) -> float | GiveUpReason:
        """Seconds from the end of the failed attempt to the next one, or why there is none. Called after `after_attempt`."""
