"""What server and generator report of themselves, from their scrapes, and what each process of the run used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.chart_types import ProcessHealth
from harness.analysis.cpu_quota import cores_per_worker
from harness.analysis.rows import Rows
from harness.analysis.summary import Generator, Server
from harness.analysis.time_series import MAX_GAP_S, TargetSeries, rates_between_scrapes, read_series
from harness.measure import process_monitor
from harness.measure.process_monitor import ProcessSample
from harness.measure.prometheus_import import SERIES, ImportRecord, read_import
from harness.run_folder import scrape_log

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

SERVER_TARGET = "server"
MAX_GAP_INTERVALS = 2.5
"""Scrapes of a Prometheus server further apart than this many of its intervals leave a gap in a chart."""
BUSY_RATIO = 0.9
"""A generator above this share of its core cannot be trusted to be on time."""
NEVER_BEGUN_GRACE_S = 0.05
"""A station that was due less than this before the run stopped need not have a row."""
JOURNAL_UNFLUSHED_S = 0.5
"""A killed worker's journal may lack this much."""

ANSWERED_REQUESTS = "http_server_request_duration_seconds_count"
SHED = "mock_server_shed_total"
WASTED = "mock_server_wasted_work_total"
STORED = "mock_server_pages_stored_total"
INJECTED = "mock_server_faults_injected_total"
QUEUE = "mock_server_queue_depth"
BUSY = "mock_server_workers_busy"
ACTIVE = "http_server_active_requests"
SERVER_LAG = "mock_server_loop_lag_seconds"
INGRESS_IN_USE = "mock_server_ingress_utilisation_ratio"
EGRESS_IN_USE = "mock_server_egress_utilisation_ratio"
SERVER_SERIES = (
    ANSWERED_REQUESTS, SHED, WASTED, STORED, INJECTED, QUEUE, BUSY, ACTIVE, SERVER_LAG, INGRESS_IN_USE, EGRESS_IN_USE,
)  # fmt: skip

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
_MIN_CPU_SPAN_S = 0.5
"""CPU over a shorter time is mostly the kernel's rounding (a clock tick is 10 ms)."""
_LAG_FROM_S = 1.0
"""A loop lag gauge covers the second before its scrape; what came before T0 (planning) is not part of the run."""
_REMOTE_PID = 0
"""Stands for the process id on another machine."""


@dataclass(frozen=True)
class RunSeries:
    """The series of all targets of a run."""

    server: TargetSeries
    workers: list[TargetSeries]
    prometheus: PrometheusSeries | None = None
    """What a Prometheus server scraped of the workers, if the run asked one."""

    @property
    def rate_workers(self) -> list[TargetSeries]:
        """The workers' series that rates over time are drawn from: those of a Prometheus server if there are any."""
        return self.prometheus.workers if self.prometheus is not None and self.prometheus.workers else self.workers


@dataclass(frozen=True)
class PrometheusSeries:
    """What was imported from a Prometheus server: see harness/measure/prometheus_import.py."""

    record: ImportRecord
    workers: list[TargetSeries]


def read_prometheus_series(folder: Path) -> PrometheusSeries | None:
    """A Prometheus server's own scrapes of the workers; None if the run asked none."""
    record = read_import(folder)
    if record is None:
        return None
    gap_s = max(MAX_GAP_S, MAX_GAP_INTERVALS * record.interval_s)
    targets = sorted(scrape_log.list_targets(folder), key=_target_sort_key)
    found = [read_series(folder, target, tuple(SERIES)) for target in targets]
    return PrometheusSeries(record, [] if record.problem else [replace(series, max_gap_s=gap_s) for series in found])


def read_run_series(folder: Path) -> RunSeries:
    """The series of the server and of every worker that was scraped."""
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
        shed_by_reason=server.final_count_by(SHED, "reason"),
        answered=_count(server, ANSWERED_REQUESTS),
        stored=_count(server, STORED),
        queue_depth_max=server.maximum(QUEUE),
        workers_busy_max=server.maximum(BUSY),
        faults_injected=server.final_count_by(INJECTED, "fault"),
        loop_lag_max_s=server.maximum(SERVER_LAG),
        scrapes=len(server.t_s),
        scrapes_failed=server.failed,
        ingress_utilisation_max_ratio=server.maximum(INGRESS_IN_USE),
        egress_utilisation_max_ratio=server.maximum(EGRESS_IN_USE),
    )


