"""Journals -> attempts.parquet: a row an attempt."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.journal_reader import JournalReader, journal_files
from harness.base.errors import OutOfResourcesError, RunFolderError
from harness.base.model import OUTCOMES, Outcome
from harness.run_folder.journal import DURATION_FIELDS, TIME_FIELDS, RecordKind
from harness.run_folder.layout import PhaseRecord, RunFolder, RunRecord
from harness.run_folder.parquet import COMPRESSION, database, fetch_columns, read_made_from, sql_list, write_parquet
from harness.run_folder.tables import require_file

if TYPE_CHECKING:
    import numpy.typing as npt

    from harness.run_folder.parquet import Column

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

CLEAR_PHASE = "clear"
"""Name of the phase in which no fault is active."""
ROWS_PER_PART = 1_000_000
"""Attempts sorted and written at once: what a slice needs of memory, a run of any length needs."""
PARALLEL_FROM_ROWS = 200_000
"""From so many attempts on two slices at a time, of the same size: below that there is nothing to gain."""

_CENSORED = OUTCOMES.index(Outcome.CENSORED)
_ROWS = """
    SELECT plan.station, plan.form, plan.page, attempt, {phases}[phase] AS phase, {times},
        {outcomes}[outcome] AS outcome, status, sent_bytes, resent_bytes, {durations}, worker
    FROM journal
    JOIN (SELECT station, form, page, file_row_number AS row FROM read_parquet({plan}, file_row_number = true)) AS plan
        ON plan.row = journal.page
    ORDER BY journal.row_number
"""


def write_attempts(folder: RunFolder) -> int:
    """Make attempts.parquet from the journals; gives the number of its rows.

    Sorted by due time, page's row in the plan, attempt. An attempt that began and never ended is censored. Where an
    attempt has ended more than once, the last record counts. The phase is that of the due time. Raises BrokenRunError
    where run.json or plan.parquet is missing, or the journal names a page or an outcome that there is not.
    """
    record = folder.read_run()
    require_file(folder.plan)
    stamp = _stamp(folder, record)
    written = JournalReader(folder.journal)
    where, greatest = written.attempts()
    with database() as connection:
        pages = int(fetch_columns(connection, "SELECT count(*) AS pages FROM read_parquet(?)", folder.plan)["pages"][0])
    if greatest >= pages:
        message = f"{folder.journal} names page {greatest}, but the plan has {pages} pages"
        raise RunFolderError(message)
    pairs = -(-len(where) // (2 * ROWS_PER_PART))
    if len(where) < PARALLEL_FROM_ROWS:
        _write(folder, record, written, where, folder.attempts, stamp)
    else:
        _write_in_parts(folder, record, written, np.array_split(where, 2 * pairs), stamp)
    return len(where)


def is_up_to_date(folder: RunFolder, record: RunRecord) -> bool:
    """Whether attempts.parquet is what `write_attempts` would make; true where there is nothing to make it from."""
    if not journal_files(folder.journal):
        return folder.attempts.exists()
    return read_made_from(folder.attempts) == _stamp(folder, record)


def _write_in_parts(
    folder: RunFolder, record: RunRecord, written: JournalReader, slices: Sequence[IntArray], stamp: str
) -> None:
    """Slice after slice, two at a time, then all of them into one file."""
    try:
        with TemporaryDirectory(prefix="attempts.", dir=folder.path) as name:
            parts = [Path(name) / f"{number:06d}.parquet" for number in range(len(slices))]
            with ThreadPoolExecutor(2) as pool:
                writing = [
                    pool.submit(_write, folder, record, written, where, part, compression="uncompressed")
                    for where, part in zip(slices, parts, strict=True)
                ]
                for part_written in writing:
                    part_written.result()
            with database() as connection:
                listed = sql_list(str(part) for part in parts)
                write_parquet(connection, f"SELECT * FROM read_parquet({listed})", folder.attempts, made_from=stamp)  # noqa: S608 - quoted
    except OSError as error:
        message = f"{folder.attempts} can't be written: {error}"
        raise OutOfResourcesError(message) from None


def _write(
    folder: RunFolder, record: RunRecord, written: JournalReader, where: IntArray, into: Path, made_from: str = "",
    compression: str = COMPRESSION,
) -> None:  # fmt: skip
    """Write the attempts whose records stand there."""
    rows = _columns(*written.take(where))
    phases = [phase.name for phase in record.phases] or [CLEAR_PHASE]
    rows["phase"] = _phases_at(rows["due_s"], record.phases) + 1
    query = _ROWS.format(
        phases=sql_list(phases), outcomes=sql_list(OUTCOMES), plan=sql_list([str(folder.plan)]),
        times=", ".join(TIME_FIELDS), durations=", ".join(DURATION_FIELDS),
    )  # fmt: skip
    with database(journal=rows) as connection:
        write_parquet(connection, query, into, made_from=made_from, compression=compression)


def _stamp(folder: RunFolder, record: RunRecord) -> str:
    """What attempts.parquet depends on: how far the journals reach (they only grow), the plan, and the phases."""
    sizes = [f"{path.name} {path.stat().st_size}" for path in [*journal_files(folder.journal), folder.plan]]
    phases = [f"{phase.name} {phase.start_s} {phase.end_s}" for phase in record.phases]
    return "; ".join([*sizes, *phases])


def _columns(records: npt.NDArray[np.void], worker: npt.NDArray[np.int32]) -> dict[str, Column]:
    """Records as columns for the query: texts as numbers from 1, what is not known masked or NaN."""
    unfinished = records["kind"] == RecordKind.BEGIN
    columns: dict[str, Column] = {
        "row_number": np.arange(len(records)),
        "page": records["page"].astype(np.int64),
        "attempt": records["attempt"].astype(np.int32),
        "outcome": np.where(unfinished, _CENSORED, records["outcome"]).astype(np.int64) + 1,
        "status": np.ma.masked_equal(records["status"].astype(np.int32), 0),
        "sent_bytes": records["sent_bytes"].astype(np.int64),
        "resent_bytes": records["resent_bytes"].astype(np.int64),
        "worker": worker,
    }
    for name in (*TIME_FIELDS, *DURATION_FIELDS):
        columns[name] = np.ma.masked_invalid(records[name].astype(np.float64))
    return columns


def _phases_at(due_s: FloatArray, phases: Sequence[PhaseRecord]) -> IntArray:
    """Numbers of the phases in which the times lie; those before the first or after the last go to the nearest."""
    if not phases:
        return np.zeros(len(due_s), dtype=np.int64)
    starts = np.array([phase.start_s for phase in phases])
    return np.clip(np.searchsorted(starts, np.asarray(due_s), side="right") - 1, 0, None)
