"""Plays one station's session over sockets: sleeps, sends, and records what happened.

What to do next is decided by harness.station.session; nothing here knows a retry rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import gevent

from harness.base.model import Outcome
from harness.drive.client.uploader import AttemptResult
from harness.measure.metrics import WorkerMetrics
from harness.plan import Plan
from harness.run_folder.journal import AttemptRecord, JournalWriter
from harness.scenario.client import ClientOptions
from harness.station.retry import RetryPolicy
from harness.station.session import Action, ClosedLoop, Session

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Local names: Python 3.11 looks up the members of an Enum through its metaclass, see harness/station/session.py.
_WAIT, _ATTEMPT, _WITHHOLD, _GIVE_UP, _DONE = Action
_MAX_UNUSABLE_KINDS = 20
"""How many different descriptions of unusable answers are counted: a server can make up any number of them."""


@dataclass(slots=True)
class WorkerContext:
    """What all virtual users of one worker share: plan, clock, journal, metrics and deadline."""

    plan: Plan
    client: ClientOptions
    clock: Callable[[], float]
    """Seconds since T0."""
    deadline_s: float
    journal: JournalWriter
    metrics: WorkerMetrics
    seed: int
    on_attempt: Callable[[AttemptResult], None] | None = None
    """Called after every attempt (Locust's own statistics)."""
    on_records: Callable[[npt.NDArray[np.void]], None] = lambda _: None
    """Called with the journal's new records, dtype journal.RECORD, whenever they are written."""
    wait_for_rate: Callable[[], None] | None = None
    """Called before every attempt: waits until the rate that the target consents to allows it; None on loopback."""
    attempts: int = 0
    stations_begun: int = 0
    shortages: Counter[str] = field(default_factory=Counter)
    """Attempts that the generator could not make, by the resource that it lacked."""
    unusable: Counter[str] = field(default_factory=Counter)
    """Attempts that ended with an answer whose status promised success, by what was wrong with it."""

    def flush(self) -> None:
        """Update the metrics and write the journal. Raises OSError if the journal can't be written."""
        records = self.journal.noted()
        self.metrics.count(records)
        self.on_records(records)
        self.journal.flush()

    def record_attempt(self, page: int, row: int, result: AttemptResult) -> None:
        """Record an attempt that is over; `row` is what the journal numbers the page's attempts by."""
        self.attempts += 1
        if result.shortage is not None:
            self.shortages[result.shortage] += 1
        if result.detail and (result.detail in self.unusable or len(self.unusable) < _MAX_UNUSABLE_KINDS):
            self.unusable[result.detail] += 1
        result.page, result.attempt = page, row
        if result.steps:
            for step in result.steps:
                step.page, step.attempt = page, row
                self.journal.step(step)
        self.journal.end(result)
        if self.on_attempt is not None:
            self.on_attempt(result)

    def record_withheld(self, page: int, row: int, due_s: float) -> None:
        """Record an attempt that the strategy held back: it has a due time and nothing else."""
        self.attempts += 1
        self.journal.end(AttemptRecord(Outcome.WITHHELD, page=page, attempt=row, due_s=due_s))


class AttemptSender(Protocol):
    """Makes one station's attempts; harness.drive.client.uploader.Uploader is one."""

    def attempt(self, page: int, number: int, due_s: float, sent_s: float, row: int) -> AttemptResult:
        """Try once to deliver a page; `number` counts the page's attempts from 1, `row` also those that were withheld."""

    def close(self) -> None:
        """Release what the station holds: nothing is sent after this."""


class VirtualUser:
    """One station of a real run: its session, played over sockets.

    The login belongs to the attempt that needs it, because its time does: the sender logs in.
    """

    __slots__ = ("_context", "_sender", "_session")

    def __init__(
        self, context: WorkerContext, station: int, sender: AttemptSender, due_s: float | None = None
    ) -> None:  # fmt: skip
        """`station` is its number in the plan; `due_s` is when it arrives, if only the run knows (closed arrivals)."""
        plan = context.plan
        policy = RetryPolicy(context.client.retry, context.seed, plan.stations[station].code)
        due_s = float(plan.due_s[station]) if due_s is None else due_s
        self._context = context
        self._sender = sender
        self._session = Session(plan.pages_of(station), due_s, context.deadline_s, policy)

    def run(self) -> float | None:
        """Play the session to its end.

        Returns when its last page was over; None if the deadline or an abort came before.
        """
        self._context.stations_begun += 1
        try:
            return self._play()
        finally:
            self._sender.close()

    def _play(self) -> float | None:
        context, session = self._context, self._session
        now_s = context.clock()
        while (action := session.next(now_s)) is not _DONE:
            if action is _ATTEMPT:
                if self._attempt():
                    return None
                # Read again rather than taken from the attempt: the deadline counts from now, and recording took time.
                now_s = context.clock()
            elif action is _WAIT:
                now_s = sleep_until(context.clock, session.due_s)
            elif action is _WITHHOLD:
                context.record_withheld(session.page, session.row, session.due_s)
            else:
                context.journal.gave_up(session.page, session.attempts, session.decided_s, session.reason)
        if session.completed:
            context.metrics.stations_completed += 1
        return session.ended_s

    def _attempt(self) -> bool:
        """Send the session's page once and report its end to the session; whether the run was aborted meanwhile."""
        context, session = self._context, self._session
        if context.wait_for_rate is not None:
            context.wait_for_rate()
        sent_s = context.clock()
        # Noted before sending, so that an attempt in flight when the process dies is known (censored), not missing.
        context.journal.begin(session.page, session.row, session.due_s, sent_s)
        context.metrics.in_flight += 1
        try:
            result = self._sender.attempt(session.page, session.attempts, session.due_s, sent_s, session.row)
        finally:
            context.metrics.in_flight -= 1
        context.record_attempt(session.page, session.row, result)
        if result.killed:
            return True
        # NaN, the only float that differs from itself: the response had no Retry-After
        retry_after_s = result.retry_after_s if result.retry_after_s == result.retry_after_s else None
        if session.attempt_ended(result.outcome, result.status, retry_after_s, result.done_s):
            context.metrics.retry(result.outcome)
        return False


def run_closed_user(
    context: WorkerContext, stations: Sequence[int], make_user: Callable[[int, float], VirtualUser]
) -> None:  # fmt: skip
    """Play the stations of one phone of a closed workload one after another, with a think time before each.

    `make_user` makes the virtual user of a station (its number in the plan) that arrives at a time.
    Raises ValueError if the plan is of an open workload.
    """
    rounds = context.plan.closed_loop
    if rounds is None:
        message = "an open workload has no rounds"
        raise ValueError(message)
    think_s = rounds.think_s[list(stations)].tolist()
    loop = ClosedLoop(stations, think_s, context.deadline_s)
    # The plan knows when the first station is due; the phone starts its think time before that.
    ended_s: float | None = float(context.plan.due_s[stations[0]]) - think_s[0]
    while (station := loop.next(ended_s)) is not None:
        sleep_until(context.clock, loop.due_s)
        context.metrics.pages_due += len(context.plan.slots)
        ended_s = make_user(station, loop.due_s).run()


def sleep_until(clock: Callable[[], float], moment_s: float) -> float:
    """Sleep until the clock shows `moment_s`, not at all if it has passed; returns what the clock shows then."""
    now_s = clock()
    if now_s < moment_s:
        gevent.sleep(moment_s - now_s)
        now_s = clock()
    return now_s
