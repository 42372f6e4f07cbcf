"""The rows of a run as arrays: the planned pages and stations, the attempts, and what became of each page.

Every figure that is computed from rows starts here, so no two figures can disagree about what a delivered page is.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.attempts_table import GivenUpPages, is_up_to_date, read_given_up, write_attempts
from harness.analysis.places import Places, load_places
from harness.analysis.step_names import step_requests, steps_after_photo
from harness.analysis.summary import FailureCount
from harness.base.errors import RunFolderError
from harness.base.model import DELIVERED, NOT_FAILURES, OUTCOMES, Outcome
from harness.run_folder.journal import GiveUpReason
from harness.run_folder.layout import RunFolder, RunRecord
from harness.run_folder.parquet import database, fetch_columns, parquet_path, release_memory, sql_list
from harness.run_folder.tables import require_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import duckdb
    import numpy.typing as npt

    from harness.run_folder.parquet import Columns

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

_STATIONS = "SELECT station AS code, min(due_s) AS due_s, count(*) AS pages FROM read_parquet(?, hive_partitioning = false) GROUP BY 1 ORDER BY 1"
_PAGES = """
    SELECT dense_rank() OVER (ORDER BY station) - 1 AS station
    FROM read_parquet(?, hive_partitioning = false, file_row_number = true) ORDER BY file_row_number
"""
_ATTEMPTS = """
    SELECT plan.row AS page, attempt, due_s, sent_s, done_s, enum_code(outcome::ENUM({outcomes})) AS outcome,
        coalesce(status, 0) AS status, sent_bytes, resent_bytes
    FROM read_parquet(?, hive_partitioning = false, file_row_number = true) AS attempts JOIN (
        SELECT station, form, page, file_row_number::UINTEGER AS row FROM read_parquet({plan}, hive_partitioning = false, file_row_number = true)
    ) AS plan USING (station, form, page)
    WHERE attempts.file_row_number BETWEEN {first} AND {last} ORDER BY attempts.file_row_number
"""
_COLUMNS = "SELECT name FROM parquet_schema(?)"
_FAILURES = """
    SELECT outcome, coalesce(status, 0) AS status, {reason} AS reason, {step} AS step, count(*) AS attempts,
        count(DISTINCT station) AS stations
    FROM read_parquet(?, hive_partitioning = false) WHERE outcome NOT IN ({others}) GROUP BY ALL
    ORDER BY attempts DESC, outcome, status, reason, step
"""
_PHOTO_TAKEN = """
    SELECT DISTINCT plan.row AS page FROM read_parquet(?, hive_partitioning = false) AS attempts JOIN (
        SELECT station, form, page, file_row_number AS row FROM read_parquet({plan}, hive_partitioning = false, file_row_number = true)
    ) AS plan USING (station, form, page) WHERE step IN ({steps})
"""
_ROWS_PER_PART = 1_000_000
_PARALLEL_PARTS = 2


@dataclass(frozen=True, slots=True)
class StationColumns:
    """Stations in the order of their codes. Shapes (stations,)."""

    code: npt.NDArray[np.object_]
    due_s: FloatArray
    """When each arrived: as planned, or in a closed workload when its first attempt was due; +infinity if it never did."""
    pages: IntArray
    """Number of pages that each has to deliver."""


@dataclass(frozen=True, slots=True)
class AttemptColumns:
    """Attempts in the order of attempts.parquet. Shapes (attempts,); times that were not reached are NaN."""

    page: npt.NDArray[np.integer]
    """The page's row in the plan."""
    attempt: npt.NDArray[np.int32]
    due_s: FloatArray
    sent_s: FloatArray
    done_s: FloatArray
    outcome: npt.NDArray[np.uint8]
    """Number in `OUTCOMES`."""
    status: npt.NDArray[np.uint16]
    """HTTP status; 0 without a response."""
    sent_bytes: IntArray
    resent_bytes: IntArray

    def ended_as(self, outcomes: Iterable[Outcome]) -> BoolArray:
        """Which attempts had one of these outcomes."""
        chosen = np.zeros(len(OUTCOMES), dtype=np.bool_)
        chosen[[OUTCOMES.index(outcome) for outcome in outcomes]] = True
        return chosen[self.outcome]


