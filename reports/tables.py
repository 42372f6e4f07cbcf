"""The tables of a run's page: phases, kelurahan, the recapitulation, what was not acknowledged, stations, processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.analysis.chart_types import ChartData
from harness.analysis.summary import QUIET_PHASES, Distribution, Summary
from harness.analysis.traces import MAX_LISTED_ATTEMPTS
from harness.analysis.unacknowledged import UnacknowledgedPages
from reports import number_format
from reports.charts.failures import failure_counts
from reports.charts.recapitulation import MIN_LATE_S
from reports.failures_text import TIMES, format_status
from reports.number_format import format_count, format_quantity
from reports.palette import outcome_label

MISSING_TITLE, MISSING_FILE = "Pages not acknowledged", "not-acknowledged.csv"
STATION_END_TEXTS = {
    "complete": "complete",
    "gave up": "gave up",
    "deadline": "still trying at the deadline",
    "cut off": "cut off when the run ended",
    "not attempted": "never attempted",
}
_END_VERBS = {
    "gave up": "gave up",
    "deadline": "still tried at the deadline",
    "cut off": "were cut off when the run ended",
    "not attempted": "never sent anything",
}


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
    file: str = ""
    """A file beside the page that has all of it."""
    filter_column: int | None = None
    """With scripts allowed, readers can choose the rows with one text in this column."""


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
    has_faults = any(phase.name not in QUIET_PHASES for phase in summary.phases)
    return PageTable("phases", "Phases and faults" if has_faults else "Phases", headers, rows, note)


def failures_table(summary: Summary) -> PageTable:
    """One row per way in which attempts failed, most frequent first."""
    failures = summary.attempts.failures
    rows = [
        [
            TableCell(outcome_label(failure.outcome)),
            TableCell(format_status(failure.status), failure.status or 0),
            TableCell(f"{failure.step}: {failure.request}" if failure.request else ""),
            TableCell(failure.reason),
            count_cell(failure.attempts),
        ]
        for failure in failures
    ]
    headers = ["Failure", "Answer", "Request", "What was wrong", "Attempts"]
    # From the right: the positions to the left stay.
    for column, is_known in ((3, any(one.reason for one in failures)), (2, any(one.request for one in failures))):
        if not is_known:
            headers.pop(column)
            for row in rows:
                row.pop(column)
    return PageTable("failed", "What failed", headers, rows)


def steps_table(summary: Summary) -> PageTable:
    """One row per step of an upload that takes several requests, in their order."""
    rows = [
        [
            TableCell(step.name),
            count_cell(step.requests),
            TableCell(
                ", ".join(
                    f"{format_status(int(status)) if status.isdigit() else status} {TIMES} {format_count(count)}"
                    for status, count in step.by_status.items()
                )
            ),
            *(percentile_cell(step.seconds, percentile) for percentile in ("p50", "p95")),
        ]
        for step in summary.steps
    ]
    note = "From the beginning of a request to the end of its answer, of those that were answered."
    return PageTable("steps", "Steps of an upload", ["Step", "Requests", "Answers", "p50", "p95"], rows, note)


def unusable_table(summary: Summary) -> PageTable:
    """One row per kind of answer whose status promised success and which was none."""
    rows = [[TableCell(text), count_cell(count)] for text, count in summary.attempts.unusable.items()]
    return PageTable("unusable", "Answers that could not be used", ["What was wrong", "Attempts"], rows)


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


def groups_table(summary: Summary) -> PageTable:
    """One row per group of the user's own stations, the least complete first; no rows for a region."""
    rows = [
        [
            TableCell(place.name),
            count_cell(place.stations),
            count_cell(place.completed_by_deadline),
            TableCell(
                number_format.format_ratio(place.completed_by_deadline / place.stations),
                place.completed_by_deadline / place.stations,
            ),
        ]
        for place in summary.groups
    ]
    rows.sort(key=lambda row: row[-1].key or 0.0)
    title = summary.groups[0].group if summary.groups else "Groups"
    return PageTable("groups", title, [title, "Stations", "Complete by the deadline", "Share"], rows)


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


def unacknowledged_table(chart_data: ChartData) -> PageTable:
    """Where the pages are that were never acknowledged: one row per region and form, the most pages first."""
    found = chart_data.unacknowledged
    headers = ["Region", "Code", "Form", "Pages planned", "Not acknowledged", "of which on the server", "Stations"]
    if found is None:
        return PageTable("missing", MISSING_TITLE, headers, [])
    rows = [
        [
            TableCell(number_format.format_place(group.name, chart_data.completion.group)),
            TableCell(group.region),
            TableCell(group.form),
            count_cell(group.planned),
            TableCell(
                f"{format_count(group.missing)} ({number_format.format_ratio(group.missing / group.planned)})",
                group.missing,
            ),
            _optional_cell(None if group.on_server is None else float(group.on_server), ""),
            count_cell(group.stations),
        ]
        for group in found.groups
    ]
    return PageTable("missing", MISSING_TITLE, headers, rows, _missing_note(found), file=MISSING_FILE)