def compute_generator_figures(
    rows: Rows, workers: list[TargetSeries], quota_above_90_ratio: float | None = None
) -> Generator:
    """The generator's health, of the worst worker; None for what no worker published."""
    core = cores_per_worker(rows.record)
    loads = [found for found in (_cpu_load(series, rows.end_s, core) for series in workers) if found is not None]
    in_flight = in_flight_total(workers)[1]
    return Generator(
        workers=len(rows.record.workers),
        workers_lost=sum(worker.lost for worker in rows.record.workers),
        cpu_max_ratio=max((greatest for greatest, _, _ in loads), default=None),
        cpu_above_90_ratio=max((busy_s / covered_s for _, busy_s, covered_s in loads), default=None),
        cpu_above_90_s=max((busy_s for _, busy_s, _ in loads), default=None),
        quota_above_90_ratio=quota_above_90_ratio,
        loop_lag_max_s=_max_over_workers(workers, GENERATOR_LAG),
        memory_max_bytes=_max_over_workers(workers, MEMORY),
        descriptors_max=_max_over_workers(workers, DESCRIPTORS),
        in_flight_max=float(np.nanmax(in_flight)) if np.isfinite(in_flight).any() else None,
        never_begun=count_never_begun(rows),
        stale_connections=sum(worker.stale_connections for worker in rows.record.workers),
        scraped=scraped_totals(workers),
        scrapes=sum(len(series.t_s) for series in workers),
        scrapes_failed=sum(series.failed for series in workers),
    )


def count_never_begun(rows: Rows) -> int:
    """Number of stations that were due, with some grace at the very end of the run, and have no row."""
    grace_s = NEVER_BEGUN_GRACE_S + (JOURNAL_UNFLUSHED_S if rows.record.ended is None else 0.0)
    due = rows.stations.due_s < rows.stop_s - grace_s
    return int((due & ~rows.begun).sum())


