"""One station's evening: turn up, log in, upload the pages one after another, try again by the strategy."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import gevent

from harness.drive.retry import Backoff, Failure, Strategy
from harness.drive.upload.attempt import Result
from harness.measure.journal import GaveUp, JournalWriter
from harness.measure.telemetry import Ended, Telemetry
from harness.model import DELIVERED
from harness.plan import Plan
from harness.scenario import Client


@dataclass
class Desk:
    """What all evenings of one worker share: clock, journal, instruments, deadline."""

    plan: Plan
    client: Client
    clock: Callable[[], float]
    """Seconds since T0."""
    deadline_s: float
    journal: JournalWriter
    telemetry: Telemetry
    seed: int
    on_attempt: Callable[[Result], None] = lambda _: None
    """Called after every attempt (Locust's own statistics)."""
    ended: list[Ended] = field(default_factory=list)
    """Attempts not yet counted by the instruments."""
    attempts: int = 0
    stations_begun: int = 0

    def flush(self) -> None:
        """Write the journal and feed the instruments."""
        self.journal.flush()
        batch, self.ended = self.ended, []
        self.telemetry.ended(batch)

    def note(self, page: int, number: int, result: Result) -> None:
        """Record an attempt that is over."""
        progress = result.progress
        self.attempts += 1
        self.journal.end(
            page,
            number,
            result.outcome,
            status=result.status,
            sent_bytes=progress.sent_bytes,
            resent_bytes=result.resent_bytes,
            due_s=result.due_s,
            sent_s=result.sent_s,
            connected_s=progress.connected_s,
            body_sent_s=progress.body_sent_s,
            first_byte_s=progress.first_byte_s,
            done_s=result.done_s,
            retry_after_s=result.retry_after_s,
            login_s=result.login_s,
            queue_s=result.queue_s,
            server_s=result.server_s,
        )
        self.ended.append(
            Ended(
                result.outcome,
                result.done_s - result.due_s,
                result.done_s - result.sent_s,
                result.sent_s - result.due_s,
                progress.sent_bytes,
            )
        )
        self.on_attempt(result)


class Attempts(Protocol):
    """Makes one station's attempts; harness.drive.upload.attempt.Uploader does."""

    def attempt(self, page: int, number: int, due_s: float, sent_s: float) -> Result:
        """Try to deliver a page once."""

    def close(self) -> None:
        """The station is done."""


class Evening:
    """The evening of one station."""

    def __init__(self, desk: Desk, station: int, uploader: Attempts) -> None:
        """`station` is its number in the plan."""
        self._desk = desk
        self._station = station
        self._uploader = uploader
        rng = random.Random(f"{desk.seed}/retry/{desk.plan.stations[station].code}")
        self._strategy: Strategy = Backoff(desk.client.retry, rng)

    def run(self) -> None:
        """Deliver every page, in their order, as far as strategy and deadline allow."""
        self._desk.stations_begun += 1
        try:
            self._upload_all()
        finally:
            self._uploader.close()

    def _upload_all(self) -> None:
        desk = self._desk
        due_s = float(desk.plan.due_s[self._station])
        delivered = 0
        for page in desk.plan.pages_of(self._station):
            done_s, arrived = self._deliver(page, due_s)
            if done_s is None:
                return
            due_s = done_s
            delivered += arrived
        if delivered == len(desk.plan.slots):
            desk.telemetry.stations_completed.inc()

    def _deliver(self, page: int, due_s: float) -> tuple[float | None, bool]:
        """When the page was over and whether it was delivered; no time if the evening is over too."""
        desk = self._desk
        attempts = already_sent = 0
        while True:
            wait_until(desk.clock, due_s)
            if desk.clock() >= desk.deadline_s:
                desk.journal.gave_up(page, attempts, desk.clock(), GaveUp.DEADLINE)
                return None, False
            attempts += 1
            result = self._attempt(page, attempts, due_s, already_sent)
            already_sent = max(already_sent, result.progress.sent_bytes)
            if result.killed:
                return None, False
            if result.outcome in DELIVERED:
                return result.done_s, True
            pause = self._strategy.after(_failure(attempts, result))
            if isinstance(pause, GaveUp):
                desk.journal.gave_up(page, attempts, result.done_s, pause)
                return result.done_s, False
            due_s = result.done_s + pause
            if due_s >= desk.deadline_s:
                desk.journal.gave_up(page, attempts, result.done_s, GaveUp.DEADLINE)
                return None, False
            desk.telemetry.retry(result.outcome)

    def _attempt(self, page: int, number: int, due_s: float, already_sent: int) -> Result:
        desk = self._desk
        sent_s = desk.clock()
        desk.journal.begin(page, number, due_s, sent_s)
        desk.telemetry.in_flight.inc()
        try:
            result = self._uploader.attempt(page, number, due_s, sent_s)
        finally:
            desk.telemetry.in_flight.dec()
        result.resent_bytes = min(already_sent, result.progress.sent_bytes)
        desk.note(page, number, result)
        return result


def _failure(attempts: int, result: Result) -> Failure:
    asked = result.retry_after_s if result.retry_after_s == result.retry_after_s else None
    return Failure(attempts, result.outcome, result.status, asked)


def wait_until(clock: Callable[[], float], moment_s: float) -> None:
    """Sleep until the clock shows that moment; not at all if it has passed."""
    remaining = moment_s - clock()
    if remaining > 0:
        gevent.sleep(remaining)