def _missing_note(found: UnacknowledgedPages) -> str:
    note = f"{number_format.plural(len(found.page), 'page')} of stations that arrived {'was' if len(found.page) == 1 else 'were'} never acknowledged"
    stored = [group.on_server for group in found.groups if group.on_server is not None]
    if stored:
        note += f", of which the server has {format_count(sum(stored))} all the same"
    return f"{note}. One row per page, with its attempts and how the last one ended:"


def worst_stations_table(chart_data: ChartData, summary: Summary) -> PageTable:
    """The stations that were never complete, then those that took longest, and how each one's wait ended."""
    rows = [
        [
            TableCell(station.code),
            TableCell(number_format.format_place(station.kelurahan, chart_data.completion.group)),
            TableCell(number_format.format_duration(station.due_s), station.due_s),
            TableCell(f"{format_count(station.delivered)} of {format_count(station.pages)}", station.delivered),
            count_cell(station.attempts),
            TableCell(number_format.format_duration(station.waited_s), station.waited_s),
            TableCell(STATION_END_TEXTS[station.end]),
        ]
        for station in chart_data.worst
    ]
    headers = [
        "Station",
        number_format.group_title(chart_data.completion.group),
        "Arrived at",
        "Pages delivered",
        "Attempts",
        "Waited",
        "In the end",
    ]
    shown = sum(station.completed_s is None for station in chart_data.worst)
    # the list is cut, the summary counts all; a run that stopped early may count fewer as due
    missed = max(summary.stations.due - summary.stations.completed, shown)
    if not shown:
        return PageTable("stations", "Slowest stations", headers, rows, filter_column=1)
    title = "Stations never complete" if shown == len(rows) else "Stations never complete, and the slowest"
    note = f"{number_format.plural(missed, 'station')} arrived and {'was' if missed == 1 else 'were'} never complete"
    note += f"; the first {format_count(shown)} are listed" if shown < missed else ""
    slowest = len(rows) - shown
    if slowest:
        note += f"; below them the {'one' if slowest == 1 else format_count(slowest)} that took longest"
    return PageTable("stations", title, headers, rows, f"{note}.{_failed_note(chart_data)}", filter_column=1)


def traces_table(chart_data: ChartData) -> PageTable:
    """The first failed attempts and the slowest, each with its trace id; without rows if requests carried none."""
    traced = chart_data.traced
    kinds = [] if traced is None else [("failed", traced.failed), ("slowest", traced.slowest)]
    rows = [
        [
            TableCell(f"{attempt.station} {attempt.form} {attempt.page}"),
            count_cell(attempt.attempt),
            TableCell(kind),
            TableCell(_label_with_status(attempt.outcome, attempt.status)),
            TableCell(number_format.format_duration(attempt.sent_s), attempt.sent_s),
            TableCell(number_format.format_duration(attempt.took_s), attempt.took_s),
            TableCell(attempt.trace_id),
        ]
        for kind, attempts in kinds
        for attempt in attempts
    ]
    headers = ["Page", "Attempt", "Listed as", "Outcome", "Sent at", "Took", "Trace id"]
    note = (
        f"The first {MAX_LISTED_ATTEMPTS} failed attempts and the {MAX_LISTED_ATTEMPTS} slowest. The trace id of any other is the first 32 "
        "digits of the SHA-256 of RUN/STATION/FORM/PAGE/ATTEMPT."
    )
    return PageTable("traces", "Traces", headers, rows, note, filter_column=2)


def _label_with_status(outcome: str, status: int | None) -> str:
    """An outcome with the status that was really answered, not with the one that it usually stands for.

    >>> _label_with_status("unavailable", 200), _label_with_status("reset", None)
    ('unavailable (200)', 'connection reset')
    """
    label = outcome_label(outcome)
    return f"{label.partition(' (')[0]} ({status})" if status else label


def _failed_note(chart_data: ChartData) -> str:
    """How the waits of the stations ended that were never complete, and how long they lasted."""
    failed = chart_data.unacknowledged.stations if chart_data.unacknowledged else None
    if failed is None:
        return ""
    one_end = len(failed.by_end) == 1
    ends = number_format.join_phrases(
        [f"{'all' if one_end else format_count(number)} {_END_VERBS[end]}" for end, number in failed.by_end.items()]
    )
    waited = number_format.format_duration(failed.waited_p50_s)
    longest = number_format.format_duration(failed.waited_max_s)
    return f" Of these {format_count(failed.count)}, {ends}. Half of them waited {waited} or longer, the longest {longest}."


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


def percentile_cell(distribution: Distribution, name: str) -> TableCell:
    """A percentile, sorted by its value; one that is not known sorts first."""
    value: float | None = getattr(distribution, name)
    # of nothing there is no percentile, however many it would need
    text = number_format.format_percentile(distribution, name) if distribution.count else number_format.NOT_AVAILABLE
    return TableCell(text, -1.0 if value is None else value)


def count_cell(number: int) -> TableCell:
    """A whole number, sorted by its value."""
    return TableCell(format_count(number), number)
