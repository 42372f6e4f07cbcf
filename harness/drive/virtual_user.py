"""One station's evening: turn up, log in, upload the pages one after another, try again by the strategy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import gevent

from harness.base.model import DELIVERED, Outcome
from harness.drive.client.uploader import AttemptResult
from harness.measure.metrics import WorkerMetrics
from harness.plan import Plan
from harness.run_folder.journal import AttemptRecord, GiveUpReason, JournalWriter
from harness.scenario.scenario import ClientOptions
from harness.station.retry import FailedAttempt, make_strategy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(slots=True)
class WorkerContext:
    """What all evenings of one worker share: clock, journal, instruments, deadline."""

    plan: Plan
    client: ClientOptions
    clock: Callable[[], float]
    """Seconds since T0."""
    deadline_s: float
    journal: JournalWriter
    telemetry: WorkerMetrics
    seed: int
    on_attempt: Callable[[AttemptResult], None] | None = None
    """Called after every attempt (Locust's own statistics)."""
    on_records: Callable[[npt.NDArray[np.void]], None] = lambda _: None
    """Called with what the journal has noted, dtype journal.RECORD, whenever it is written down."""
    hold: Callable[[], None] = lambda: None
    """Called before every attempt: waits for the rate that the target consents to."""
    attempts: int = 0
    stations_begun: int = 0
    shortages: Counter[str] = field(default_factory=Counter)
    """Attempts that the generator could not make, by what it had too little of."""

    def flush(self) -> None:
        """Feed the instruments and write the journal."""
        records = self.journal.noted()
        self.telemetry.count(records)
        self.on_records(records)
        self.journal.flush()

    def note(self, page: int, number: int, result: AttemptResult) -> None:
        """Record an attempt that is over."""
        self.attempts += 1
        if result.shortage is not None:
            self.shortages[result.shortage] += 1
        result.page, result.attempt = page, number
        self.journal.end(result)
        if self.on_attempt is not None:
            self.on_attempt(result)

    def withhold(self, page: int, number: int, due_s: float) -> None:
        """Record an attempt that the strategy held back: it has a due time and nothing else."""
        self.attempts += 1
        self.journal.end(AttemptRecord(Outcome.WITHHELD, page=page, attempt=number, due_s=due_s))


class AttemptSender(Protocol):
    """Makes one station's attempts; harness.drive.client.uploader.Uploader does."""

    def attempt(self, page: int, number: int, due_s: float, sent_s: float) -> AttemptResult:
        """Try to deliver a page once."""

    def close(self) -> None:
        """The station is done."""


class VirtualUser:
    """The evening of one station."""

    __slots__ = ("_desk", "_due_s", "_station", "_strategy", "_uploader")

    def __init__(self, desk: WorkerContext, station: int, uploader: AttemptSender, due_s: float | None = None) -> None:
        """`station` is its number in the plan; `due_s` is when it turns up, where the plan can't know."""
        self._desk = desk
        self._station = station
        self._due_s = float(desk.plan.due_s[station]) if due_s is None else due_s
        self._uploader = uploader
        self._strategy = make_strategy(desk.client.retry, desk.seed, desk.plan.stations[station].code)

    def run(self) -> float | None:
        """Deliver every page, in their order, as far as strategy and deadline allow.

        When the last one was over; None if the deadline or the end of the run came before.
        """
        self._desk.stations_begun += 1
        try:
            return self._upload_all()
        finally:
            self._uploader.close()

    def _upload_all(self) -> float | None:
        desk = self._desk
        due_s = self._due_s
        delivered = 0
        for page in desk.plan.pages_of(self._station):
            done_s, arrived = self._deliver(page, due_s)
            if done_s is None:
                return None
            due_s = done_s
            delivered += arrived
        if delivered == len(desk.plan.slots):
            desk.telemetry.stations_completed += 1
        return due_s

    def _deliver(self, page: int, due_s: float) -> tuple[float | None, bool]:
        """When the page was over and whether it was delivered; no time if the evening is over too."""
        desk = self._desk
        tries = _PageAttempts(page, due_s)
        while True:
            tries.now_s = sleep_until(desk.clock, tries.due_s)
            again = GiveUpReason.DEADLINE if tries.now_s >= desk.deadline_s else self._try(tries)
            if again is None:
                return (None, False) if tries.killed else (tries.now_s, True)
            if isinstance(again, GiveUpReason):
                desk.journal.gave_up(page, tries.attempts, tries.now_s, again)
                return None if again is GiveUpReason.DEADLINE else tries.now_s, False
            tries.due_s = again

    def _try(self, tries: _PageAttempts) -> float | GiveUpReason | None:
        """When to go on with the page or why it is given up; None if it was delivered or the run broken off."""
        desk = self._desk
        tries.rows += 1
        again = self._strategy.before(tries.now_s, tries.attempts)
        if again is None:
            result = self._attempt(tries)
            if result.killed or result.outcome in DELIVERED:
                return None
            again = self._strategy.pause(_failed_attempt(tries.attempts, result))
            if isinstance(again, GiveUpReason):
                return again
            again += result.done_s
            if again < desk.deadline_s:
                desk.telemetry.retry(result.outcome)
        elif not isinstance(again, GiveUpReason):
            desk.withhold(tries.page, tries.rows, tries.due_s)
        return again if isinstance(again, GiveUpReason) or again < desk.deadline_s else GiveUpReason.DEADLINE

    def _attempt(self, tries: _PageAttempts) -> AttemptResult:
        desk = self._desk
        tries.attempts += 1
        desk.hold()
        sent_s = desk.clock()
        desk.journal.begin(tries.page, tries.rows, tries.due_s, sent_s)
        desk.telemetry.in_flight += 1
        try:
            result = self._uploader.attempt(tries.page, tries.attempts, tries.due_s, sent_s)
        finally:
            desk.telemetry.in_flight -= 1
        desk.note(tries.page, tries.rows, result)
        tries.killed = result.killed
        if not result.killed:
            tries.now_s = result.done_s
            self._strategy.ended(result.outcome, result.done_s)
        return result


@dataclass(slots=True)
class _PageAttempts:
    """What has been tried with one page."""

    page: int
    due_s: float
    """When to try next."""
    now_s: float = 0.0
    rows: int = 0
    """Rows of the journal, also of attempts that the strategy withheld: what the journal numbers attempts by."""
    attempts: int = 0
    """Attempts sent: what the server is told, and what max_attempts counts."""
    killed: bool = False
    """The run was broken off during an attempt."""


def _failed_attempt(attempts: int, result: AttemptResult) -> FailedAttempt:
    asked = result.retry_after_s if result.retry_after_s == result.retry_after_s else None
    return FailedAttempt(attempts, result.outcome, result.status, asked)


def sleep_until(clock: Callable[[], float], moment_s: float) -> float:
    """Sleep until the clock shows that moment, not at all if it has passed; what it shows then."""
    now_s = clock()
    if now_s < moment_s:
        gevent.sleep(moment_s - now_s)
        now_s = clock()
    return now_s
