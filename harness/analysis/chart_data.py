"""Run folder -> the curves that the charts draw."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis import scraped_metrics
from harness.analysis.breakdown import compute_time_breakdown, count_attempts_per_page, find_worst_stations
from harness.analysis.chart_types import (
    ChartData,
    ChartLine,
    CompletionLines,
    FaultWindow,
    GeneratorHealth,
    RateLines,
    ResponseCharts,
    ServerHealth,
)
from harness.analysis.counts import kelurahan_names
from harness.analysis.durations import DurationSamples
from harness.analysis.processes import load_process_health
from harness.analysis.rates import empty_line, rate_line
from harness.analysis.rows import Rows, load_rows
from harness.analysis.run_data import RunData
from harness.analysis.scraped_metrics import RunSeries, read_prometheus_series
from harness.analysis.time_bins import binned_maximum, binned_percentile, response_heatmap
from harness.base.model import ANSWERED, OUTCOMES
from harness.run_folder.layout import RunFolder

if TYPE_CHECKING:
    import numpy.typing as npt

    from harness.analysis.time_series import TargetSeries
    from harness.measure.prometheus_import import ImportRecord

    FloatArray = npt.NDArray[np.float64]

MAX_SLOWEST_STATIONS = 50
"""How many of the slowest evenings are told one by one, after those that missed a page."""
MAX_UNDELIVERED_STATIONS = 1000
"""How many stations that missed a page are told one by one."""


def load_chart_data(folder: RunFolder, evidence: RunData | None = None) -> ChartData:
    """Everything that the charts of a run draw; `evidence` is what was read of it, where that was done already.

    What is missing from the folder gives empty lines and a note. Raises BrokenRunError as `summarise` does.
    """
    seen = evidence or RunData(folder, load_rows(folder))
    drawn = build_chart_data(seen.rows, replace(seen.exporters, remote=read_prometheus_series(folder.prometheus)))
    return replace(
        drawn,
        time_spent=compute_time_breakdown(folder, seen.rows),
        processes=load_process_health(folder.processes, seen.exporters),
    )


def build_chart_data(rows: Rows, scraped: RunSeries) -> ChartData:
    """The same from rows and scrapes that are read already."""
    record = rows.record
    return ChartData(
        rates=_rates(scraped.rated),
        responses=_responses(rows),
        completion=_completion(rows),
        server=_server(scraped.server),
        generator=_generator(rows, scraped.workers),
        windows=[
            FaultWindow(fault.name, fault.start_s, rows.end_s if fault.end_s is None else min(fault.end_s, rows.end_s))
            for fault in record.faults
            if fault.start_s < rows.end_s
        ],
        deadline_s=record.deadline_s,
        end_s=rows.end_s,
        time_scale=record.time_scale,
        tries=count_attempts_per_page(rows),
        worst=find_worst_stations(rows, MAX_UNDELIVERED_STATIONS, MAX_SLOWEST_STATIONS),
        notes=_notes(rows, scraped),
    )


def _rates(workers: list[TargetSeries]) -> RateLines:
    outcomes = [
        rate_line(workers, scraped_metrics.ATTEMPTS, str(outcome), only=("outcome", {str(outcome)}))
        for outcome in OUTCOMES
    ]
    occurred = [line for line in outcomes if np.nansum(line.value) > 0]
    return RateLines(
        offered=rate_line(workers, scraped_metrics.DUE, "offered"),
        goodput=rate_line(workers, scraped_metrics.DELIVERED, "goodput"),
        throughput=rate_line(
            workers, scraped_metrics.ATTEMPTS, "throughput", only=("outcome", {str(outcome) for outcome in ANSWERED})
        ),
        outcomes=sorted(occurred, key=lambda line: -float(np.nansum(line.value))),
    )


def _responses(rows: Rows) -> ResponseCharts:
    samples = DurationSamples(rows)
    attempts = rows.attempts
    due_s = attempts.due_s[samples.finished]
    response_s = attempts.done_s[samples.finished] - due_s
    edges_t_s, edges_response_s, counts = response_heatmap(due_s, response_s, rows.end_s)
    return ResponseCharts(
        percentiles=[
            binned_percentile(due_s, response_s, quantile, label, rows.end_s)
            for label, quantile in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        ],
        edges_t_s=edges_t_s,
        edges_response_s=edges_response_s,
        counts=counts,
    )


def _completion(rows: Rows) -> CompletionLines:
    seconds = np.append(np.arange(np.ceil(rows.end_s)), rows.end_s)
    names = kelurahan_names(rows)
    villages, number = np.unique(np.array([code[:10] for code in rows.stations.code], dtype="U10"), return_inverse=True)

    def share(label: str, moments: FloatArray, planned: int) -> ChartLine:
        return ChartLine(label, seconds, np.searchsorted(np.sort(moments), seconds, side="right") / planned)

    stations = len(rows.stations.code)
    by_village = np.split(rows.completed_s[np.argsort(number, kind="stable")], np.cumsum(np.bincount(number))[:-1])
    return CompletionLines(
        total=share("all", rows.completed_s, stations),
        planned=share("planned", rows.stations.due_s, stations),
        kelurahan=[
            share(names.get(code, code), moments, len(moments))
            for code, moments in zip(villages.tolist(), by_village, strict=True)
        ],
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


def _generator(rows: Rows, workers: list[TargetSeries]) -> GeneratorHealth:
    sent = np.isfinite(rows.attempts.sent_s)
    due_s = rows.attempts.due_s[sent]
    lateness_s = rows.attempts.sent_s[sent] - due_s
    times, in_flight = scraped_metrics.in_flight_total(workers)
    cpu = [(curves.target, scraped_metrics.cpu_ratios(curves, rows.end_s)) for curves in workers]
    memory = [(curves.target, curves.t_s, curves.total(scraped_metrics.MEMORY)) for curves in workers]
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


def _notes(rows: Rows, scraped: RunSeries) -> list[str]:
    notes = []
    if rows.record.ended is None:
        notes.append(f"The run was broken off: nothing is known of it after {rows.end_s:.1f} s.")
    if not len(rows.attempts.page):
        notes.append("There is no attempt in the journal, so there are no responses and no completions.")
    if not any(curves.series for curves in scraped.workers):
        rates = "" if any(curves.series for curves in scraped.rated) else "there are no rates, and "
        notes.append(f"There are no scrapes of the generator, so {rates}its CPU is not known.")
    if scraped.remote is not None:
        notes.append(_prometheus_note(scraped.remote.taken))
    if not scraped.server.series:
        notes.append("There are no scrapes of the server, so its queue and its workers are not known.")
    return notes + [
        f"{curves.failed} of {len(curves.t_s)} scrapes of {curves.target} failed."
        for curves in (*scraped.workers, scraped.server)
        if curves.failed
    ]


def _prometheus_note(taken: ImportRecord) -> str:
    """Where the rates are from."""
    if taken.problem:
        return (
            f"Nothing could be read from {taken.url} ({taken.problem}): throughput and failures are our own scrapes'."
        )
    return (
        f"Throughput and failures are drawn from what {taken.url} scraped: {taken.scrapes:,} scrapes, one every"
        f" {taken.interval_s:.1f} s."
    )
