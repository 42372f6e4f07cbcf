"""The tables of a run's page: phases, kelurahan, the recapitulation, the slowest stations, and processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.analysis.chart_types import ChartData
from harness.analysis.summary import Distribution, Summary
from reports import number_format
from reports.charts.failures import failure_counts
from reports.charts.recapitulation import MIN_LATE_S
from reports.number_format import format_count, format_quantity

NEVER_S = 1e9
"""Sort key of a station that was never complete: larger than any duration. JSON and HTML have no infinity."""


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
    """One row per phase, in order of time; accepted uploads by themselves, refused and failed ones beside them."""
    rows = [
        [
            TableCell(phase.name),
            TableCell(
                f"{number_format.format_duration(phase.start_s)} to {number_format.format_duration(phase.end_s)}",
                phase.start_s,
            ),
            TableCell(format_quantity(phase.offered_per_s, "per_s"), phase.offered_per_s or 0.0),
            TableCell(format_quantity(phase.goodput_per_s, "per_s"), phase.goodput_per_s or 0.0),
            count_cell(phase.attempts),
            count_cell(phase.accepted_seconds.count),
            percentile_cell(phase.accepted_seconds, "p50"),
            percentile_cell(phase.accepted_seconds, "p95"),
            count_cell(sum(failure_counts(phase.by_outcome).values())),
            percentile_cell(phase.failed_seconds, "p50"),
        ]
        for phase in summary.phases
    ]
    headers = ["Phase", "From, to", "Due", "Goodput", "Attempts", "Accepted", "p50", "p95", "Failed", "Failed, p50"]
    note = (
        "Rates are pages per second, up to the deadline. p50 and p95 are response times of accepted uploads; refusals are "
        "quick, and mixed in they would make an overloaded server look fast."
    )
    return PageTable("phases", "Phases and faults", headers, rows, note)


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


def recapitulation_table(summary: Summary) -> PageTable:
    """One row per kelurahan: when it could begin, began and ended, the latest first; no rows without a recapitulation."""
    figures = summary.recapitulation
    rows = []
    for place in sorted(figures.kelurahan, key=lambda place: -place.late_s) if figures else []:
        moments = [
            TableCell(number_format.format_day_time(moment_s + (figures.t0_s if figures else 0.0)), moment_s)
            for moment_s in (place.could_begin_s, place.began_s, place.ended_s)
        ]
        late = number_format.format_duration(place.late_s) if place.late_s >= MIN_LATE_S else "not late"
        rows.append(
            [
                TableCell(number_format.format_place_name(place.name)),
                TableCell(place.code),
                count_cell(place.stations),
                count_cell(place.by_hand),
                *moments,
                TableCell(late, place.late_s),
            ]
        )
    headers = ["Kelurahan", "Code", "Stations", "By hand", "Could begin", "Began", "Ended", "Late by"]
    note = (
        "In election time; day 0 is the day of the start. Late: against a recapitulation for which every upload had been "
        "there from the beginning. By hand: never completely uploaded, and entered at the recapitulation."
    )
    return PageTable("late", "Late for the recapitulation", headers, rows, note)


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


def processes_table(chart_data: ChartData) -> PageTable:
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
    return PageTable("processes", "Processes of the run", headers, rows, note)


def _optional_cell(value: float | None, unit: str) -> TableCell:
    return TableCell(
        number_format.NOT_AVAILABLE if value is None else format_quantity(value, unit), -1.0 if value is None else value
    )


def percentile_cell(distribution: Distribution, name: str) -> TableCell:
    """A percentile, sorted by its value; one that is not known sorts first."""
    value: float | None = getattr(distribution, name)
    # of nothing there is no percentile, however many it would need
    text = number_format.format_percentile(distribution, name) if distribution.count else number_format.NOT_AVAILABLE
    return TableCell(text, -1.0 if value is None else value)


def count_cell(number: int) -> TableCell:
    """A whole number, sorted by its value."""
    return TableCell(format_count(number), number)
