"""Live statistics of a run from its latest scrapes, for the terminal. Approximate: the summary is computed from the journal."""

from __future__ import annotations

import math
import re
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from prometheus_client.parser import text_string_to_metric_families

from harness.base.model import NOT_FAILURES, Outcome
from harness.plan import Plan
from harness.run_folder.layout import RunEnd, RunFolder, RunRecord
from harness.run_folder.scrape_log import Scrape
from reports.live_view import BucketPercentile, Snapshot

_SHOWN_SAMPLES = re.compile(
    r"^(?:harness_(?:attempts_total|attempts_in_flight|pages_due_total|pages_delivered_total|stations_completed_total"
    r"|accepted_seconds_bucket)|mock_server_(?:queue_depth|workers_busy))(?=[{ ]).*$",
    re.MULTILINE,
)
"""Only these lines of a scrape are parsed: the leader parses a scrape of every worker each second."""
_WINDOW_S = 5.0
"""Rates are averages over this long: shorter ones jump with each scrape, longer ones hide a fault's start."""
_NOT_FAILURES = {str(outcome) for outcome in NOT_FAILURES}


class RunView(Protocol):
    """Where a run's progress is shown."""

    def log(self, text: str) -> None:
        """Show one line on what is being done."""

    def show(self, snapshot: Snapshot) -> None:
        """Show the live statistics; called several times a second."""


@runtime_checkable
class RunObserver(RunView, Protocol):
    """A view that also follows the run itself: its plan, its scrapes as they arrive, and how it ended."""

    def begin(self, folder: RunFolder, record: RunRecord, plan: Plan) -> None:
        """T0 is known: everything that does not change during the run."""

    def add(self, scrape: Scrape) -> None:
        """Take a scrape, whether it was answered or failed. Called from the scraper's threads: it must return at once."""

    def end(self, ended: RunEnd) -> None:
        """The run has ended; what it means is judged afterwards."""


@dataclass(frozen=True)
class _Totals:
    """Sums over all workers at one time; counters since T0."""

    t_s: float
    due: float
    delivered: float
    answered: float
    buckets: dict[float, float]
    """Upper bound in seconds -> accepted uploads that took up to it, cumulative."""


@dataclass
class _TargetStats:
    sums: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, float] = field(default_factory=dict)
    buckets: dict[float, float] = field(default_factory=dict)


