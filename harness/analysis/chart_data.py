"""Run folder -> the data that the charts draw."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis import scraped_metrics
from harness.analysis.chart_lines import (
    binned_maximum,
    binned_percentile,
    compute_time_breakdown,
    count_attempts_per_page,
    empty_line,
    find_worst_stations,
    rate_line,
    response_heatmap,
)
from harness.analysis.chart_types import (
    ChartData,
    ChartLine,
    CompletionLines,
    FaultWindow,
    GeneratorHealth,
    PhaseDelivery,
    RateLines,
    ResponseCharts,
    ServerHealth,
    ServerLimits,
)
from harness.analysis.durations import DurationSamples, compute_distribution
from harness.analysis.page_status import PageStatuses, load_page_statuses
from harness.analysis.rows import Rows, load_rows
from harness.analysis.run_data import RunData
from harness.analysis.scraped_metrics import RunSeries, load_process_health, read_prometheus_series
from harness.analysis.shortfalls import compute_backlog
from harness.analysis.traces import find_traced
from harness.analysis.unacknowledged import find_unacknowledged
from harness.base.model import ANSWERED, FAILURES, OUTCOMES, Outcome
from harness.run_folder.layout import RunFolder

if TYPE_CHECKING:
    import numpy.typing as npt

    from harness.analysis.time_series import TargetSeries
    from harness.measure.prometheus_import import ImportRecord
    from harness.run_folder.layout import RunRecord

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]

MAX_SLOWEST_STATIONS = 50
"""How many of the slowest stations are listed, after those that missed a page."""
MAX_COMPLETION_MOMENTS = 3_600
"""At how many moments each kelurahan's completion is computed, at most: every second of an hour. A nation has 846 kelurahan."""
MAX_UNDELIVERED_STATIONS = 300
"""How many stations that missed a page are listed; not-acknowledged.csv has the pages of all."""


def load_chart_data(
    folder: RunFolder, run_data: RunData | None = None, statuses: PageStatuses | None = None
) -> ChartData:
    """Everything that the charts of a run draw; pass `run_data` and `statuses` if the run has been read already.

    Whatever is missing from the folder gives empty lines and a note. Raises RunFolderError as `summarise` does.
    """
    data = run_data or RunData(folder, load_rows(folder))
    run_series = replace(data.run_series, prometheus=read_prometheus_series(folder.prometheus))
    return replace(
        build_chart_data(data.rows, run_series),
        time_spent=compute_time_breakdown(folder, data.rows),
        unacknowledged=find_unacknowledged(folder, data.rows, statuses or load_page_statuses(folder, data.rows)),
        traced=find_traced(folder, data.rows.record),
        processes=load_process_health(folder.processes, data.run_series),
    )


def build_chart_data(rows: Rows, run_series: RunSeries) -> ChartData:
    """The same from rows and scrapes in memory; without what needs the folder, as `time_spent` and `processes` do."""
    record = rows.record
    return ChartData(
        rates=_rates(run_series.rate_workers, record.deadline_s),
        responses=_responses(rows),
        completion=_completion(rows),
        server=_server(run_series.server),
        generator=_generator(rows, run_series.workers),
        windows=[
            FaultWindow(fault.name, fault.start_s, rows.end_s if fault.end_s is None else min(fault.end_s, rows.end_s))
            for fault in record.faults
            if fault.start_s < rows.end_s
        ],
        deadline_s=record.deadline_s,
        end_s=rows.end_s,
        time_scale=record.time_scale,
        tries=count_attempts_per_page(rows),
        backlog=compute_backlog(rows),
        server_limits=_server_limits(record),
        delivery_by_phase=_delivery_by_phase(rows),
        worst=find_worst_stations(rows, MAX_UNDELIVERED_STATIONS, MAX_SLOWEST_STATIONS),
        notes=_notes(rows, run_series),
    )


def _rates(workers: list[TargetSeries], deadline_s: float) -> RateLines:
    outcomes = [
        rate_line(workers, scraped_metrics.ATTEMPTS, str(outcome), only=("outcome", {str(outcome)}))
        for outcome in OUTCOMES
    ]
    occurred = [line for line in outcomes if np.nansum(line.value) > 0]
    return RateLines(
        offered=rate_line(workers, scraped_metrics.DUE, "offered"),
        goodput=_until(rate_line(workers, scraped_metrics.DELIVERED, "goodput"), deadline_s),
        throughput=rate_line(
            workers, scraped_metrics.ATTEMPTS, "throughput", only=("outcome", {str(outcome) for outcome in ANSWERED})
        ),
        outcomes=sorted(occurred, key=lambda line: -float(np.nansum(line.value))),
    )


def _until(line: ChartLine, deadline_s: float) -> ChartLine:
    """The line up to the deadline: what is delivered later does not count as goodput."""
    kept = line.t_s <= deadline_s
    return ChartLine(line.label, line.t_s[kept], line.value[kept])


def _responses(rows: Rows) -> ResponseCharts:
    samples = DurationSamples(rows)
    attempts = rows.attempts

    def responses_of(chosen: BoolArray) -> tuple[FloatArray, FloatArray]:
        due_s = attempts.due_s[chosen]
        return due_s, attempts.done_s[chosen] - due_s

    has_end = samples.after_warm_up & np.isfinite(attempts.done_s)
    accepted = responses_of(has_end & attempts.ended_as({Outcome.ACCEPTED}))
    failed = responses_of(has_end & attempts.ended_as(FAILURES))
    edges_t_s, edges_response_s, counts = response_heatmap(*responses_of(samples.finished), rows.end_s)
    return ResponseCharts(
        percentiles=[
            binned_percentile(*accepted, quantile, label, rows.end_s)
            for label, quantile in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        ],
        failed=binned_percentile(*failed, 0.5, "failed", rows.end_s),
        edges_t_s=edges_t_s,
        edges_response_s=edges_response_s,
        counts=counts,
    )


