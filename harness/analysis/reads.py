"""The reads of readers: journals -> reads.parquet, one row per read that ended, and their figures.

They are not attempts: no figure of pages or stations, and nothing that decides on validity, is computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from harness.analysis.attempts_table import journal_files, read_in_parts, worker_rank
from harness.analysis.durations import compute_distribution
from harness.analysis.selection import LabelMatcher, Selection, all_match, matchers_on
from harness.analysis.summary import Distribution, Readers
from harness.base.model import ANSWERED, DELIVERED, OUTCOMES, TIMED_OUT, Outcome
from harness.plan.readers import count_reads, resource_names
from harness.run_folder.journal import RECORD, RecordKind
from harness.run_folder.layout import RunFolder, RunRecord
from harness.run_folder.parquet import database, fetch_columns, read_made_from, sql_list, write_parquet
from harness.scenario.readers import ReaderOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from harness.run_folder.parquet import Column

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]

READ_METRICS = ("reads", "reader_seconds")
"""Metrics whose rows are reads."""
_WRITE = """
    SELECT {resources}[resource] AS resource, due_s, sent_s, connected_s, first_byte_s, done_s, {outcomes}[outcome] AS outcome,
        status, worker
    FROM reads ORDER BY due_s, worker
"""
_READ = """
    SELECT resource, due_s, done_s, enum_code(outcome::ENUM({outcomes})) AS outcome, worker
    FROM read_parquet(?, hive_partitioning = false, file_row_number = true) ORDER BY file_row_number
"""
_TIMES = ("due_s", "sent_s", "connected_s", "first_byte_s", "done_s")


@dataclass(frozen=True, slots=True)
class ReadColumns:
    """The reads of a run, by due time. Shapes (reads,); times in seconds since T0, NaN where not reached."""

    resource: npt.NDArray[np.object_]
    due_s: FloatArray
    done_s: FloatArray
    outcome: npt.NDArray[np.uint8]
    """Number in `OUTCOMES`."""
    worker: npt.NDArray[np.integer]

    def ended_as(self, outcomes: Iterable[Outcome]) -> BoolArray:
        """Which reads had one of these outcomes."""
        chosen = np.zeros(len(OUTCOMES), dtype=np.bool_)
        chosen[[OUTCOMES.index(outcome) for outcome in outcomes]] = True
        return chosen[self.outcome]

    @property
    def timed(self) -> BoolArray:
        """Which reads were answered or timed out: only these have a response time, as with attempts."""
        return self.ended_as(ANSWERED | TIMED_OUT) & np.isfinite(self.done_s - self.due_s)


def reader_options(record: RunRecord) -> ReaderOptions | None:
    """The readers of a run's scenario; None if it had none, or a newer version's that can't be read here."""
    content: Any = record.scenario.get("readers")
    try:
        return None if content is None else ReaderOptions.model_validate(content)
    except ValidationError:
        return None


def load_reads(folder: RunFolder, record: RunRecord) -> ReadColumns:
    """The reads of a run; writes reads.parquet if it is missing or older than the journal. Without readers: none.

    Raises RunFolderError if reads.parquet can't be read.
    """
    options = reader_options(record)
    if options is None:
        return ReadColumns(np.empty(0, dtype=object), np.empty(0), np.empty(0), np.empty(0, np.uint8), np.empty(0, int))
    sizes = "; ".join(f"{path.name} {path.stat().st_size}" for path in journal_files(folder.journal))
    if (sizes and read_made_from(folder.reads) != sizes) or not folder.reads.exists():
        _write(folder, options, sizes)
    with database() as connection:
        query = _READ.format(outcomes=sql_list(OUTCOMES)[1:-1])
        return ReadColumns(**fetch_columns(connection, query, folder.reads))


