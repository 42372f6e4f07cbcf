"""One run as the live page shows it: fed by the runner while it goes on, read once a second by the page's server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from harness.analysis.places import load_places
from harness.analysis.scraped_metrics import BUSY_RATIO, INJECTED, SERVER_TARGET
from harness.judge.thresholds.so_far import KeySoFar, RowsSoFar, ThresholdSoFar, ThresholdsSoFar
from harness.judge.thresholds.units import format_value
from harness.judge.validity import (
    ALLOWED_LATENESS_RATIO,
    ALLOWED_LATENESS_S,
    ALLOWED_MAX_LATENESS_S,
    SMALL_SAMPLE,
)
from harness.live.columns import FAULT_ACTIVE, Columns, percentile_of
from harness.live.journal_tail import JournalTail
from harness.live.progress import PlanProgress
from harness.plan import Plan
from harness.run_folder.layout import RunEnd, RunFolder, RunRecord
from harness.run_folder.scrape_log import Scrape
from reports.live_view import Snapshot
from reports.palette import outcome_label

MOST_GROUPS = 60
"""Of more groups only those with the most stations still to come are shown."""
_BUSY_SHARE = 0.02
"""Evaluating thresholds may take this part of the time: in a run of hours it is done less often than once a second."""
_PACE_FROM_S = 5.0
"""Goodput is over the last five seconds; before that it says nothing of the time to come."""
_CHANGES = {"holding": "holding", "breached": "breached now", "failed": "can't pass any more"}
"""The states that the log tells when they change."""


class WatchedRun:
    """Safe for several threads: the scrapers' add, the run's shows, the server's reads."""

    def __init__(
        self, folder: RunFolder, record: RunRecord, plan: Plan, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`record` is run.json at T0."""
        self.folder = folder
        self._record = record
        self._clock = clock
        self._plan = plan
        self._has_journals = not any(worker.host for worker in record.workers)
        """Whether the journals are on this machine: remote workers send theirs at the end."""
        self._progress: PlanProgress | None = None
        """Made when somebody first looks: of a large plan that takes a second, which there is not before T0."""
        self._tail = JournalTail(folder.journal)
        workers = [f"worker-{worker.rank}" for worker in record.workers]
        self.columns = Columns([*workers, SERVER_TARGET] if record.own_server else workers)
        assertions = [str(one["assert"]) for one in record.scenario.get("thresholds", [])]
        self._thresholds = ThresholdsSoFar(assertions, record, plan.pages)
        self._shown: list[ThresholdSoFar] = []
        self._logged: dict[str, str] = {}
        self._evaluate_from = 0.0
        self._snapshot: Snapshot | None = None
        self._edges = _fault_edges(record)
        self._ended: RunEnd | None = None
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        """PlanProgress belongs to one reader at a time; scrapes must not wait for it."""

    def add(self, scrape: Scrape) -> None:
        """Take a scrape."""
        with self._lock:
            self.columns.add(scrape)
            self._thresholds.add(scrape)

    def show(self, snapshot: Snapshot) -> list[str]:
        """Take the figures of the moment; what has happened since the last ones, as lines for the log."""
        self._snapshot = snapshot
        over = [text for at_s, text in self._edges if at_s <= snapshot.t_s]
        self._edges = self._edges[len(over) :]
        return over

    @property
    def elapsed_s(self) -> float | None:
        """Seconds since T0, to a tenth; None before the first figures."""
        return None if self._snapshot is None else round(self._snapshot.t_s, 1)

    def end(self, ended: RunEnd) -> None:
        """The run has ended."""
        self._ended = ended

    def describe(self) -> dict[str, Any]:
        """What does not change during the run."""
        record = self._record
        return {
            "id": record.id, "name": record.name, "title": record.title or record.name, "target": record.target,
            "own_server": record.own_server, "deadline_s": record.deadline_s, "workers": len(record.workers),
            "server_workers": record.scenario.get("server", {}).get("workers") if record.own_server else None,
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Everything that changes but the columns; to be called about once a second."""
        with self._reading:
            return self._state()

    def changes(self) -> list[str]:
        """Which thresholds stand otherwise than at the last call, as lines for the log."""
        found = {one.assertion: one.state for one in self._shown}
        lines = [
            f"Threshold {assertion}: {_CHANGES[state]}"
            for assertion, state in found.items()
            if state in _CHANGES and self._logged.get(assertion, "holding") != state
        ]
        self._logged.update(found)
        return lines

    def _state(self) -> dict[str, Any]:
        now = self._snapshot
        t_s = 0.0 if now is None else now.t_s
        if self._progress is None:
            self._progress = self._make_progress()
        progress = self._progress
        progress.add(self._tail.read())
        self._evaluate(progress.so_far(t_s) if self._has_journals else _rows_without_journals(now))
        with self._lock:
            health = self._health()
            faults = self._faults(t_s)
        return {
            "t_s": round(t_s, 1),
            "ended": None if self._ended is None else {"how": self._ended.how, "at_s": round(self._ended.at_s, 1), "message": self._ended.message},
            "phase": "" if now is None else now.phase,
            "now": None if now is None else self._figures(now),
            "thresholds": [_threshold(one) for one in self._shown],
            "groups": self._groups(progress, t_s),
            "pace": None if now is None or self._ended is not None else _pace(now),
            "faults": faults,
            "health": health,
        }  # fmt: skip

    def locked_columns(self, generation: int, first: int) -> tuple[int, int, list[list[Any]]]:
        """The generation of the columns, the number of the first row, and the rows from there on; all if the generation is new."""
        with self._lock:
            start = first if generation == self.columns.generation else 0
            return self.columns.generation, start, self.columns.rows(start)

    def _make_progress(self) -> PlanProgress:
        codes = np.array([station.code for station in self._plan.stations], dtype=object)
        places = load_places(codes, self._record.scenario, self.folder.region, self.folder.stations)
        return PlanProgress(self._plan, places)

    def _evaluate(self, rows: RowsSoFar) -> None:
        began = self._clock()
        if began < self._evaluate_from:
            return
        with self._lock:
            scraped = self._thresholds.scraped()
        self._shown = self._thresholds.evaluate(scraped, rows)
        ended = self._clock()
        self._evaluate_from = ended + (ended - began) / _BUSY_SHARE - 1.0

    def _figures(self, now: Snapshot) -> dict[str, Any]:
        return {
            "stations_planned": now.stations_planned, "stations_completed": now.stations_completed,
            "pages_planned": now.pages_planned, "pages_due": now.pages_due, "pages_delivered": now.pages_delivered,
            "offered_per_s": now.offered_per_s, "goodput_per_s": now.goodput_per_s, "answers_per_s": now.throughput_per_s,
            "failures": [
                [outcome_label(name), count]
                for name, count in sorted(now.failures.items(), key=lambda one: -one[1]) if count
            ],
            "p50": None if now.accepted_p50 is None else str(now.accepted_p50),
            "p95": None if now.accepted_p95 is None else str(now.accepted_p95),
            "queue": now.queue_depth, "busy": now.workers_busy, "in_flight": now.in_flight,
        }  # fmt: skip

    def _groups(self, progress: PlanProgress, t_s: float) -> dict[str, Any]:
        groups = [one for one in progress.groups(t_s) if one.stations]
        shown = groups
        if len(groups) > MOST_GROUPS:
            shown = sorted(groups, key=lambda one: one.completed - one.stations)[:MOST_GROUPS]
        more = len(groups) - len(shown)
        return {"shown": [asdict(one) for one in shown], "more": more, "known": self._has_journals}

    def _faults(self, t_s: float) -> list[dict[str, Any]]:
        active, hits = self.columns.gauge(FAULT_ACTIVE), self.columns.gauge(INJECTED)
        return [
            {
                "name": one.name, "kind": one.kind, "from_s": one.start_s, "to_s": one.end_s,
                "state": _fault_state(one.start_s, one.end_s, t_s, active.get(one.name)),
                "hits": None if one.name not in hits else int(hits[one.name]),
            }
            for one in self._record.faults
        ]  # fmt: skip

    def _health(self) -> dict[str, Any]:
        """Whether the generator keeps to its plan, by the rules of the judge as far as they can be known now."""
        recent, total = self.columns.recent(), self.columns.total()
        if recent is None or total is None:
            return {"tone": "unsure", "text": "not measured yet", "cpu_ratio": None, "late_s": None, "allowed_s": None}
        sent, quantile = float(total.lateness.sum()), 0.99
        always_s = ALLOWED_LATENESS_S if sent >= SMALL_SAMPLE else ALLOWED_MAX_LATENESS_S
        response_s = percentile_of(total.responses, quantile) or 0.0
        late_s, allowed_s = percentile_of(total.lateness, quantile), max(always_s, ALLOWED_LATENESS_RATIO * response_s)
        reasons = []
        if late_s is not None and late_s > allowed_s:
            reasons.append("attempts are sent late: if it stays so, the run is INVALID")
        if recent.cpu_ratio is not None and recent.cpu_ratio > BUSY_RATIO:
            reasons.append("a worker uses more than 90 % of its core: use more workers")
        return {
            "tone": "unsure" if reasons else "good", "text": "; ".join(reasons) or "on time",
            "cpu_ratio": recent.cpu_ratio, "late_s": late_s, "allowed_s": allowed_s,
        }  # fmt: skip


def _rows_without_journals(now: Snapshot | None) -> RowsSoFar:
    """What the scrapes alone have of the rows."""
    if now is None or not now.stations_planned:
        return RowsSoFar()
    ratio = KeySoFar(now.stations_completed / now.stations_planned, 1.0)
    return RowsSoFar(
        keys={
            "stations.completed": KeySoFar(now.stations_completed, now.stations_planned),
            "stations.completed_ratio": ratio,
            "stations.completed_by_deadline_ratio": ratio,
            "pages.delivered": KeySoFar(now.pages_delivered, now.pages_planned),
        }
    )


def _pace(now: Snapshot) -> dict[str, Any]:
    """Whether what waits could arrive by the deadline at the present goodput, even if nothing more fell due."""
    waiting, reachable = now.pages_due - now.pages_delivered, now.goodput_per_s * max(0.0, now.deadline_s - now.t_s)
    return {
        "waiting": waiting,
        "reachable": int(reachable),
        "is_behind": now.t_s > _PACE_FROM_S and waiting > reachable,
    }


def _fault_edges(record: RunRecord) -> list[tuple[float, str]]:
    """When each planned fault begins and is over, in the order of time."""
    edges = [(one.start_s, f"Fault {one.name} ({one.kind}) begins") for one in record.faults]
    edges += [(one.end_s, f"Fault {one.name} is over") for one in record.faults if one.end_s is not None]
    return sorted(edges)


def _fault_state(from_s: float, to_s: float | None, t_s: float, active: float | None) -> str:
    """A fault's state by its plan; what the server reports outweighs that while both overlap."""
    if t_s < from_s:
        return "to come"
    if to_s is not None and t_s >= to_s:
        return "over"
    return "active" if active is None or active > 0 else "begins"


def _threshold(one: ThresholdSoFar) -> dict[str, Any]:
    return {
        "assertion": one.assertion,
        "state": one.state,
        "observed": None if one.observed is None else format_value(one.observed, one.unit),
        "limit": format_value(one.limit, one.unit),
        "why": one.why,
    }