@dataclass(frozen=True)
class Rows:
    """The rows of one run and what became of each page.

    Arrays over pages have shape (pages,), in the order of the plan; times are in seconds since T0. An attempt that the
    retry strategy withheld has a row but was not sent, so it does not make its page attempted.
    """

    record: RunRecord
    stations: StationColumns
    station_of_page: IntArray
    """Number of each page's station in `stations`."""
    attempts: AttemptColumns
    given_up: GivenUpPages
    failures: tuple[FailureCount, ...] = ()
    """Each way in which attempts failed, most frequent first."""
    photo_taken: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Pages of which an attempt ended at a step after the one that sends the photo: it may be stored whatever followed."""
    region: Path | None = None
    """The run folder's copy of a region that does not ship with the package: the source of kelurahan names."""
    station_list: Path | None = None
    """The run folder's copy of the user's own list of stations: the source of their groups."""

    @cached_property
    def places(self) -> Places:
        """The places that the stations belong to."""
        return load_places(self.stations.code, self.record.scenario, self.region, self.station_list)

    @property
    def pages(self) -> int:
        """Number of planned pages."""
        return len(self.station_of_page)

    @cached_property
    def first_due_s(self) -> FloatArray:
        """When the first attempt of each page was due; +infinity if none ever was."""
        first = np.full(self.pages, np.inf)
        np.minimum.at(first, self.attempts.page, self.attempts.due_s)
        return first

    @cached_property
    def station_due_s(self) -> FloatArray:
        """When the station of each page arrives: from then on the page is offered load, and backlog until delivered."""
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
        """Pages of which at least one attempt was made."""
        made = np.zeros(self.pages, dtype=np.bool_)
        made[self.attempts.page[~self.attempts.ended_as({Outcome.WITHHELD})]] = True
        return made

    @cached_property
    def delivered(self) -> BoolArray:
        """Pages that were acknowledged."""
        return np.isfinite(self.acknowledged_s)

    @cached_property
    def censored(self) -> BoolArray:
        """Undelivered pages whose last attempt was in flight when the run ended."""
        last = np.zeros(self.pages, dtype=np.int64)
        made = ~self.attempts.ended_as({Outcome.WITHHELD})  # a withheld row after the last attempt ends nothing
        np.maximum.at(last, self.attempts.page[made], self.attempts.attempt[made])
        in_flight = self.attempts.ended_as({Outcome.CENSORED})
        in_flight &= self.attempts.attempt == last[self.attempts.page]
        pages = np.zeros(self.pages, dtype=np.bool_)
        pages[self.attempts.page[in_flight]] = True
        return pages & ~self.delivered

    @cached_property
    def begun(self) -> BoolArray:
        """Stations with at least one row, withheld rows included. Shape (stations,)."""
        stations = np.zeros(len(self.stations.code), dtype=np.bool_)
        stations[self.station_of_page[self.attempts.page]] = True
        return stations

    @cached_property
    def completed_s(self) -> FloatArray:
        """When the last page of each station was acknowledged; +infinity if any is missing. Shape (stations,)."""
        when = np.full(len(self.stations.code), -np.inf)
        np.maximum.at(when, self.station_of_page, self.acknowledged_s)
        return when

    @cached_property
    def last_event_s(self) -> float:
        """The latest time in any row; 0 without rows."""
        times = [self.attempts.due_s, self.attempts.sent_s, self.attempts.done_s]
        last_s = max(float(np.fmax.reduce(known, initial=-np.inf)) for known in times)  # fmax skips NaN
        return last_s if np.isfinite(last_s) else 0.0

    @property
    def end_s(self) -> float:
        """When the run ended; of a run that was broken off, the latest time in its rows."""
        return self.last_event_s if self.record.ended is None else self.record.ended.at_s

    @property
    def stop_s(self) -> float:
        """When the run stopped starting attempts: at its end or the deadline, whichever came first."""
        return min(self.end_s, self.record.deadline_s)

    @property
    def abandoned_s(self) -> FloatArray:
        """When pages that were due and undelivered were given up, ascending; without those given up at the deadline."""
        pages = self.given_up.page
        chosen = (self.given_up.reason != GiveUpReason.DEADLINE) & (pages < self.pages)
        pages = np.where(chosen, pages, 0)  # the journal of a torn run may name pages beyond the plan
        chosen &= ~self.delivered[pages] & (self.station_due_s[pages] < self.stop_s)
        return np.sort(self.given_up.at_s[chosen])


