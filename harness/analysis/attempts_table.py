"""Journals -> attempts.parquet, one row per attempt.

The journals of ten million attempts take 2 GB, so they are read and written in parts: at no time is more held in memory
than 20 bytes of each record and one part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.step_names import step_names
from harness.base.errors import OutOfResourcesError, RunFolderError
from harness.base.model import OUTCOMES, REASONS, Outcome
from harness.base.temporary import temporary_folder
from harness.run_folder.journal import DURATION_FIELDS, RECORD, TIME_FIELDS, GiveUpReason, RecordKind, read_journal
from harness.run_folder.layout import PhaseRecord, RunFolder, RunRecord
from harness.run_folder.parquet import (
    COMPRESSION,
    database,
    fetch_columns,
    parquet_path,
    read_made_from,
    sql_list,
    write_parquet,
)
from harness.run_folder.tables import require_file

if TYPE_CHECKING:
    import numpy.typing as npt

    from harness.run_folder.parquet import Column

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]
    Records = npt.NDArray[np.void]

CLEAR_PHASE = "clear"
"""Name of the phase in which no fault is active."""
RECORDS_PER_READ = 500_000
ROWS_PER_PART = 1_000_000
"""Attempts sorted and written at once: this bounds the memory needed, whatever the length of the run."""
PARALLEL_FROM_ROWS = 200_000
"""From this many attempts on, two parts are written at a time; below it the second thread gains nothing."""

_CENSORED = OUTCOMES.index(Outcome.CENSORED)
_WORDS_PER_RECORD = RECORD.itemsize // 8
"""Copying a record as 64-bit words is ten times as fast as copying it field by field. The first word holds kind, outcome,
status and page (1, 1, 2 and 4 bytes), the low half of the second the attempt number."""
_ROWS = """
    SELECT plan.station, plan.form, plan.page, attempt, {phases}[phase] AS phase, {times},
        {outcomes}[outcome] AS outcome, status, {reasons}[reason] AS reason, {steps}[step] AS step, sent_bytes, resent_bytes, {durations}, worker
    FROM journal
    JOIN (SELECT station, form, page, file_row_number AS row FROM read_parquet({plan}, hive_partitioning = false, file_row_number = true)) AS plan
        ON plan.row = journal.page
    ORDER BY journal.row_number