class LiveStats:
    """Takes scrapes from the scraper's threads and gives a snapshot to the view; safe to use from several threads."""

    def __init__(self, record: RunRecord, stations: int, pages: int) -> None:
        self._record = record
        self._stations = stations
        self._pages = pages
        self._targets: dict[str, _TargetStats] = {}
        self._history: deque[_Totals] = deque()
        self._lock = threading.Lock()

    def add(self, scrape: Scrape) -> None:
        """Take a scrape; a failed one changes nothing, so that the last known state stays."""
        # An external target's own metrics may have our names, but not our meaning.
        if not scrape.text or not scrape.target.startswith(("server", "worker-")):
            return
        try:
            target = _parse(scrape.text)
        except (ValueError, KeyError, IndexError):
            return  # malformed exposition: the scrape log has it, the view keeps the one before
        with self._lock:
            self._targets[scrape.target] = target
            self._history.append(self._moment(scrape.t_s))
            # keep one entry older than the window, so that the rate always spans all of it
            while len(self._history) > 2 and self._history[1].t_s < scrape.t_s - _WINDOW_S:
                self._history.popleft()

    def snapshot(self, now_s: float) -> Snapshot:
        """The statistics now; rates and percentiles over the last seconds. `now_s` is seconds since T0."""
        with self._lock:
            first = self._history[0] if self._history else _Totals(now_s, 0, 0, 0, {})
            last = self._history[-1] if self._history else first
            outcomes = self._outcomes()
            sums = {name: self._sum(name) for name in ("stations", "in_flight", "queue_depth", "workers_busy")}
        span_s = max(last.t_s - first.t_s, 1.0)  # right after T0 there is only one entry
        recent = {bound: last.buckets[bound] - first.buckets.get(bound, 0.0) for bound in last.buckets}
        return Snapshot(
            t_s=max(0.0, now_s),
            deadline_s=self._record.deadline_s,
            phase=self._phase(now_s),
            stations_planned=self._stations,
            stations_completed=int(sums["stations"] or 0),
            pages_planned=self._pages,
            pages_delivered=int(last.delivered),
            pages_due=int(last.due),
            offered_per_s=(last.due - first.due) / span_s,
            goodput_per_s=(last.delivered - first.delivered) / span_s,
            throughput_per_s=(last.answered - first.answered) / span_s,
            failures={name: int(number) for name, number in outcomes.items() if name not in _NOT_FAILURES},
            accepted_p50=bucket_percentile(recent, 0.5, self._record.client_timeout_s),
            accepted_p95=bucket_percentile(recent, 0.95, self._record.client_timeout_s),
            queue_depth=sums["queue_depth"],
            workers_busy=sums["workers_busy"],
            in_flight=None if sums["in_flight"] is None else int(sums["in_flight"]),
        )

    def _phase(self, now_s: float) -> str:
        return next((phase.name for phase in self._record.phases if phase.start_s <= now_s < phase.end_s), "clear")

    def _sum(self, name: str) -> float | None:
        found = [target.sums[name] for target in self._targets.values() if name in target.sums]
        return sum(found) if found else None

    def _outcomes(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for target in self._targets.values():
            for name, number in target.outcomes.items():
                found[name] = found.get(name, 0.0) + number
        return found

    def _moment(self, t_s: float) -> _Totals:
        buckets: dict[float, float] = {}
        for target in self._targets.values():
            for bound, number in target.buckets.items():
                buckets[bound] = buckets.get(bound, 0.0) + number
        # not answered by the server, so not part of its throughput
        unanswered = {str(outcome) for outcome in (Outcome.CENSORED, Outcome.WITHHELD, Outcome.GENERATOR_ERROR)}
        answered = sum(number for name, number in self._outcomes().items() if name not in unanswered)
        return _Totals(t_s, self._sum("due") or 0.0, self._sum("delivered") or 0.0, answered, buckets)


_KEY_OF_METRIC = {
    "harness_pages_due_total": "due",
    "harness_pages_delivered_total": "delivered",
    "harness_stations_completed_total": "stations",
    "harness_attempts_in_flight": "in_flight",
    "mock_server_queue_depth": "queue_depth",
    "mock_server_workers_busy": "workers_busy",
}


def _parse(text: str) -> _TargetStats:
    target = _TargetStats()
    lines = "\n".join([*_SHOWN_SAMPLES.findall(text), ""])
    for family in text_string_to_metric_families(lines):
        for sample in family.samples:
            if sample.name in _KEY_OF_METRIC:
                target.sums[_KEY_OF_METRIC[sample.name]] = sample.value
            elif sample.name == "harness_attempts_total":
                target.outcomes[sample.labels["outcome"]] = sample.value
            elif sample.name == "harness_accepted_seconds_bucket":
                target.buckets[float(sample.labels["le"])] = sample.value
    return target


def bucket_percentile(cumulative: dict[float, float], quantile: float, limit_s: float) -> BucketPercentile | None:
    """The bucket that a percentile lies in, from cumulative counts; None without a count.

    Its estimate is interpolated linearly within the bucket, as Prometheus does. No attempt takes longer than the client's
    timeout `limit_s`, so neither does a bucket reach beyond it.

    >>> bucket_percentile({1.0: 5.0, 2.0: 10.0, float("inf"): 10.0}, 0.75, 10.0)
    BucketPercentile(low_s=1.0, high_s=2.0, estimate_s=1.5)
    >>> bucket_percentile({3.0: 0.0, 5.0: 10.0, float("inf"): 10.0}, 0.5, 3.0)
    BucketPercentile(low_s=3.0, high_s=3.0, estimate_s=3.0)
    """
    bounds = sorted(cumulative)
    total = cumulative[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    rank, below, low_s = quantile * total, 0.0, 0.0
    for bound in bounds:
        if cumulative[bound] >= rank > below:
            low_s, high_s = min(low_s, limit_s), min(bound, limit_s)
            inside_ratio = (rank - below) / (cumulative[bound] - below)
            return BucketPercentile(
                low_s, high_s, low_s + (high_s - low_s) * inside_ratio if high_s < math.inf else low_s
            )
        below, low_s = cumulative[bound], bound
    return None
