"""What the server and the generator say of themselves, from their scrapes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.rows import Rows
from harness.analysis.summary import Generator, Server
from harness.analysis.time_series import MAX_GAP_S, TargetSeries, rates_between_scrapes, read_series
from harness.measure.prometheus_import import SERIES, ImportRecord, read_import
from harness.run_folder import scrape_log

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

SERVER_TARGET = "server"
MAX_GAP_INTERVALS = 2.5
"""Scrapes of a Prometheus further apart than this many of its intervals leave a gap in a chart."""
BUSY_RATIO = 0.9
"""A generator above this share of its core can't be trusted to be on time."""
NEVER_BEGUN_GRACE_S = 0.05
"""A station that fell due less than this before the run stopped may be missing."""
JOURNAL_UNFLUSHED_S = 0.5
"""A killed worker's journal lacks up to this much."""

ANSWERED_REQUESTS = "http_server_request_duration_seconds_count"
SHED = "mock_server_shed_total"
WASTED = "mock_server_wasted_work_total"
STORED = "mock_server_pages_stored_total"
INJECTED = "mock_server_faults_injected_total"
QUEUE = "mock_server_queue_depth"
BUSY = "mock_server_workers_busy"
ACTIVE = "http_server_active_requests"
SERVER_LAG = "mock_server_loop_lag_seconds"
SERVER_SERIES = (ANSWERED_REQUESTS, SHED, WASTED, STORED, INJECTED, QUEUE, BUSY, ACTIVE, SERVER_LAG)

ATTEMPTS = "harness_attempts_total"
DUE = "harness_pages_due_total"
DELIVERED = "harness_pages_delivered_total"
COMPLETED = "harness_stations_completed_total"
SENT_BYTES = "harness_sent_bytes_total"
IN_FLIGHT = "harness_attempts_in_flight"
GENERATOR_LAG = "harness_loop_lag_seconds"
CPU = "process_cpu_seconds_total"
MEMORY = "process_resident_memory_bytes"
DESCRIPTORS = "process_open_fds"
GENERATOR_SERIES = (
    ATTEMPTS, DUE, DELIVERED, COMPLETED, SENT_BYTES, IN_FLIGHT, GENERATOR_LAG, CPU, MEMORY, DESCRIPTORS,
)  # fmt: skip

_TOTALS = {
    "attempts": ATTEMPTS, "due": DUE, "delivered": DELIVERED, "stations_completed": COMPLETED, "sent_bytes": SENT_BYTES,
}  # fmt: skip


@dataclass(frozen=True)
class RunSeries:
    """The curves of all targets of a run."""

    server: TargetSeries
    workers: list[TargetSeries]
    remote: PrometheusSeries | None = None
    """What a Prometheus scraped of the workers, where one was asked."""

    @property
    def rated(self) -> list[TargetSeries]:
        """The workers' curves that rates over time are taken from."""
        return self.remote.workers if self.remote is not None and self.remote.workers else self.workers


@dataclass(frozen=True)
class PrometheusSeries:
    """What was taken from a Prometheus server: see harness/measure/prometheus_import.py."""

    taken: ImportRecord
    workers: list[TargetSeries]


def read_prometheus_series(folder: Path) -> PrometheusSeries | None:
    """A Prometheus server's own scrapes of the workers; None where none was asked for them."""
    taken = read_import(folder)
    if taken is None:
        return None
    gap_s = max(MAX_GAP_S, MAX_GAP_INTERVALS * taken.interval_s)
    found = [
        read_series(folder, target, tuple(SERIES))
        for target in sorted(scrape_log.list_targets(folder), key=_target_sort_key)
    ]
    return PrometheusSeries(taken, [] if taken.problem else [replace(curves, longest_gap_s=gap_s) for curves in found])


def read_run_series(folder: Path) -> RunSeries:
    """Curves of the server and of every worker that was scraped."""
    workers = [target for target in scrape_log.list_targets(folder) if target.startswith("worker-")]
    return RunSeries(
        server=read_series(folder, SERVER_TARGET, SERVER_SERIES),
        workers=[read_series(folder, target, GENERATOR_SERIES) for target in sorted(workers, key=_target_sort_key)],
    )