"""


@dataclass(frozen=True, slots=True)
class GivenUpPages:
    """Pages that will not be tried again, each listed once. Arrays of shape (n,)."""

    page: IntArray
    """Row of the page in the plan."""
    at_s: FloatArray
    reason: IntArray
    """A `GiveUpReason`."""


def write_attempts(folder: RunFolder) -> int:
    """Write attempts.parquet from the journals and return its number of rows.

    Rows are sorted by due time, then page (its row in the plan), then attempt. An attempt that began and never ended is
    censored; of an attempt that ended more than once the last record counts. The phase is the one of the due time.
    Raises RunFolderError if run.json or plan.parquet is missing, or the journal names an unknown page or outcome, and
    OutOfResourcesError if the disk is full.
    """
    record = folder.read_run()
    require_file(folder.plan)
    made_from = _inputs(folder, record)
    reader = JournalReader(folder.journal)
    positions, last_page = reader.find_attempts()
    with database() as connection:
        pages = int(
            fetch_columns(
                connection, "SELECT count(*) AS pages FROM read_parquet(?, hive_partitioning = false)", folder.plan
            )["pages"][0]
        )
    if last_page >= pages:
        message = f"{folder.journal} names page {last_page}, but the plan has {pages} pages"
        raise RunFolderError(message)
    if len(positions) < PARALLEL_FROM_ROWS:
        _write(folder, record, reader, positions, folder.attempts, made_from)
    else:
        # An even number of parts of one size keeps both threads busy to the end.
        pairs = -(-len(positions) // (2 * ROWS_PER_PART))
        _write_in_parts(folder, record, reader, np.array_split(positions, 2 * pairs), made_from)
    return len(positions)


def is_up_to_date(folder: RunFolder, record: RunRecord) -> bool:
    """Whether attempts.parquet is what `write_attempts` would write; without journals, whether it exists."""
    if not journal_files(folder.journal):
        return folder.attempts.exists()
    return read_made_from(folder.attempts) == _inputs(folder, record)


def read_given_up(folder: Path) -> GivenUpPages:
    """The pages that the journals in `folder` report as given up; empty without journals."""
    found = [np.empty(0, dtype=RECORD)]
    for path in journal_files(folder):
        found += [records[records["kind"] == RecordKind.GAVE_UP] for records in read_in_parts(path)]
    records = np.concatenate(found)
    # Reasons of a newer version are left out rather than counted under a wrong name.
    records = records[np.isin(records["status"], [int(reason) for reason in GiveUpReason])]
    page, first = np.unique(records["page"], return_index=True)
    chosen = records[first]
    return GivenUpPages(page.astype(np.int64), chosen["done_s"].astype(np.float64), chosen["status"].astype(np.int64))


def journal_files(folder: Path) -> list[Path]:
    """The journal files in a folder, sorted by worker rank."""
    return sorted(folder.glob("worker-*.journal"))


class JournalReader:
    """The journals of a folder as one sequence of records, worker after worker.

    A position counts records over all files, from 0.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` may be empty. Raises RunFolderError for a file whose name contains no worker rank."""
        self._folder = folder
        self._paths = journal_files(folder)
        self._ranks = [worker_rank(path) for path in self._paths]
        sizes = [path.stat().st_size // RECORD.itemsize for path in self._paths]
        self._first_positions = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])

    def find_attempts(self) -> tuple[IntArray, int]:
        """The position of each attempt's decisive record, by due time, page and attempt; and the greatest page.

        The last END of an attempt is decisive, or its last BEGIN if it has no END. The greatest page is -1 if there are
        no attempts. Raises RunFolderError for an unknown outcome.
        """
        key, due_s, position = self._read_heads()
        # Stable sorts twice: first by (page, attempt, is END), so that the last record of each attempt is the decisive
        # one; then by due time, which keeps the order of page and attempt among equal times.
        order = np.argsort(key, kind="stable")
        attempt_key = key[order] >> np.uint64(1)
        is_last = np.ones(len(attempt_key), dtype=np.bool_)
        is_last[:-1] = attempt_key[1:] != attempt_key[:-1]
        greatest = int(attempt_key[-1] >> np.uint64(32)) if len(attempt_key) else -1
        chosen = order[is_last]
        del key, attempt_key, is_last, order  # hundreds of megabytes in a long run, before the next sort needs as much
        chosen = chosen[np.argsort(due_s[chosen], kind="stable")]
        return position[chosen].astype(np.int64), greatest

    def read(self, positions: IntArray) -> tuple[Records, npt.NDArray[np.int32]]:
        """The records at these positions, in the order given, and the rank of the worker that wrote each."""
        words = np.empty((len(positions), _WORDS_PER_RECORD), dtype=np.uint64)
        worker = np.empty(len(positions), dtype=np.int32)
        for number, path in enumerate(self._paths):
            first_position, next_position = self._first_positions[number : number + 2]
            in_file = np.flatnonzero((positions >= first_position) & (positions < next_position))
            offsets = positions[in_file] - first_position
            for chosen in _grouped_by_read(offsets):
                first, last = int(offsets[chosen].min()), int(offsets[chosen].max())
                read = read_journal(path, first, last - first + 1).view(np.uint64).reshape(-1, _WORDS_PER_RECORD)
                words[in_file[chosen]] = read[offsets[chosen] - first]
            worker[in_file] = self._ranks[number]
        return words.reshape(-1).view(RECORD), worker

    def _read_heads(self) -> tuple[npt.NDArray[np.uint64], FloatArray, npt.NDArray[np.uint32]]:
        """Of each record of an attempt: (page, attempt, is END) packed into one sortable number; due time; position."""
        keys, dues, positions = [np.empty(0, dtype=np.uint64)], [np.empty(0)], [np.empty(0, dtype=np.uint32)]
        for path, first in zip(self._paths, self._first_positions.tolist(), strict=False):
            next_position = first
            for records in read_in_parts(path):
                words = records.view(np.uint64).reshape(-1, _WORDS_PER_RECORD)
                head, attempt = words[:, 0].copy(), words[:, 1] & np.uint64(0xFFFFFFFF)
                kind = head & np.uint64(0xFF)
                self._check_outcome(int(((head >> np.uint64(8)) & np.uint64(0xFF)).max(initial=0)))
                key = head >> np.uint64(32) << np.uint64(33) | attempt << np.uint64(1) | (kind == RecordKind.END)
                due_s = records["due_s"].copy()  # a view would keep the whole part in memory
                position = np.arange(next_position, next_position + len(records), dtype=np.uint32)
                of_attempt = (kind == RecordKind.BEGIN) | (kind == RecordKind.END)
                keys.append(key if of_attempt.all() else key[of_attempt])
                dues.append(due_s if of_attempt.all() else due_s[of_attempt])
                positions.append(position if of_attempt.all() else position[of_attempt])
                next_position += len(records)
        return np.concatenate(keys), np.concatenate(dues), np.concatenate(positions)

    def _check_outcome(self, greatest: int) -> None:
        if greatest >= len(OUTCOMES):
            message = f"{self._folder} contains outcome number {greatest}, which this version does not know"
            raise RunFolderError(message)


def _grouped_by_read(offsets: IntArray) -> Iterator[IntArray]:
    """Groups of offsets that one read covers; usually a few, as records are written in the order of time."""
    number = offsets // RECORDS_PER_READ
    for one in np.unique(number):
        yield np.flatnonzero(number == one)


def read_in_parts(path: Path) -> Iterator[Records]:
    """The records of a journal file in pieces, so that a long one needn't fit into memory."""
    records = path.stat().st_size // RECORD.itemsize  # a torn last record does not count
    for first in range(0, records, RECORDS_PER_READ):
        yield read_journal(path, first, RECORDS_PER_READ)


def worker_rank(path: Path) -> int:
    """The rank of the worker that wrote a journal file. Raises RunFolderError if its name has none."""
    try:
        return int(path.stem.removeprefix("worker-"))
    except ValueError:
        message = f"{path} is not a journal: its name contains no worker rank"
        raise RunFolderError(message) from None


def _write_in_parts(
    folder: RunFolder, record: RunRecord, reader: JournalReader, slices: Sequence[IntArray], made_from: str
) -> None:
    """Write one temporary file per part, two at a time, then all of them into one file."""
    try:
        with temporary_folder("attempts", folder.path) as place:
            parts = [place / f"{number:06d}.parquet" for number in range(len(slices))]
            with ThreadPoolExecutor(2) as pool:
                writing = [
                    pool.submit(_write, folder, record, reader, positions, part, compression="uncompressed")
                    for positions, part in zip(slices, parts, strict=True)
                ]
                for part_written in writing:
                    part_written.result()
            with database() as connection:
                names = sql_list(parquet_path(part) for part in parts)
                query = f"SELECT * FROM read_parquet({names}, hive_partitioning = false)"  # noqa: S608 - quoted
                write_parquet(connection, query, folder.attempts, made_from=made_from)
    except OSError as error:
        message = f"{folder.attempts} can't be written: {error}"
        raise OutOfResourcesError(message) from None


def _write(
    folder: RunFolder, record: RunRecord, reader: JournalReader, positions: IntArray, path: Path, made_from: str = "",
    compression: str = COMPRESSION,
) -> None:  # fmt: skip
    """Write the attempts whose records are at these positions."""
    rows = _columns(*reader.read(positions))
    phases = [phase.name for phase in record.phases] or [CLEAR_PHASE]
    rows["phase"] = _phases_at(rows["due_s"], record.phases) + 1
    query = _ROWS.format(
        phases=sql_list(phases), outcomes=sql_list(OUTCOMES), reasons=sql_list(REASONS), steps=sql_list(step_names(record)), plan=sql_list([parquet_path(folder.plan)]),
        times=", ".join(TIME_FIELDS), durations=", ".join(DURATION_FIELDS),
    )  # fmt: skip
    with database(journal=rows) as connection:
        write_parquet(connection, query, path, made_from=made_from, compression=compression)


def _inputs(folder: RunFolder, record: RunRecord) -> str:
    """What attempts.parquet depends on: the sizes of journals (they only grow) and plan, and the phases."""
    sizes = [f"{path.name} {path.stat().st_size}" for path in [*journal_files(folder.journal), folder.plan]]
    phases = [f"{phase.name} {phase.start_s} {phase.end_s}" for phase in record.phases]
    return "; ".join([*sizes, *phases])


def _columns(records: Records, worker: npt.NDArray[np.int32]) -> dict[str, Column]:
    """Records as columns for the query: outcomes as numbers from 1 (SQL lists count from 1), unknown values masked."""
    unfinished = records["kind"] == RecordKind.BEGIN
    columns: dict[str, Column] = {
        "row_number": np.arange(len(records)),
        "page": records["page"].astype(np.int64),
        "attempt": records["attempt"].astype(np.int32),
        "outcome": np.where(unfinished, _CENSORED, records["outcome"]).astype(np.int64) + 1,
        "status": np.ma.masked_equal(records["status"].astype(np.int32), 0),
        # None, not "": most attempts have no reason.
        "reason": np.ma.masked_equal(records["reason"].astype(np.int64) + 1, 1),
        "step": np.ma.masked_equal(records["step"].astype(np.int64), 0),  # of an attempt that was never sent
        "sent_bytes": records["sent_bytes"].astype(np.int64),
        "resent_bytes": records["resent_bytes"].astype(np.int64),
        "worker": worker,
    }
    for name in (*TIME_FIELDS, *DURATION_FIELDS):
        columns[name] = np.ma.masked_invalid(records[name].astype(np.float64))
    return columns


def _phases_at(due_s: FloatArray, phases: Sequence[PhaseRecord]) -> IntArray:
    """Number of the phase that each time lies in; times before the first or after the last belong to the nearest."""
    if not phases:
        return np.zeros(len(due_s), dtype=np.int64)
    starts = np.array([phase.start_s for phase in phases])
    return np.clip(np.searchsorted(starts, np.asarray(due_s), side="right") - 1, 0, None)
