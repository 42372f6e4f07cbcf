"""The tables of a run's page: phases, kelurahan, and the stations that had the worst evening."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.analysis.chart_types import ChartData
from harness.analysis.summary import Summary
from reports import number_format
from reports.charts.failures import failure_counts
from reports.number_format import format_count, format_quantity

NEVER_S = 1e9
"""Sorts behind every time that something took."""


class TableCell(NamedTuple):
    """What a cell shows, and the number to sort it by where its text would not do."""

    text: str
    key: float | None = None


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table of the page: the first column names the row. Readers can sort it where scripts may run."""

    anchor: str
    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    note: str = ""
    """What is left out, if anything."""


def phases_table(summary: Summary) -> PageTable:
    """A row a phase, in the order of time."""
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


def kelurahan_table(summary: Summary) -> PageTable:
    """A row a kelurahan, the one that is least complete first."""
    rows = []
    for place in summary.kelurahan:
        ratio = place.completed_by_deadline / place.stations if place.stations else 0.0
        share = TableCell(number_format.format_ratio(ratio) if place.stations else number_format.NOT_AVAILABLE, ratio)
        counts = count_cell(place.stations), count_cell(place.completed_by_deadline)
        rows.append([TableCell(number_format.format_place_name(place.name)), TableCell(place.code), *counts, share])
    rows.sort(key=lambda row: row[-1].key or 0.0)
    headers = ["Kelurahan", "Code", "Stations", "Complete by the deadline", "Share"]
    return PageTable("kelurahan", "Kelurahan", headers, rows)


def worst_stations_table(series: ChartData, summary: Summary) -> PageTable:
    """The stations that missed pages, then those that took longest."""
    rows = []
    for station in series.worst:
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
    headers = ["Station", "Kelurahan", "Turned up at", "Pages delivered", "Attempts", "Took"]
    shown = sum(station.completed_s is None for station in series.worst)
    missed = max(summary.stations.due - summary.stations.completed, shown)
    if not shown:
        return PageTable("stations", "Slowest stations", headers, rows)
    title = "Undelivered stations" if shown == len(rows) else "Undelivered and slowest stations"
    these = f"{format_count(shown)} of {format_count(missed)}" if missed > shown else f"All {format_count(missed)}"
    note = f"{these} stations that turned up and were never complete"
    note += "." if shown == len(rows) else f", then the {format_count(len(rows) - shown)} that took longest."
    return PageTable("stations", title, headers, rows, note)


def processes_table(series: ChartData) -> PageTable:
    """A row a process of the run: what it used, and how late its event loop was at worst."""
    rows = [
        [
            TableCell(one.name),
            _optional_cell(one.cpu_mean_ratio, "ratio"),
            _optional_cell(one.cpu_max_ratio, "ratio"),
            _optional_cell(one.cpu_above_90_s, "s"),
            _optional_cell(one.loop_lag_max_s, "s"),
            TableCell(number_format.format_bytes(one.memory_max_bytes), one.memory_max_bytes),
            count_cell(one.descriptors_max),
        ]
        for one in series.processes
    ]
    headers = ["Process", "CPU, mean", "CPU, at most", "Above 90 % of a core", "Loop lag", "Memory", "Descriptors"]
    note = (
        "Looked at once a second. CPU is a share of one core, memory and descriptors are the most that were seen; a "
        "process that others run under counts with them. The lag of an event loop is how late it was at worst, by its "
        "own exporter; the harness's is how late its own look was; a master of several workers tells none. A "
        "worker on another machine is told of by its exporter alone."
    )
    return PageTable("processes", "Processes of the run", headers, rows, note)


def _optional_cell(value: float | None, unit: str) -> TableCell:
    return TableCell(
        number_format.NOT_AVAILABLE if value is None else format_quantity(value, unit), -1.0 if value is None else value
    )


def count_cell(number: int) -> TableCell:
    """A whole number."""
    return TableCell(format_count(number), number)