def _completion(rows: Rows) -> CompletionLines:
    step_s = max(1.0, float(np.ceil(rows.end_s / MAX_COMPLETION_MOMENTS)))
    seconds = np.append(np.arange(0.0, np.ceil(rows.end_s), step_s), rows.end_s)
    if rows.record.deadline_s < rows.end_s:  # labels say what was complete by then
        seconds = np.union1d(seconds, [rows.record.deadline_s])
    label = rows.places.group_label
    codes, number = rows.places.numbered(label)

    def share(label: str, moments: FloatArray, planned: int) -> ChartLine:
        return ChartLine(label, seconds, np.searchsorted(np.sort(moments), seconds, side="right") / planned)

    stations = len(rows.stations.code)
    by_kelurahan = np.split(rows.completed_s[np.argsort(number, kind="stable")], np.cumsum(np.bincount(number))[:-1])
    return CompletionLines(
        total=share("all", rows.completed_s, stations),
        planned=share("planned", rows.stations.due_s, stations),
        kelurahan=[
            share(rows.places.name(code), moments, len(moments))
            for code, moments in zip(codes, by_kelurahan, strict=True)
            if label
        ],
        group=label,
    )


def _server(server: TargetSeries) -> ServerHealth:
    def gauge(name: str, label: str) -> ChartLine:
        values = server.total(name)
        return empty_line(label) if values is None else ChartLine(label, server.t_s, values)

    return ServerHealth(
        queue_depth=gauge(scraped_metrics.QUEUE, "queue"),
        workers_busy=gauge(scraped_metrics.BUSY, "busy workers"),
        active_requests=gauge(scraped_metrics.ACTIVE, "active requests"),
        shed=rate_line([server], scraped_metrics.SHED, "refusals"),
        wasted=rate_line([server], scraped_metrics.WASTED, "wasted work"),
    )


def _server_limits(record: RunRecord) -> ServerLimits:
    server = record.scenario.get("server")
    # the table configures the mock server; an external server's limits are not known
    if not record.own_server or not isinstance(server, dict):
        return ServerLimits()
    workers, queue = server.get("workers"), server.get("queue_capacity")
    bounded = server.get("shed") != "none"
    return ServerLimits(
        workers if isinstance(workers, int) else None, queue if isinstance(queue, int) and bounded else None
    )


def _delivery_by_phase(rows: Rows) -> list[PhaseDelivery]:
    phases = rows.record.phases
    names = list(dict.fromkeys(phase.name for phase in phases))
    if len(names) < 2:
        return []
    due_s, took_s, _ = DurationSamples(rows).waits("delivery_seconds")
    starts = np.array([phase.start_s for phase in phases])
    number = np.array([names.index(phase.name) for phase in phases])
    of_page = number[np.clip(np.searchsorted(starts, due_s, side="right") - 1, 0, None)]
    return [
        PhaseDelivery(name, compute_distribution(np.sort(took_s[of_page == place]))) for place, name in enumerate(names)
    ]


def _generator(rows: Rows, workers: list[TargetSeries]) -> GeneratorHealth:
    sent = np.isfinite(rows.attempts.sent_s)
    due_s = rows.attempts.due_s[sent]
    lateness_s = rows.attempts.sent_s[sent] - due_s
    times, in_flight = scraped_metrics.in_flight_total(workers)
    cpu = [(series.target, scraped_metrics.cpu_ratios(series, rows.end_s)) for series in workers]
    memory = [(series.target, series.t_s, series.total(scraped_metrics.MEMORY)) for series in workers]
    return GeneratorHealth(
        lateness=[
            binned_percentile(due_s, lateness_s, 0.5, "p50", rows.end_s),
            binned_percentile(due_s, lateness_s, 0.99, "p99", rows.end_s),
            binned_maximum(due_s, lateness_s, "max", rows.end_s),
        ],
        cpu=[ChartLine(target, (known[0] + known[1]) / 2, known[2]) for target, known in cpu if known is not None],
        memory=[ChartLine(target, times, values) for target, times, values in memory if values is not None],
        in_flight=ChartLine("in flight", times, in_flight),
    )


def _notes(rows: Rows, run_series: RunSeries) -> list[str]:
    notes = []
    if rows.record.ended is None:
        notes.append(f"The run was broken off: nothing is known after {rows.end_s:.1f} s.")
    if not len(rows.attempts.page):
        notes.append("The journal contains no attempts, so there are no responses and no completions.")
    if not any(series.columns for series in run_series.workers):
        has_rates = any(series.columns for series in run_series.rate_workers)
        unknown = "its CPU is not known" if has_rates else "answers and failures per second, and its CPU, are not known"
        notes.append(f"There are no scrapes of the generator, so {unknown}.")
    if run_series.prometheus is not None:
        notes.append(_prometheus_note(run_series.prometheus.record))
    if not run_series.server.columns:
        notes.append("There are no scrapes of the server, so its queue and its workers are not known.")
    return notes + [
        f"{series.failed} of {len(series.t_s)} scrapes of {series.target} failed."
        for series in (*run_series.workers, run_series.server)
        if series.failed
    ]


def _prometheus_note(record: ImportRecord) -> str:
    """Where the rates come from."""
    if record.problem:
        return (
            f"Nothing could be read from {record.url} ({record.problem}): throughput and failures are drawn from the "
            "harness's own scrapes."
        )
    return (
        f"Throughput and failures are drawn from the scrapes of {record.url}: {record.scrapes:,} scrapes, one every"
        f" {record.interval_s:.1f} s."
    )