def cpu_ratios(series: TargetSeries, until_s: float) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Share of one core between scrapes from T0 to `until_s`: starts, ends, shares; None if nothing is known."""
    seconds = series.total(CPU)
    if seconds is None:
        return None
    starts, ends, share = rates_between_scrapes(series.t_s, seconds)
    within = (starts >= 0) & (starts < until_s)
    return (starts[within], ends[within], share[within]) if within.any() else None


def in_flight_total(workers: list[TargetSeries]) -> tuple[FloatArray, FloatArray]:
    """Attempts in flight of all workers at the scrapes of the first: times and values, shapes (n,)."""
    known = [(series.t_s, values) for series in workers if (values := series.total(IN_FLIGHT)) is not None]
    if not known:
        return np.empty(0), np.empty(0)
    times = known[0][0]
    return times, np.sum([_latest_values(times, *line) for line in known], axis=0)


def scraped_totals(workers: list[TargetSeries]) -> dict[str, int]:
    """What all workers had counted by their last scrapes; series that none published are left out."""
    totals = {}
    for key, name in _TOTALS.items():
        counts = [count for series in workers if (count := series.final_count(name)) is not None]
        if counts:
            totals[key] = round(sum(counts))
    return totals


def _cpu_load(series: TargetSeries, until_s: float, core: float) -> tuple[float, float, float] | None:
    """Of one worker: greatest share of a core, seconds above 90 % of the `core` that it has, and seconds covered by scrapes."""
    cpu = cpu_ratios(series, until_s)
    if cpu is None:
        return None
    starts, ends, share = cpu
    spans = ends - starts
    return float(share.max()), float(spans[share > BUSY_RATIO * core].sum()), float(spans.sum())


def _latest_values(at_s: FloatArray, times: FloatArray, values: FloatArray) -> FloatArray:
    """The latest known values at the given times; NaN before the first scrape.

    Workers are scraped one after another, so a scrape up to 0.75 s later counts as simultaneous.
    """
    index = np.searchsorted(times, at_s + 0.75, side="right") - 1
    return np.where(index >= 0, values[np.clip(index, 0, None)], np.nan)


def _max_over_workers(workers: list[TargetSeries], name: str) -> float | None:
    found = [value for series in workers if (value := series.maximum(name)) is not None]
    return max(found, default=None)


def _count(series: TargetSeries, name: str) -> int | None:
    found = series.final_count(name)
    return None if found is None else round(found)


def _target_sort_key(target: str) -> tuple[int, str]:
    digits = target.rpartition("-")[2]
    return (int(digits) if digits.isdigit() else 0, target)


def load_process_health(path: Path, run_series: RunSeries) -> list[ProcessHealth]:
    """What each process used: those of the leader's machine in the order in which they appeared, then remote workers.

    `path` holds the samples of harness/measure/process_monitor.py. A process on another machine cannot be sampled from here:
    for a remote worker its exporter's own metrics stand in, once per second too.
    """
    samples = sorted(process_monitor.read_samples(path), key=lambda sample: sample.process)
    if not samples:
        return []
    by_name = {name: list(group) for name, group in groupby(samples, key=lambda sample: sample.process)}
    lags = {_process_name(series): series.maximum(GENERATOR_LAG, _LAG_FROM_S) for series in run_series.workers}
    lags[SERVER_TARGET] = run_series.server.maximum(SERVER_LAG, _LAG_FROM_S)
    for series in run_series.workers:
        name = _process_name(series)
        if name not in by_name and (exported := _exporter_samples(name, series)):
            by_name[name] = exported
    names = sorted(by_name, key=lambda name: (by_name[name][0].pid == _REMOTE_PID, by_name[name][0].t_s))
    return [_health(name, by_name[name], lags.get(name)) for name in names]


def _process_name(series: TargetSeries) -> str:
    return series.target.replace("-", " ")


def _exporter_samples(name: str, series: TargetSeries) -> list[ProcessSample]:
    """What an exporter published of its own process, as samples; empty if one of the series is missing."""
    columns = [series.total(metric) for metric in (CPU, MEMORY, DESCRIPTORS)]
    known = [column for column in columns if column is not None]
    if len(known) < len(columns):
        return []
    rows = np.column_stack([series.t_s, *known])
    return [
        ProcessSample(float(t_s), name, _REMOTE_PID, float(cpu_s), int(memory), int(descriptors), None)
        for t_s, cpu_s, memory, descriptors in rows[~np.isnan(rows).any(axis=1)]
    ]


def _health(name: str, samples: list[ProcessSample], exported_lag_s: float | None) -> ProcessHealth:
    t_s = np.array([sample.t_s for sample in samples])
    cpu_s = np.array([sample.cpu_s for sample in samples])
    sampled_lags = [sample.lag_s for sample in samples if sample.lag_s is not None]
    kept = [0]
    for number in range(1, len(t_s)):
        if t_s[number] - t_s[kept[-1]] >= _MIN_CPU_SPAN_S:
            kept.append(number)
    spans = np.diff(t_s[kept])
    shares = np.diff(cpu_s[kept]) / spans
    return ProcessHealth(
        name=name,
        cpu_mean_ratio=float((shares * spans).sum() / spans.sum()) if len(spans) else None,
        cpu_max_ratio=float(shares.max()) if len(shares) else None,
        cpu_above_90_s=float(spans[shares > BUSY_RATIO].sum()) if len(shares) else None,
        # The leader measures its own lag; the loops of the other processes are known from their exporters.
        loop_lag_max_s=exported_lag_s if exported_lag_s is not None else max(sampled_lags, default=None),
        memory_max_bytes=max(sample.resident_bytes for sample in samples),
        descriptors_max=max(sample.descriptors for sample in samples),
        samples=len(samples),
    )
