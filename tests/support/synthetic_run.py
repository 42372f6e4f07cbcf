"""A synthetic run in Kaliwates: 362 stations, three pages each, and a brownout of the server from 20 s to 30 s.

A small event simulation, so that rows and scrapes agree with each other as in a real run.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path

from harness.base.model import Outcome
from harness.run_folder.journal import AttemptRecord, GiveUpReason
from harness.run_folder.layout import RunFolder
from tests.support.run_builder import Labels, RunBuilder, brownout, make_pages

KELURAHAN = {
    "3509191001": 50, "3509191002": 33, "3509191003": 22, "3509191004": 44, "3509191005": 61, "3509191006": 50,
    "3509191007": 102,
}  # fmt: skip
CODES = [f"{code}{number:03d}" for code, stations in KELURAHAN.items() for number in range(1, stations + 1)]
DEADLINE_S, TIMEOUT_S, QUEUE = 72.0, 10.0, 64
BROWNOUT = (20.0, 30.0)
Samples = dict[tuple[str, Labels], float]


@dataclass
class _Counts:
    """Moments of everything that the exporters count."""

    due: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)
    completed: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    ended: dict[Outcome, list[float]] = field(default_factory=dict)
    queued: list[tuple[float, float]] = field(default_factory=list)
    busy: list[tuple[float, float]] = field(default_factory=list)


class _Evening:
    def __init__(self, run: RunBuilder, workers: int, seed: int) -> None:
        self.run, self.rng, self.counts = run, random.Random(seed), _Counts()
        self.free_at = [0.0] * workers
        self.waiting: list[float] = []
        self.events: list[tuple[float, int, int]] = []
        self.delivered_pages: list[int] = []
        self.end_s = 0.0

    def play(self) -> None:
        for station in range(len(self.run.pages) // 3):
            heapq.heappush(self.events, (self.run.pages[station * 3].due_s, station * 3, 1))
        while self.events:
            due_s, page, attempt = heapq.heappop(self.events)
            if due_s >= DEADLINE_S:
                self.run.gave_up(page, attempts=attempt - 1, at_s=DEADLINE_S, reason=GiveUpReason.DEADLINE)
                continue
            self._attempt(due_s, page, attempt)

    def _attempt(self, due_s: float, page: int, attempt: int) -> None:
        sent_s = due_s + self.rng.uniform(0.0002, 0.003)
        arrived_s = sent_s + 0.01
        if page % 3 == 0 and attempt == 1:
            self.counts.due += [due_s] * 3
        self.waiting = [start for start in self.waiting if start > arrived_s]
        if len(self.waiting) >= QUEUE:
            outcome, done_s, retry_after_s = Outcome.UNAVAILABLE, arrived_s + 0.005, 2.0
        else:
            outcome, done_s, retry_after_s = *self._served(arrived_s, sent_s), None
        made = AttemptRecord(
            outcome, due_s=due_s, sent_s=sent_s, done_s=done_s, retry_after_s=retry_after_s or float("nan")
        )
        self._note(page, attempt, made)
        if outcome is Outcome.ACCEPTED:
            if page % 3 < 2:
                heapq.heappush(self.events, (done_s, page + 1, 1))
            return
        pause = self.rng.uniform(0.0, min(30.0, 2.0 ** (attempt - 1))) + (retry_after_s or 0.0)
        heapq.heappush(self.events, (done_s + pause, page, attempt + 1))

    def _served(self, arrived_s: float, sent_s: float) -> tuple[Outcome, float]:
        start_s = max(arrived_s, heapq.heappop(self.free_at))
        slow = 5.0 if BROWNOUT[0] <= start_s < BROWNOUT[1] else 1.0
        finish_s = start_s + self.rng.lognormvariate(-1.9, 0.5) * slow
        heapq.heappush(self.free_at, finish_s)
        if start_s > arrived_s:
            self.waiting.append(start_s)
            self.counts.queued.append((arrived_s, start_s))
        self.counts.busy.append((start_s, finish_s))
        if finish_s - sent_s > TIMEOUT_S:
            return Outcome.TIMEOUT_RESPONSE, sent_s + TIMEOUT_S
        return Outcome.ACCEPTED, finish_s + 0.002

    def _note(self, page: int, attempt: int, made: AttemptRecord) -> None:
        resent = self.run.pages[page].size_bytes if attempt > 1 else 0
        done_s, outcome = made.done_s, made.outcome
        self.run.attempt(
            page, attempt=attempt, outcome=outcome, due_s=made.due_s, sent_s=made.sent_s, done_s=done_s,
            resent_bytes=resent, login_s=0.004 if page % 3 == 0 else float("nan"), retry_after_s=made.retry_after_s,
        )  # fmt: skip
        self.end_s = max(self.end_s, done_s)
        self.counts.sent.append(made.sent_s)
        self.counts.ended.setdefault(outcome, []).append(done_s)
        if outcome is Outcome.ACCEPTED:
            self.counts.delivered.append(done_s)
            self.delivered_pages.append(page)
            if page % 3 == 2:
                self.counts.completed.append(done_s)

    def scrapes(self) -> None:
        """One scrape a second of the generator and the server, to the end and once after it."""
        counts = self.counts
        for moments in (counts.due, counts.delivered, counts.completed, counts.sent, *counts.ended.values()):
            moments.sort()
        for second in [*range(int(self.end_s) + 1), self.end_s + 0.2]:
            self.run.scrape("worker-0", second + 0.02, self._generator(second + 0.02))
            self.run.scrape("server", second + 0.03, self._server(second + 0.03))

    def _generator(self, t_s: float) -> Samples:
        counts = self.counts
        attempts = sum(bisect_right(moments, t_s) for moments in counts.ended.values())
        in_flight = bisect_right(counts.sent, t_s) - attempts
        return {
            ("harness_pages_due_total", ()): bisect_right(counts.due, t_s),
            ("harness_pages_delivered_total", ()): bisect_right(counts.delivered, t_s),
            ("harness_stations_completed_total", ()): bisect_right(counts.completed, t_s),
            ("harness_sent_bytes_total", ()): attempts * 1_600_000,
            ("harness_attempts_in_flight", ()): in_flight,
            ("harness_loop_lag_seconds", ()): 0.002,
            ("process_cpu_seconds_total", ()): 1.5 + 0.2 * t_s + 0.003 * attempts,
            ("process_resident_memory_bytes", ()): 150e6,
            ("process_open_fds", ()): 30 + in_flight,
            **{
                ("harness_attempts_total", (("outcome", str(outcome)),)): bisect_right(moments, t_s)
                for outcome, moments in counts.ended.items()
            },
        }

    def _server(self, t_s: float) -> Samples:
        counts = self.counts
        shed = bisect_right(counts.ended.get(Outcome.UNAVAILABLE, []), t_s)
        stored = bisect_right(counts.delivered, t_s)
        queue = sum(start <= t_s < end for start, end in counts.queued)
        busy = sum(start <= t_s < end for start, end in counts.busy)
        route = (("http_request_method", "POST"), ("http_route", "/v1/stations/{code}/forms/{form}/pages/{n}"))
        family = "http_server_request_duration_seconds_count"
        return {
            ("mock_server_queue_depth", ()): queue,
            ("mock_server_workers_busy", ()): busy,
            ("http_server_active_requests", ()): queue + busy,
            ("mock_server_shed_total", (("reason", "queue_full"),)): shed,
            ("mock_server_wasted_work_total", ()): bisect_right(counts.ended.get(Outcome.TIMEOUT_RESPONSE, []), t_s),
            ("mock_server_pages_stored_total", ()): stored,
            ("mock_server_stored_bytes_total", ()): stored * 1_600_000,
            ("mock_server_faults_injected_total", (("fault", "brownout"),)): sum(
                BROWNOUT[0] <= start < min(BROWNOUT[1], t_s) for start, _ in counts.busy
            ),
            ("mock_server_fault_active", (("fault", "brownout"),)): float(BROWNOUT[0] <= t_s < BROWNOUT[1]),
            ("mock_server_loop_lag_seconds", ()): 0.004,
            (family, (*route, ("http_response_status_code", "201"))): stored,
            (family, (*route, ("http_response_status_code", "503"))): shed,
        }


def kaliwates_run(path: Path, *, workers: int = 8, seed: int = 1) -> RunFolder:
    """A finished run; with `workers=1` a server that is far too small (the deadline passes).

    Everything the harness leaves behind, but for the stages after the driving: no attempts.parquet, no summary.json.
    """
    rng = random.Random(seed)
    shares = sorted(rng.random() for _ in CODES)
    due_s = [share * 16.0 if share < 0.5 else 8.0 + (share - 0.5) * 56.0 for share in shares]
    rng.shuffle(due_s)
    run = RunBuilder(
        path, pages=make_pages(due_s, 3, CODES), name="kaliwates", time_scale=3600.0, deadline_s=DEADLINE_S,
        title="Election night in Kaliwates: 362 stations and one overloaded server",
    )  # fmt: skip
    evening = _Evening(run, workers, seed)
    evening.play()
    evening.scrapes()
    run.store([run.stored_row(page, stored_at=0.0) for page in evening.delivered_pages])
    done = len(evening.counts.completed) == len(CODES)
    end_s = max(evening.end_s, 0.0 if done else DEADLINE_S) + 0.3
    return run.finish("completed" if done else "deadline", at_s=end_s, **brownout(*BROWNOUT, end_s))
