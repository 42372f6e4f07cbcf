"""The requests of uploads that take several steps: journals -> steps.parquet, one row per request, and their figures.

An attempt stays one row of attempts.parquet, whatever its steps; `step` there is the one that decided how it ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.attempts_table import journal_files, read_in_parts, worker_rank
from harness.analysis.durations import compute_distribution
from harness.analysis.step_names import has_steps, step_names
from harness.analysis.summary import StepFigures
from harness.base.model import OUTCOMES, REASONS
from harness.run_folder.journal import RECORD, RecordKind
from harness.run_folder.layout import RunFolder, RunRecord
from harness.run_folder.parquet import (
    database,
    fetch_columns,
    parquet_path,
    read_made_from,
    sql_list,
    write_parquet,
)

if TYPE_CHECKING:
    from harness.run_folder.parquet import Column

NO_ANSWER = "no answer"
_TIMES = ("sent_s", "body_sent_s", "first_byte_s", "done_s")
_WRITE = """
    SELECT plan.station, plan.form, plan.page, attempt, {names}[step] AS step, nullif(part, 0) AS part, {times},
        {outcomes}[outcome] AS outcome, status, {reasons}[reason] AS reason, sent_bytes, worker
    FROM steps JOIN (
        SELECT station, form, page, file_row_number AS row FROM read_parquet({plan}, hive_partitioning = false, file_row_number = true)
    ) AS plan ON plan.row = steps.page
    ORDER BY sent_s, plan.station, plan.form, plan.page, attempt, step, part
"""
_READ = "SELECT step, coalesce(status, 0) AS status, sent_s, done_s FROM read_parquet(?, hive_partitioning = false)"


def compute_step_figures(folder: RunFolder, record: RunRecord) -> list[StepFigures]:
    """The figures of each step, in their order; empty for an upload of one request.

    Writes steps.parquet if it is missing or older than the journal. Raises RunFolderError if it can't be read.
    """
    if not has_steps(record):
        return []
    sizes = "; ".join(f"{path.name} {path.stat().st_size}" for path in journal_files(folder.journal))
    if (sizes and read_made_from(folder.steps) != sizes) or not folder.steps.exists():
        _write(folder, step_names(record), sizes)
    with database() as connection:
        rows = fetch_columns(connection, _READ, folder.steps)
    return [_figures_of(name, rows, rows["step"] == name) for name in step_names(record)]


def _figures_of(name: str, rows: dict[str, Column], chosen: Column) -> StepFigures:
    status, took_s = rows["status"][chosen], (rows["done_s"] - rows["sent_s"])[chosen]
    answered = status > 0
    values, counts = np.unique(status.astype(np.int64), return_counts=True)
    order = sorted(zip(values.tolist(), counts.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return StepFigures(
        name=name,
        requests=len(status),
        by_status={str(value) if value else NO_ANSWER: count for value, count in order},
        seconds=compute_distribution(np.sort(took_s[answered & np.isfinite(took_s)])),
    )


def _write(folder: RunFolder, names: Sequence[str], made_from: str) -> None:
    """Write steps.parquet from the journals."""
    parts, ranks = [np.empty(0, dtype=RECORD)], [np.empty(0, dtype=np.int32)]
    for path in journal_files(folder.journal):
        for records in read_in_parts(path):
            chosen = records[records["kind"] == RecordKind.STEP]
            parts.append(chosen)
            ranks.append(np.full(len(chosen), worker_rank(path), dtype=np.int32))
    found = np.concatenate(parts)
    columns: dict[str, Column] = {
        "page": found["page"].astype(np.int64),
        "attempt": found["attempt"].astype(np.int32),
        "step": found["step"].astype(np.int64),  # SQL lists count from 1, as steps do
        "part": found["resent_bytes"].astype(np.int32),
        "outcome": found["outcome"].astype(np.int64) + 1,
        "reason": np.ma.masked_equal(found["reason"].astype(np.int64) + 1, 1),
        "status": np.ma.masked_equal(found["status"].astype(np.int32), 0),
        "sent_bytes": found["sent_bytes"].astype(np.int64),
        "worker": np.concatenate(ranks),
        **{name: np.ma.masked_invalid(found[name].astype(np.float64)) for name in _TIMES},
    }
    query = _WRITE.format(
        names=sql_list(names), outcomes=sql_list(OUTCOMES), reasons=sql_list(REASONS), times=", ".join(_TIMES),
        plan=sql_list([parquet_path(folder.plan)]),
    )  # fmt: skip
    with database(steps=columns) as connection:
        write_parquet(connection, query, folder.steps, made_from=made_from)
