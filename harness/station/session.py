"""What one station does next: a state machine without a clock, a socket or a journal (sans I/O, as h11 is).

The caller owns time and I/O. It asks `Session.next` what to do at a moment, does it, and reports back how an attempt
ended. The virtual user of a real run does so over sockets, a simulation over a heap of events, a test with made-up
outcomes; all three get the same decisions, because nothing else feeds into them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from harness.base.model import DELIVERED, Outcome
from harness.run_folder.journal import GiveUpReason
from harness.station.retry import RetryPolicy
from harness.station.retry.strategy import FailedAttempt


class Action(Enum):
    """What the caller has to do; the details are attributes of the session, valid until the next call."""

    WAIT = auto()
    """Ask again at `due_s`."""
    ATTEMPT = auto()
    """Send `page` for the `attempts`-th time, then call `attempt_ended`. Its journal row is `row`, its due time `due_s`."""
    WITHHOLD = auto()
    """Record that the attempt with row `row`, due at `due_s`, was not sent; ask again at once."""
    GIVE_UP = auto()
    """Record that `page` will not be tried again after `attempts`, decided at `decided_s` because of `reason`; ask again at once."""
    DONE = auto()
    """Nothing is left to do: see `ended_s` and `completed`."""


class _State(Enum):
    READY = auto()
    """`page` is to be sent at `due_s`."""
    IN_FLIGHT = auto()
    WITHHELD = auto()
    """A withheld attempt has been reported; it is due again at `_resume_s`."""
    GIVING_UP = auto()
    """`reason` has been decided and not been reported yet."""
    GIVEN_UP = auto()
    DONE = auto()


# Local names: Python 3.11 looks up the members of an Enum through its metaclass, several times slower than a global.
_WAIT, _ATTEMPT, _WITHHOLD, _GIVE_UP, _DONE = Action
_READY, _IN_FLIGHT, _WITHHELD, _GIVING_UP, _GIVEN_UP, _OVER = _State


class Session:
    """One station's part in a run: its pages in order, each until it is delivered or given up.

    `now_s` (seconds since T0) never decreases. In a run without failures:

    >>> from harness.scenario.retry import NoRetry
    >>> session = Session(range(7, 9), 2.0, 60.0, RetryPolicy(NoRetry(), 1, "3509191001001"))
    >>> session.next(0.0), session.due_s
    (<Action.WAIT: 1>, 2.0)
    >>> session.next(2.0), session.page, session.attempts
    (<Action.ATTEMPT: 2>, 7, 1)
    >>> session.attempt_ended(Outcome.ACCEPTED, 201, None, 2.5)
    False
    >>> session.next(2.5), session.page, session.due_s
    (<Action.ATTEMPT: 2>, 8, 2.5)

    A failed page holds up the pages behind it: a station uploads with one phone, in the order of its forms.
    No attempt starts at or after the deadline; one that is under way then may end. The deadline ends the whole session:
    the page at hand is given up, the pages behind it stay unattempted.

    There is one object per station and none per attempt but for a `FailedAttempt`, because a simulation plays millions.
    """

    __slots__ = (
        "_deadline_s", "_delivered", "_pages", "_policy", "_resume_s", "_state", "attempts", "decided_s", "due_s", "ended_s",
        "page", "reason", "row",
    )  # fmt: skip

    def __init__(self, pages: range, due_s: float, deadline_s: float, policy: RetryPolicy) -> None:
        """`pages` are rows of the plan, at least one; the station arrives at `due_s`; `policy` is its own, never shared."""
        self._pages = pages
        self._deadline_s = deadline_s
        self._policy = policy
        self._state = _READY
        self._resume_s = due_s
        self._delivered = 0
        self.page = pages.start
        self.row = 0
        """Journal rows of the page so far, withheld attempts included: what the journal numbers attempts by."""
        self.attempts = 0
        """Attempts of the page that were sent: the number that the server receives, and that max_attempts counts."""
        self.due_s = due_s
        self.decided_s = due_s
        self.reason = GiveUpReason.DEADLINE
        self.ended_s: float | None = None
        """When the last page was delivered or given up; None while under way, and where the deadline ended the session."""

    @property
    def completed(self) -> bool:
        """Whether every page has been delivered."""
        return self._delivered == len(self._pages)

    def next(self, now_s: float) -> Action:
        """What to do at `now_s`. Raises RuntimeError while an attempt is in flight."""
        if self._state is not _READY:
            action = self._leave_state()
            if action is not None:
                return action
        if now_s < self.due_s:
            return _WAIT
        if now_s >= self._deadline_s:
            # The caller was late, or the page before took until after the deadline.
            return self._give_up(GiveUpReason.DEADLINE, now_s)
        self.row += 1
        decision = self._policy.before_attempt(now_s, self.attempts)
        if decision is None:
            self.attempts += 1
            self._state = _IN_FLIGHT
            return _ATTEMPT
        if isinstance(decision, GiveUpReason):
            return self._give_up(decision, now_s)
        self._resume_s = decision
        self.decided_s = now_s
        self._state = _WITHHELD
        return _WITHHOLD

    def attempt_ended(self, outcome: Outcome, status: int, retry_after_s: float | None, done_s: float) -> bool:
        """Report how the attempt ended at `done_s`; returns whether the page will be tried again.

        `status` is 0 without an HTTP response, `retry_after_s` None without the header.
        Raises RuntimeError if none is in flight.
        """
        if self._state is not _IN_FLIGHT:
            message = f"no attempt of page {self.page} is in flight"
            raise RuntimeError(message)
        self._policy.after_attempt(outcome, done_s)
        if outcome in DELIVERED:
            self._delivered += 1
            self._next_page(done_s)
            return False
        pause_s = self._policy.next_pause(FailedAttempt(self.attempts, outcome, status, retry_after_s))
        if isinstance(pause_s, GiveUpReason):
            reason = pause_s
        elif done_s + pause_s < self._deadline_s:
            self.due_s = done_s + pause_s
            self._state = _READY
            return True
        else:
            # Given up now, not at the deadline: waiting for it would only keep the run from ending early.
            reason = GiveUpReason.DEADLINE
        self.reason = reason
        self.decided_s = done_s
        self._state = _GIVING_UP
        return False

    def _leave_state(self) -> Action | None:
        """Leave any state but READY: the action that comes first, None once the session is READY again."""
        state = self._state
        if state is _WITHHELD and self._resume_s < self._deadline_s:
            self.due_s = self._resume_s
            self._state = _READY
            return None
        if state is _WITHHELD:
            # It would be asked again after the deadline only; the row that says so has been written by now.
            return self._give_up(GiveUpReason.DEADLINE, self.decided_s)
        if state is _GIVING_UP:
            return self._give_up(self.reason, self.decided_s)
        if state is _GIVEN_UP:
            if self.reason is GiveUpReason.DEADLINE:
                # `ended_s` stays None and the pages behind get no record: they count as never attempted.
                self._state = _OVER
                return _DONE
            self._next_page(self.decided_s)
            return None if self._state is _READY else _DONE
        if state is _IN_FLIGHT:
            message = f"attempt {self.attempts} of page {self.page} is in flight: report its end first"
            raise RuntimeError(message)
        return _DONE

    def _give_up(self, reason: GiveUpReason, decided_s: float) -> Action:
        self.reason = reason
        self.decided_s = decided_s
        self._state = _GIVEN_UP
        return _GIVE_UP

    def _next_page(self, due_s: float) -> None:
        """Go on with the page behind, which is due as soon as this one is over; or end the session."""
        page = self.page + 1
        if page == self._pages.stop:
            self.ended_s = due_s
            self._state = _OVER
            return
        self.page = page
        self.row = self.attempts = 0
        self.due_s = due_s
        self._state = _READY


class ClosedLoop:
    """The stations that one phone of a closed workload serves one after another, each after a think time.

    `next` returns a station's number in the plan, `due_s` is when that station arrives.
    """

    __slots__ = ("_deadline_s", "_remaining", "due_s")

    def __init__(self, stations: Sequence[int], think_s: Sequence[float], deadline_s: float) -> None:
        """`think_s` has the pause before each of the stations, in their order."""
        self._remaining = zip(stations, think_s, strict=True)
        self._deadline_s = deadline_s
        self.due_s = 0.0

    def next(self, ended_s: float | None) -> int | None:
        """The next station, due a think time after `ended_s`; None if there is none before the deadline.

        `ended_s` is when the session before ended, None if the deadline or an abort ended it: then the phone stops.
        """
        following = None if ended_s is None else next(self._remaining, None)
        if ended_s is None or following is None:
            return None
        station, think_s = following
        self.due_s = ended_s + think_s
        return station if self.due_s < self._deadline_s else None