def load_rows(folder: RunFolder) -> Rows:
    """The rows of a run folder; writes attempts.parquet if it is missing or older than the journal.

    Raises RunFolderError if run.json or plan.parquet is missing, or files contradict each other. A folder with neither
    journal nor attempts.parquet is a run that made no attempt.
    """
    record = folder.read_run()
    require_file(folder.plan)
    if not is_up_to_date(folder, record):
        write_attempts(folder)
    with database() as connection:
        stations = fetch_columns(connection, _STATIONS, folder.plan)
        station_of_page = fetch_columns(connection, _PAGES, folder.plan)["station"]
        attempts = _load_attempts(connection, folder)
        failures = _count_failures(connection, folder, step_requests(record))
        photo_taken = _find_photo_taken(connection, folder, record)
    release_memory(len(attempts.page))
    return Rows(
        record=record,
        stations=StationColumns(
            stations["code"], _arrival_times(stations["due_s"], attempts, station_of_page), stations["pages"]
        ),
        station_of_page=station_of_page,
        attempts=attempts,
        given_up=read_given_up(folder.journal),
        failures=failures,
        photo_taken=photo_taken,
        region=folder.region,
        station_list=folder.stations,
    )


def _arrival_times(planned_s: FloatArray, attempts: AttemptColumns, station_of_page: IntArray) -> FloatArray:
    """When each station arrived: as planned, or, where no plan can know it (closed workload), its first due time."""
    if np.isfinite(planned_s).all():
        return planned_s
    first = np.full(len(planned_s), np.inf)
    np.minimum.at(first, station_of_page[attempts.page], attempts.due_s)
    return np.where(np.isfinite(planned_s), planned_s, first)


def _load_attempts(connection: duckdb.DuckDBPyConnection, folder: RunFolder) -> AttemptColumns:
    rows = int(
        fetch_columns(
            connection, "SELECT count(*) AS rows FROM read_parquet(?, hive_partitioning = false)", folder.attempts
        )["rows"][0]
    )
    made = AttemptColumns(
        page=np.empty(rows, dtype=np.uint32),
        attempt=np.empty(rows, dtype=np.int32),
        due_s=np.empty(rows),
        sent_s=np.empty(rows),
        done_s=np.empty(rows),
        outcome=np.empty(rows, dtype=np.uint8),
        status=np.empty(rows, dtype=np.uint16),
        sent_bytes=np.empty(rows, dtype=np.int64),
        resent_bytes=np.empty(rows, dtype=np.int64),
    )
    with ThreadPoolExecutor(_PARALLEL_PARTS) as pool:  # DuckDB lets go of the interpreter while it reads
        firsts = range(0, rows, _ROWS_PER_PART)
        list(pool.map(lambda first: _load_part(folder, made, first, min(first + _ROWS_PER_PART, rows)), firsts))
    return made


def _count_failures(
    connection: duckdb.DuckDBPyConnection, folder: RunFolder, requests: Mapping[str, str]
) -> tuple[FailureCount, ...]:
    # The column is missing in runs of earlier versions.
    columns = fetch_columns(connection, _COLUMNS, folder.attempts)["name"]
    reason = "coalesce(reason, '')" if "reason" in columns else "''"
    step = "coalesce(step, '')" if "step" in columns else "''"
    query = _FAILURES.format(reason=reason, step=step, others=sql_list(sorted(NOT_FAILURES))[1:-1])
    found = fetch_columns(connection, query, folder.attempts)
    return tuple(
        FailureCount(
            outcome=outcome,
            status=status or None,
            reason=reason,
            step=step,
            request=requests.get(step, ""),
            attempts=attempts,
            stations=stations,
        )
        for outcome, status, reason, step, attempts, stations in zip(
            *(found[name].tolist() for name in ("outcome", "status", "reason", "step", "attempts", "stations")),
            strict=True,
        )
    )


def _find_photo_taken(connection: duckdb.DuckDBPyConnection, folder: RunFolder, record: RunRecord) -> IntArray:
    later = steps_after_photo(record)
    if not later:
        return np.empty(0, dtype=np.int64)
    query = _PHOTO_TAKEN.format(plan=sql_list([parquet_path(folder.plan)]), steps=sql_list(later)[1:-1])
    found: IntArray = fetch_columns(connection, query, folder.attempts)["page"].astype(np.int64)
    return found


def _load_part(folder: RunFolder, made: AttemptColumns, first: int, stop: int) -> None:
    """Fill in the attempts in [first, stop); the join with the plan turns keys of pages into rows of the plan."""
    outcomes, plan = sql_list(OUTCOMES)[1:-1], sql_list([parquet_path(folder.plan)])
    query = _ATTEMPTS.format(outcomes=outcomes, plan=plan, first=first, last=stop - 1)  # BETWEEN includes its end
    with database() as connection:
        found: Columns = fetch_columns(connection, query, folder.attempts)
    if len(found["page"]) != stop - first:
        message = (
            f"{folder.attempts} and {folder.plan} belong to different runs: some attempts have no page in the plan"
        )
        raise RunFolderError(message)
    for name, column in found.items():
        getattr(made, name)[first:stop] = column