def compute_reader_figures(reads: ReadColumns, record: RunRecord, stop_s: float) -> Readers | None:
    """The figures of the readers; None if the run had none. Of a worker that never reported, reads were due until `stop_s`."""
    options = reader_options(record)
    if options is None:
        return None
    answered = int(reads.ended_as(DELIVERED).sum())
    planned = sum(
        count_reads(options, record.seed, stop_s if until_s is None else until_s, rank, len(record.workers))
        for rank, until_s in enumerate(worker.reads_until_s for worker in record.workers)
    )
    ended = len(reads.due_s)
    # A read that began just before its worker noted the end may be due a moment after it.
    planned = max(planned, ended)
    return Readers(
        planned=planned,
        answered=answered,
        failed=ended - answered,
        unfinished=planned - ended,
        answered_ratio=answered / planned if planned else None,
        by_outcome=_by_outcome(reads),
        reader_seconds=_distribution(reads, record.warm_up_s),
    )


def select_reads(reads: ReadColumns, metric: str, matchers: Sequence[LabelMatcher], warm_up_s: float) -> Selection:
    """The rows of the metric `reads` or `reader_seconds` that the matchers select, without those due in the warm-up."""
    population = (reads.due_s >= warm_up_s) & (
        np.isfinite(reads.done_s - reads.due_s) if metric == "reader_seconds" else True
    )
    for label, column in (("resource", reads.resource), ("worker", reads.worker.astype(str))):
        if found := matchers_on(matchers, label):
            values, number = np.unique(column.astype(str), return_inverse=True)
            matching = np.array([all_match(found, [(label, str(value))]) for value in values], dtype=np.bool_)
            population &= matching[number]
    if of_outcome := matchers_on(matchers, "outcome"):
        matching = np.array([all_match(of_outcome, [("outcome", str(outcome))]) for outcome in OUTCOMES])
        chosen = population & matching[reads.outcome]
    elif metric == "reader_seconds":
        # As with attempts: a refused connection is over in no time and must not improve a response time unasked.
        chosen = population = population & reads.timed
    else:
        chosen = population
    value = reads.done_s - reads.due_s if metric == "reader_seconds" else np.full(len(reads.due_s), np.nan)
    return Selection(reads.due_s[chosen], value[chosen], reads.due_s[population])


def _by_outcome(reads: ReadColumns) -> dict[str, int]:
    counts = np.bincount(reads.outcome, minlength=len(OUTCOMES))
    order = sorted(range(len(OUTCOMES)), key=lambda number: (-counts[number], number))
    return {str(OUTCOMES[number]): int(counts[number]) for number in order if counts[number]}


def _distribution(reads: ReadColumns, warm_up_s: float) -> Distribution:
    chosen = reads.timed & (reads.due_s >= warm_up_s)
    return compute_distribution(np.sort((reads.done_s - reads.due_s)[chosen]))


def _write(folder: RunFolder, options: ReaderOptions, made_from: str) -> None:
    """Write reads.parquet from the journals."""
    parts = [np.empty(0, dtype=RECORD)]
    ranks = [np.empty(0, dtype=np.int32)]
    for path in journal_files(folder.journal):
        for records in read_in_parts(path):
            reads = records[records["kind"] == RecordKind.READ]
            parts.append(reads)
            ranks.append(np.full(len(reads), worker_rank(path), dtype=np.int32))
    found = np.concatenate(parts)
    columns: dict[str, Column] = {
        "resource": found["page"].astype(np.int64) + 1,  # SQL lists count from 1
        "outcome": found["outcome"].astype(np.int64) + 1,
        "status": np.ma.masked_equal(found["status"].astype(np.int32), 0),
        "worker": np.concatenate(ranks),
        **{name: np.ma.masked_invalid(found[name].astype(np.float64)) for name in _TIMES},
    }
    resources: Sequence[str] = resource_names(options)
    query = _WRITE.format(resources=sql_list(resources), outcomes=sql_list(OUTCOMES))
    with database(reads=columns) as connection:
        write_parquet(connection, query, folder.reads, made_from=made_from)
