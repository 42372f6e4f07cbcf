"""A run's rows as arrays: the plan's pages and stations, the attempts, and what became of each page.

Everything that counts from rows counts from here, so that two figures can't disagree about what a delivered page is.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.attempts_table import is_up_to_date, write_attempts
from harness.analysis.journal_reader import GivenUpPages, read_given_up
from harness.base.errors import RunFolderError
from harness.base.model import DELIVERED, OUTCOMES, Outcome
from harness.run_folder.journal import GiveUpReason
from harness.run_folder.layout import RunFolder, RunRecord
from harness.run_folder.parquet import database, fetch_columns, release_memory, sql_list
from harness.run_folder.tables import require_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb
    import numpy.typing as npt

    from harness.run_folder.parquet import Columns

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

_STATIONS = "SELECT station AS code, min(due_s) AS due_s, count(*) AS pages FROM read_parquet(?) GROUP BY 1 ORDER BY 1"
_PAGES = """
    SELECT dense_rank() OVER (ORDER BY station) - 1 AS station
    FROM read_parquet(?, file_row_number = true) ORDER BY file_row_number
"""
_ATTEMPTS = """
    SELECT plan.row AS page, attempt, due_s, sent_s, done_s, enum_code(outcome::ENUM({outcomes})) AS outcome,
        sent_bytes, resent_bytes
    FROM read_parquet(?, file_row_number = true) AS attempts JOIN (
        SELECT station, form, page, file_row_number::UINTEGER AS row FROM read_parquet({plan}, file_row_number = true)
    ) AS plan USING (station, form, page)
    WHERE attempts.file_row_number BETWEEN {first} AND {last} ORDER BY attempts.file_row_number
"""
_ROWS_PER_PART = 1_000_000
_PARALLEL_PARTS = 2


@dataclass(frozen=True, slots=True)
class StationColumns:
    """Stations in the order of their codes. Shapes (stations,)."""

    code: npt.NDArray[np.object_]
    due_s: FloatArray
    """When each turned up: the plan's time, in a closed workload what the rows say; +infinity if it never did."""
    pages: IntArray
    """How many pages each has to deliver."""


@dataclass(frozen=True, slots=True)
class AttemptColumns:
    """Attempts in the order of attempts.parquet. Shapes (attempts,); a time that was not reached is NaN."""

    page: npt.NDArray[np.integer]
    """The page's row in the plan."""
    attempt: npt.NDArray[np.int32]
    due_s: FloatArray
    sent_s: FloatArray
    done_s: FloatArray
    outcome: npt.NDArray[np.uint8]
    """Number in `OUTCOMES`."""
    sent_bytes: IntArray
    resent_bytes: IntArray

    def ended_as(self, outcomes: Iterable[Outcome]) -> BoolArray:
        """Which attempts had one of these outcomes."""
        chosen = np.zeros(len(OUTCOMES), dtype=np.bool_)
        chosen[[OUTCOMES.index(outcome) for outcome in outcomes]] = True
        return chosen[self.outcome]


@dataclass(frozen=True)
class Rows:
    """The rows of one run, and what became of each page. Arrays over pages have shape (pages,), in the plan's order."""

    record: RunRecord
    stations: StationColumns
    station_of_page: IntArray
    """Number of each page's station in `stations`."""
    attempts: AttemptColumns
    given_up: GivenUpPages
    region: Path | None = None
    """The run folder's copy of the region that isn't a shipped one: where the names of kelurahan stand."""

    @property
    def pages(self) -> int:
        """How many pages were planned."""
        return len(self.station_of_page)

    @cached_property
    def first_due_s(self) -> FloatArray:
        """When each page's station was ready for its first attempt; +infinity if it never was."""
        first = np.full(self.pages, np.inf)
        np.minimum.at(first, self.attempts.page, self.attempts.due_s)
        return first

    @cached_property
    def station_due_s(self) -> FloatArray:
        """When each page's station turns up: from then on the page is offered load, and backlog until it is delivered."""
        return self.stations.due_s[self.station_of_page]

    @cached_property
    def acknowledged_s(self) -> FloatArray:
        """When each page was first acknowledged; +infinity if it never was."""
        when = np.full(self.pages, np.inf)
        made = self.attempts.ended_as(DELIVERED)
        np.minimum.at(when, self.attempts.page[made], self.attempts.done_s[made])
        return when

    @cached_property
    def attempted(self) -> BoolArray:
        """Pages of which an attempt was made: one that the strategy withheld was not."""
        made = np.zeros(self.pages, dtype=np.bool_)
        made[self.attempts.page[~self.attempts.ended_as({Outcome.WITHHELD})]] = True
        return made

    @cached_property
    def delivered(self) -> BoolArray:
        """Pages that were acknowledged."""
        return np.isfinite(self.acknowledged_s)

    @cached_property
    def censored(self) -> BoolArray:
        """Pages not delivered whose last attempt was in flight when the run ended."""
        last = np.zeros(self.pages, dtype=np.int64)
        made = ~self.attempts.ended_as({Outcome.WITHHELD})
        np.maximum.at(last, self.attempts.page[made], self.attempts.attempt[made])
        in_flight = self.attempts.ended_as({Outcome.CENSORED})
        in_flight &= self.attempts.attempt == last[self.attempts.page]
        pages = np.zeros(self.pages, dtype=np.bool_)
        pages[self.attempts.page[in_flight]] = True
        return pages & ~self.delivered

    @cached_property
    def begun(self) -> BoolArray:
        """Stations that have a row at all, a withheld one included. Shape (stations,)."""
        stations = np.zeros(len(self.stations.code), dtype=np.bool_)
        stations[self.station_of_page[self.attempts.page]] = True
        return stations

    @cached_property
    def completed_s(self) -> FloatArray:
        """When each station's last page was acknowledged; +infinity if one is missing. Shape (stations,)."""
        when = np.full(len(self.stations.code), -np.inf)
        np.maximum.at(when, self.station_of_page, self.acknowledged_s)
        return when

    @cached_property
    def last_event_s(self) -> float:
        """The latest moment that any row names; 0 without rows."""
        times = [self.attempts.due_s, self.attempts.sent_s, self.attempts.done_s]
        last_s = max(float(np.fmax.reduce(known, initial=-np.inf)) for known in times)
        return last_s if np.isfinite(last_s) else 0.0

    @property
    def end_s(self) -> float:
        """When the run ended; for one that was broken off, the last moment known of it."""
        return self.last_event_s if self.record.ended is None else self.record.ended.at_s

    @property
    def stop_s(self) -> float:
        """When the run stopped making attempts: at its end or the deadline. Due is what was due before."""
        return min(self.end_s, self.record.deadline_s)

    @property
    def abandoned_s(self) -> FloatArray:
        """When pages that had fallen due were given up, rising; those whose time was up at the deadline aside."""
        pages = self.given_up.page
        chosen = (self.given_up.reason != GiveUpReason.DEADLINE) & (pages < self.pages)
        pages = np.where(chosen, pages, 0)
        chosen &= ~self.delivered[pages] & (self.station_due_s[pages] < self.stop_s)
        return np.sort(self.given_up.at_s[chosen])


