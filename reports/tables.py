"""The tables of a run's page: phases, kelurahan, the slowest stations, and processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

from harness.analysis.chart_types import ChartData
from harness.analysis.summary import Summary
from reports import number_format
from reports.charts.failures import failure_counts
from reports.number_format import format_count, format_quantity
from reports.palette import outcome_label

NEVER_S = 1e9
"""Sort key of a station that was never complete: larger than any duration. JSON and HTML have no infinity."""

# Python before 3.13 has older names for four of them; these are RFC 9110's.
_STATUS_NAMES = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content",
}  # fmt: skip


class TableCell(NamedTuple):
    """The text of a cell, and the number it is sorted by if the text does not sort (as "9 s" and "80 ms")."""

    text: str
    key: float | None = None


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table of the page; the first column names the row. With scripts allowed, readers can sort it."""

    anchor: str
    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    note: str = ""
    """What the table leaves out, or how it was measured."""


def phases_table(summary: Summary) -> PageTable:
    """One row per phase, in order of time."""
    rows = [
        [
            TableCell(phase.name),
            TableCell(
                f"{number_format.format_duration(phase.start_s)} to {number_format.format_duration(phase.end_s)}",
                phase.start_s,
            ),
            count_cell(phase.attempts),
            count_cell(sum(failure_counts(phase.by_outcome).values())),
            TableCell(format_quantity(phase.offered_per_s, "per_s"), phase.offered_per_s or 0.0),
            TableCell(format_quantity(phase.goodput_per_s, "per_s"), phase.goodput_per_s or 0.0),
            TableCell(
                number_format.format_percentile(phase.response_seconds, "p50"), phase.response_seconds.p50 or 0.0
            ),
            TableCell(
                number_format.format_percentile(phase.response_seconds, "p95"), phase.response_seconds.p95 or 0.0
            ),
        ]
        for phase in summary.phases
    ]
    headers = ["Phase", "From, to", "Attempts", "Failed", "Offered", "Goodput", "Response p50", "p95"]
    return PageTable("phases", "Phases and faults", headers, rows)


def failures_table(summary: Summary) -> PageTable:
    """One row per way in which attempts failed, most frequent first."""
    failures = summary.attempts.failures
    rows = [
        [
            TableCell(outcome_label(failure.outcome)),
            TableCell(format_status(failure.status), failure.status or 0),
            TableCell(failure.reason),
            count_cell(failure.attempts),
        ]
        for failure in failures
    ]
    headers = ["Failure", "Answer", "Why it was malformed", "Attempts"]
    if not any(failure.reason for failure in failures):
        headers.pop(2)
        for row in rows:
            row.pop(2)
    return PageTable("failed", "What failed", headers, rows)


def format_status(status: int | None) -> str:
    """An HTTP status with its name.

    >>> format_status(413), format_status(599), format_status(None)
    ('413 Content Too Large', '599', 'no answer')
    """
    return "no answer" if status is None else f"{status} {_STATUS_NAMES.get(status, '')}".rstrip()


def kelurahan_table(summary: Summary) -> PageTable:
    """One row per kelurahan, the least complete first."""
    rows = []
    for place in summary.kelurahan:
        # a kelurahan can have no station if the scenario takes only a sample
        ratio = place.completed_by_deadline / place.stations if place.stations else 0.0
        share = TableCell(number_format.format_ratio(ratio) if place.stations else number_format.NOT_AVAILABLE, ratio)
        counts = count_cell(place.stations), count_cell(place.completed_by_deadline)
        rows.append([TableCell(number_format.format_place_name(place.name)), TableCell(place.code), *counts, share])
    # the reader looks for the worst place first
    rows.sort(key=lambda row: row[-1].key or 0.0)
    headers = ["Kelurahan", "Code", "Stations", "Complete by the deadline", "Share"]
    return PageTable("kelurahan", "Kelurahan", headers, rows)


def worst_stations_table(chart_data: ChartData, summary: Summary) -> PageTable:
    """The stations that were never complete, then those that took longest."""
    rows = []
    for station in chart_data.worst:
        # an infinite duration is shown as "never" and sorts last
        took_s = float("inf") if station.completed_s is None else station.completed_s - station.due_s
        rows.append(
            [
                TableCell(station.code),
                TableCell(number_format.format_place_name(station.kelurahan)),
                TableCell(number_format.format_duration(station.due_s), station.due_s),
                TableCell(f"{format_count(station.delivered)} of {format_count(station.pages)}", station.delivered),
                count_cell(station.attempts),
                TableCell(format_quantity(took_s, "s"), min(took_s, NEVER_S)),
            ]
        )
    headers = ["Station", "Kelurahan", "Arrived at", "Pages delivered", "Attempts", "Took"]
    shown = sum(station.completed_s is None for station in chart_data.worst)
    # the list is cut, the summary counts all; a run that stopped early may count fewer as due
    missed = max(summary.stations.due - summary.stations.completed, shown)
    if not shown:
        return PageTable("stations", "Slowest stations", headers, rows)
    title = "Undelivered stations" if shown == len(rows) else "Undelivered and slowest stations"
    these = f"{format_count(shown)} of {format_count(missed)}" if missed > shown else f"All {format_count(missed)}"
    note = f"{these} stations that arrived and were never complete"
    note += "." if shown == len(rows) else f", then the {format_count(len(rows) - shown)} that took longest."
    return PageTable("stations", title, headers, rows, note)


def processes_table(chart_data: ChartData, summary: Summary) -> PageTable:
    """One row per process of the run: what it used, and the worst lag of its event loop."""
    rows = [
        [
            TableCell(process.name),
            _optional_cell(process.cpu_mean_ratio, "ratio"),
            _optional_cell(process.cpu_max_ratio, "ratio"),
            _optional_cell(process.cpu_above_90_s, "s"),
            _optional_cell(process.loop_lag_max_s, "s"),
            TableCell(number_format.format_bytes(process.memory_max_bytes), process.memory_max_bytes),
            count_cell(process.descriptors_max),
        ]
        for process in chart_data.processes
    ]
    headers = ["Process", "CPU, mean", "CPU, max", "Above 90 % of a core", "Loop lag", "Memory", "Descriptors"]
    note = (
        "Sampled once a second. CPU is a ratio of one core; memory and descriptors are maxima; child processes are "
        "included. Loop lag is the worst delay of the event loop as its own exporter reports it; for the harness it is "
        "the delay of its own sampling; the master of several workers reports none. For remote workers only the "
        "exporter's figures are known."
    )
    if stale := summary.generator.stale_connections:
        note += (
            f" The server had closed {format_count(stale)} kept connections while they were idle; they were replaced before "
            "anything was sent on them, and count as no failure."
        )
    return PageTable("processes", "Processes of the run", headers, rows, note)


def _optional_cell(value: float | None, unit: str) -> TableCell:
    return TableCell(
        number_format.NOT_AVAILABLE if value is None else format_quantity(value, unit), -1.0 if value is None else value
    )


def count_cell(number: int) -> TableCell:
    """A whole number, sorted by its value."""
    return TableCell(format_count(number), number)
