"""The series that a run scrapes and a threshold can name: what kind each is, and its labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MetricKind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """A family of series. Beside these labels each has a `target`: "server", "worker-0" and so on."""

    kind: MetricKind
    labels: tuple[str, ...] = ()


_REQUEST = ("http_request_method", "http_route", "http_response_status_code")
KNOWN_METRICS: dict[str, MetricFamily] = {
    "harness_attempts_total": MetricFamily("counter", ("outcome",)),
    "harness_pages_due_total": MetricFamily("counter"),
    "harness_pages_delivered_total": MetricFamily("counter"),
    "harness_stations_completed_total": MetricFamily("counter"),
    "harness_sent_bytes_total": MetricFamily("counter"),
    "harness_retries_total": MetricFamily("counter", ("reason",)),
    "harness_attempts_in_flight": MetricFamily("gauge"),
    "harness_response_seconds": MetricFamily("histogram"),
    "harness_service_seconds": MetricFamily("histogram"),
    "harness_lateness_seconds": MetricFamily("histogram"),
    "harness_loop_lag_seconds": MetricFamily("gauge"),
    "harness_run_info": MetricFamily("gauge", ("run", "scenario", "worker")),
    "http_server_request_duration_seconds": MetricFamily("histogram", _REQUEST),
    "http_server_active_requests": MetricFamily("gauge"),
    "mock_server_queue_depth": MetricFamily("gauge"),
    "mock_server_workers_busy": MetricFamily("gauge"),
    "mock_server_service_seconds": MetricFamily("histogram"),
    "mock_server_shed_total": MetricFamily("counter", ("reason",)),
    "mock_server_wasted_work_total": MetricFamily("counter"),
    "mock_server_dropped_total": MetricFamily("counter"),
    "mock_server_pages_stored_total": MetricFamily("counter"),
    "mock_server_stored_bytes_total": MetricFamily("counter"),
    "mock_server_faults_injected_total": MetricFamily("counter", ("fault",)),
    "mock_server_fault_active": MetricFamily("gauge", ("fault",)),
    "mock_server_loop_lag_seconds": MetricFamily("gauge"),
    "mock_server_loop_lag_p99_seconds": MetricFamily("gauge"),
    "process_cpu_seconds_total": MetricFamily("counter"),
    "process_resident_memory_bytes": MetricFamily("gauge"),
    "process_virtual_memory_bytes": MetricFamily("gauge"),
    "process_start_time_seconds": MetricFamily("gauge"),
    "process_open_fds": MetricFamily("gauge"),
    "process_max_fds": MetricFamily("gauge"),
}
"""By name. A test holds it against what both exporters really publish."""


def find_metric(name: str) -> MetricFamily | None:
    """The series of that name: of the list, or the counters that a histogram consists of; None if there is none."""
    if name in KNOWN_METRICS:
        return KNOWN_METRICS[name]
    for suffix, more in (("_bucket", ("le",)), ("_count", ()), ("_sum", ())):
        whole = KNOWN_METRICS.get(name.removesuffix(suffix))
        if name.endswith(suffix) and whole is not None and whole.kind == "histogram":
            return MetricFamily("counter", (*whole.labels, *more))
    return None


def scraped_names(name: str) -> list[str]:
    """The series to read from the scrapes for a name that a threshold gives."""
    known = KNOWN_METRICS.get(name)
    return [f"{name}_sum", f"{name}_count"] if known is not None and known.kind == "histogram" else [name]
