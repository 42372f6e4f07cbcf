"""The tables of a run's page: phases, kelurahan, and the stations that had the worst evening."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.analysis.chart_types import Series
from harness.analysis.summary import Summary
from reports import number_format
from reports.charts.failures import failed
from reports.number_format import count, quantity

NEVER_S = 1e9
"""Sorts behind every time that something took."""


class Cell(NamedTuple):
    """What a cell shows, and the number to sort it by where its text would not do."""

    text: str
    key: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page: the first column names the row. Readers can sort it where scripts may run."""

    anchor: str
    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    """What is left out, if anything."""


def phases(summary: Summary) -> Table:
    """A row a phase, in the order of time."""
    rows = [
        [
            Cell(phase.name),
            Cell(
                f"{number_format.seconds(phase.start_s)} to {number_format.seconds(phase.end_s)}",
                phase.start_s,
            ),
            counted(phase.attempts),
            counted(sum(failed(phase.by_outcome).values())),
            Cell(quantity(phase.offered_per_s, "per_s"), phase.offered_per_s or 0.0),
            Cell(quantity(phase.goodput_per_s, "per_s"), phase.goodput_per_s or 0.0),
            Cell(number_format.percentile(phase.response_seconds, "p50"), phase.response_seconds.p50 or 0.0),
            Cell(number_format.percentile(phase.response_seconds, "p95"), phase.response_seconds.p95 or 0.0),
        ]
        for phase in summary.phases
    ]
    headers = ["Phase", "From, to", "Attempts", "Failed", "Offered", "Goodput", "Response p50", "p95"]
    return Table("phases", "Phases and faults", headers, rows)


def kelurahan(summary: Summary) -> Table:
    """A row a kelurahan, the one that is least complete first."""
    rows = []
    for place in summary.kelurahan:
        ratio = place.completed_by_deadline / place.stations if place.stations else 0.0
        share = Cell(number_format.share(ratio) if place.stations else number_format.MISSING, ratio)
        counts = counted(place.stations), counted(place.completed_by_deadline)
        rows.append([Cell(number_format.place(place.name)), Cell(place.code), *counts, share])
    rows.sort(key=lambda row: row[-1].key or 0.0)
    headers = ["Kelurahan", "Code", "Stations", "Complete by the deadline", "Share"]
    return Table("kelurahan", "Kelurahan", headers, rows)


def worst(series: Series, summary: Summary) -> Table:
    """The stations that missed pages, then those that took longest."""
    rows = []
    for station in series.worst:
        took_s = float("inf") if station.completed_s is None else station.completed_s - station.due_s
        rows.append(
            [
                Cell(station.code),
                Cell(number_format.place(station.kelurahan)),
                Cell(number_format.seconds(station.due_s), station.due_s),
                Cell(f"{count(station.delivered)} of {count(station.pages)}", station.delivered),
                counted(station.attempts),
                Cell(quantity(took_s, "s"), min(took_s, NEVER_S)),
            ]
        )
    headers = ["Station", "Kelurahan", "Turned up at", "Pages delivered", "Attempts", "Took"]
    shown = sum(station.completed_s is None for station in series.worst)
    missed = max(summary.stations.due - summary.stations.completed, shown)
    if not shown:
        return Table("stations", "Slowest stations", headers, rows)
    title = "Undelivered stations" if shown == len(rows) else "Undelivered and slowest stations"
    these = f"{count(shown)} of {count(missed)}" if missed > shown else f"All {count(missed)}"
    note = f"{these} stations that turned up and were never complete"
    note += "." if shown == len(rows) else f", then the {count(len(rows) - shown)} that took longest."
    return Table("stations", title, headers, rows, note)


def processes(series: Series) -> Table:
    """A row a process of the run: what it used, and how late its event loop was at worst."""
    rows = [
        [
            Cell(one.name),
            _known(one.cpu_mean_ratio, "ratio"),
            _known(one.cpu_max_ratio, "ratio"),
            _known(one.cpu_above_90_s, "s"),
            _known(one.loop_lag_max_s, "s"),
            Cell(number_format.size(one.memory_max_bytes), one.memory_max_bytes),
            counted(one.descriptors_max),
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
    return Table("processes", "Processes of the run", headers, rows, note)


def _known(value: float | None, unit: str) -> Cell:
    return Cell(number_format.MISSING if value is None else quantity(value, unit), -1.0 if value is None else value)


def counted(number: int) -> Cell:
    """A whole number."""
    return Cell(count(number), number)
