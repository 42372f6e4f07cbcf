"""The series that a run scrapes and a threshold can name: what kind each is, and its labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class Series:
    """A family of series. Beside these labels each has a `target`: "server", "worker-0" and so on."""

    kind: Kind
    labels: tuple[str, ...] = ()


_REQUEST = ("http_request_method", "http_route", "http_response_status_code")
KNOWN: dict[str, Series] = {
    "harness_attempts_total": Series("counter", ("outcome",)),
    "harness_pages_due_total": Series("counter"),
    "harness_pages_delivered_total": Series("counter"),
    "harness_stations_completed_total": Series("counter"),
    "harness_sent_bytes_total": Series("counter"),
    "harness_retries_total": Series("counter", ("reason",)),
    "harness_attempts_in_flight": Series("gauge"),
    "harness_response_seconds": Series("histogram"),
    "harness_service_seconds": Series("histogram"),
    "harness_lateness_seconds": Series("histogram"),
    "harness_loop_lag_seconds": Series("gauge"),
    "harness_run_info": Series("gauge", ("run", "scenario", "worker")),
    "http_server_request_duration_seconds": Series("histogram", _REQUEST),
    "http_server_active_requests": Series("gauge"),
    "mock_server_queue_depth": Series("gauge"),
    "mock_server_workers_busy": Series("gauge"),
    "mock_server_service_seconds": Series("histogram"),
    "mock_server_shed_total": Series("counter", ("reason",)),
    "mock_server_wasted_work_total": Series("counter"),
    "mock_server_dropped_total": Series("counter"),
    "mock_server_pages_stored_total": Series("counter"),
    "mock_server_stored_bytes_total": Series("counter"),
    "mock_server_faults_injected_total": Series("counter", ("fault",)),
    "mock_server_fault_active": Series("gauge", ("fault",)),
    "mock_server_loop_lag_seconds": Series("gauge"),
    "mock_server_loop_lag_p99_seconds": Series("gauge"),
    "process_cpu_seconds_total": Series("counter"),
    "process_resident_memory_bytes": Series("gauge"),
    "process_virtual_memory_bytes": Series("gauge"),
    "process_start_time_seconds": Series("gauge"),
    "process_open_fds": Series("gauge"),
    "process_max_fds": Series("gauge"),
}
"""By name. A test holds it against what both exporters really publish."""


def series(name: str) -> Series | None:
    """The series of that name: of the list, or the counters that a histogram consists of; None if there is none."""
    if name in KNOWN:
        return KNOWN[name]
    for suffix, more in (("_bucket", ("le",)), ("_count", ()), ("_sum", ())):
        whole = KNOWN.get(name.removesuffix(suffix))
        if name.endswith(suffix) and whole is not None and whole.kind == "histogram":
            return Series("counter", (*whole.labels, *more))
    return None


def names_behind(name: str) -> list[str]:
    """The series to read from the scrapes for a name that a threshold gives."""
    known = KNOWN.get(name)
    return [f"{name}_sum", f"{name}_count"] if known is not None and known.kind == "histogram" else [name]