def load_rows(folder: RunFolder) -> Rows:
    """Rows of a run folder, with attempts.parquet made from the journal where it is missing or behind.

    Raises BrokenRunError where run.json or plan.parquet is missing, or files contradict each other. A folder without
    journal and attempts is a run that has made none.
    """
    record = folder.read_run()
    require_file(folder.plan)
    if not is_up_to_date(folder, record):
        write_attempts(folder)
    with database() as connection:
        stations = fetch_columns(connection, _STATIONS, folder.plan)
        station_of_page = fetch_columns(connection, _PAGES, folder.plan)["station"]
        attempts = _load_attempts(connection, folder)
    release_memory(len(attempts.page))
    return Rows(
        record=record,
        stations=StationColumns(
            stations["code"], _arrival_times(stations["due_s"], attempts, station_of_page), stations["pages"]
        ),
        station_of_page=station_of_page,
        attempts=attempts,
        given_up=read_given_up(folder.journal),
        region=folder.region,
    )


def _arrival_times(planned_s: FloatArray, attempts: AttemptColumns, station_of_page: IntArray) -> FloatArray:
    """When each station turned up: as planned, or where that couldn't be known beforehand, when its first attempt was due."""
    if np.isfinite(planned_s).all():
        return planned_s
    first = np.full(len(planned_s), np.inf)
    np.minimum.at(first, station_of_page[attempts.page], attempts.due_s)
    return np.where(np.isfinite(planned_s), planned_s, first)


def _load_attempts(connection: duckdb.DuckDBPyConnection, folder: RunFolder) -> AttemptColumns:
    rows = int(fetch_columns(connection, "SELECT count(*) AS rows FROM read_parquet(?)", folder.attempts)["rows"][0])
    made = AttemptColumns(
        page=np.empty(rows, dtype=np.uint32),
        attempt=np.empty(rows, dtype=np.int32),
        due_s=np.empty(rows),
        sent_s=np.empty(rows),
        done_s=np.empty(rows),
        outcome=np.empty(rows, dtype=np.uint8),
        sent_bytes=np.empty(rows, dtype=np.int64),
        resent_bytes=np.empty(rows, dtype=np.int64),
    )
    with ThreadPoolExecutor(_PARALLEL_PARTS) as pool:
        firsts = range(0, rows, _ROWS_PER_PART)
        list(pool.map(lambda first: _load_part(folder, made, first, min(first + _ROWS_PER_PART, rows)), firsts))
    return made


def _load_part(folder: RunFolder, made: AttemptColumns, first: int, stop: int) -> None:
    """Fill in the attempts in [first, stop)."""
    outcomes, plan = sql_list(OUTCOMES)[1:-1], sql_list([str(folder.plan)])
    query = _ATTEMPTS.format(outcomes=outcomes, plan=plan, first=first, last=stop - 1)
    with database() as connection:
        found: Columns = fetch_columns(connection, query, folder.attempts)
    if len(found["page"]) != stop - first:
        message = f"{folder.attempts} and {folder.plan} belong to different runs: not every attempt has its page"
        raise RunFolderError(message)
    for name, column in found.items():
        getattr(made, name)[first:stop] = column