def compute_server_figures(server: TargetSeries) -> Server:
    """The server's figures; None for a series that it does not publish."""
    return Server(
        wasted_work=_count(server, WASTED),
        shed=_count(server, SHED),
        shed_by_reason=server.counted_by(SHED, "reason"),
        answered=_count(server, ANSWERED_REQUESTS),
        stored=_count(server, STORED),
        queue_depth_max=server.greatest(QUEUE),
        workers_busy_max=server.greatest(BUSY),
        faults_injected=server.counted_by(INJECTED, "fault"),
        loop_lag_max_s=server.greatest(SERVER_LAG),
        scrapes=len(server.t_s),
        scrapes_failed=server.failed,
    )


def compute_generator_figures(rows: Rows, workers: list[TargetSeries]) -> Generator:
    """The generator's health, of the worst worker; None for what no worker published."""
    busy = [found for found in (_cpu_load(curves, rows.end_s) for curves in workers) if found is not None]
    in_flight = in_flight_total(workers)[1]
    return Generator(
        workers=len(rows.record.workers),
        workers_lost=sum(worker.lost for worker in rows.record.workers),
        cpu_max_ratio=max((most for most, _, _ in busy), default=None),
        cpu_above_90_ratio=max((above_s / seen_s for _, above_s, seen_s in busy), default=None),
        cpu_above_90_s=max((above_s for _, above_s, _ in busy), default=None),
        loop_lag_max_s=_worst(workers, GENERATOR_LAG),
        memory_max_bytes=_worst(workers, MEMORY),
        descriptors_max=_worst(workers, DESCRIPTORS),
        in_flight_max=float(np.nanmax(in_flight)) if np.isfinite(in_flight).any() else None,
        never_begun=count_never_begun(rows),
        scraped=scraped_totals(workers),
        scrapes=sum(len(curves.t_s) for curves in workers),
        scrapes_failed=sum(curves.failed for curves in workers),
    )


def count_never_begun(rows: Rows) -> int:
    """Stations whose time had come, with a grace for the very end, and of which there is no row."""
    grace_s = NEVER_BEGUN_GRACE_S + (JOURNAL_UNFLUSHED_S if rows.record.ended is None else 0.0)
    due = rows.stations.due_s < rows.stop_s - grace_s
    return int((due & ~rows.begun).sum())


def cpu_ratios(curves: TargetSeries, until_s: float) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Share of one core between scrapes from T0 to `until_s`: starts, ends, shares; None where nothing is known."""
    seconds = curves.total(CPU)
    if seconds is None:
        return None
    starts, ends, share = rates_between_scrapes(curves.t_s, seconds)
    within = (starts >= 0) & (starts < until_s)
    return (starts[within], ends[within], share[within]) if within.any() else None


def in_flight_total(workers: list[TargetSeries]) -> tuple[FloatArray, FloatArray]:
    """Attempts in flight, all workers together, at the scrapes of the first: times and values, shapes (n,)."""
    known = [(curves.t_s, values) for curves in workers if (values := curves.total(IN_FLIGHT)) is not None]
    if not known:
        return np.empty(0), np.empty(0)
    times = known[0][0]
    return times, np.sum([_last_before(times, *curve) for curve in known], axis=0)


def scraped_totals(workers: list[TargetSeries]) -> dict[str, int]:
    """What all workers have counted by their last scrapes; series that none published are left out."""
    totals = {}
    for word, name in _TOTALS.items():
        counts = [count for curves in workers if (count := curves.counted(name)) is not None]
        if counts:
            totals[word] = round(sum(counts))
    return totals


def _cpu_load(curves: TargetSeries, until_s: float) -> tuple[float, float, float] | None:
    """Greatest share of its core, seconds above 90 % of it, and seconds seen, of one worker."""
    cpu = cpu_ratios(curves, until_s)
    if cpu is None:
        return None
    starts, ends, share = cpu
    spans = ends - starts
    return float(share.max()), float(spans[share > BUSY_RATIO].sum()), float(spans.sum())


def _last_before(at_s: FloatArray, times: FloatArray, values: FloatArray) -> FloatArray:
    """The values known last, no longer than a scrape interval and a half ago, at moments; NaN before the first."""
    place = np.searchsorted(times, at_s + 0.75, side="right") - 1
    return np.where(place >= 0, values[np.clip(place, 0, None)], np.nan)


def _worst(workers: list[TargetSeries], name: str) -> float | None:
    found = [value for curves in workers if (value := curves.greatest(name)) is not None]
    return max(found, default=None)


def _count(curves: TargetSeries, name: str) -> int | None:
    found = curves.counted(name)
    return None if found is None else round(found)


def _target_sort_key(target: str) -> tuple[int, str]:
    digits = target.rpartition("-")[2]
    return (int(digits) if digits.isdigit() else 0, target)
