"""Journal -> attempts.parquet: a row an attempt, and what the journal says of pages that were given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import BrokenRunError
from harness.figures.parquet import copy_to, database, fetch, load, made_from
from harness.figures.tables import must_exist
from harness.measure import journal
from harness.measure.journal import GaveUp, Kind
from harness.model import OUTCOMES, Outcome
from harness.runfolder import PhaseRecord, RunFolder, RunRecord

if TYPE_CHECKING:
    import numpy.typing as npt

    from harness.figures.parquet import Column

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

CLEAR = "clear"
"""Name of the phase in which no fault is active."""

_TIMES = ("due_s", "sent_s", "connected_s", "body_sent_s", "first_byte_s", "done_s")
_SPANS = ("retry_after_s", "login_s", "queue_s", "server_s")
_CENSORED = OUTCOMES.index(Outcome.CENSORED)
_ROWS = """
    SELECT plan.station, plan.form, plan.page, attempt, phase, due_s, sent_s, connected_s, body_sent_s, first_byte_s,
        done_s, outcome, status, sent_bytes, resent_bytes, retry_after_s, login_s, queue_s, server_s, worker
    FROM journal JOIN plan ON plan.row_number = journal.page ORDER BY journal.row_number
"""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Pages that will not be tried again, each once: index in the plan, when, and why (a `GaveUp`). Shape (n,)."""

    page: IntArray
    at_s: FloatArray
    reason: IntArray


def write_attempts(folder: RunFolder) -> int:
    """Make attempts.parquet from the journal; gives the number of its rows.

    Sorted by due time, page's row in the plan, attempt. An attempt that began and never ended is censored. Where an
    attempt has ended more than once, the last record counts. The phase is that of the due time. Raises BrokenRunError
    where run.json or plan.parquet is missing, or the journal names a page or an outcome that there is not.
    """
    record = folder.read_run()
    must_exist(folder.plan)
    stamp = _stamp(folder, record)
    rows = _attempts_in(folder.journal)
    rows["row_number"] = np.arange(len(rows["page"]))
    rows["phase"] = _phases_at(rows["due_s"], record.phases)
    rows["outcome"] = np.array([str(outcome) for outcome in OUTCOMES], dtype=object)[rows["outcome"]]
    with database(journal=rows) as connection:
        load(connection, "plan", "station, form, page", folder.plan)
        pages = int(fetch(connection, "SELECT count(*) AS pages FROM plan", folder.plan)["pages"][0])
        if len(rows["page"]) and int(rows["page"].max()) >= pages:
            message = f"{folder.journal} names page {int(rows['page'].max())}, but the plan has {pages} pages"
            raise BrokenRunError(message)
        copy_to(connection, _ROWS, folder.attempts, made_from=stamp)
    return len(rows["page"])


def up_to_date(folder: RunFolder, record: RunRecord) -> bool:
    """Whether attempts.parquet is what `write_attempts` would make; true where there is nothing to make it from."""
    if not journals(folder.journal):
        return folder.attempts.exists()
    return made_from(folder.attempts) == _stamp(folder, record)


def read_given_up(folder: Path) -> GivenUp:
    """What the journal in `folder` says of pages that were given up; nothing where there is no journal."""
    records = [
        records[records["kind"] == Kind.GAVE_UP] for records in (journal.read(path) for path in journals(folder))
    ]
    together = np.concatenate(records) if records else np.empty(0, dtype=journal.RECORD)
    together = together[np.isin(together["status"], [int(reason) for reason in GaveUp])]
    page, first = np.unique(together["page"], return_index=True)
    chosen = together[first]
    return GivenUp(page.astype(np.int64), chosen["done_s"].astype(np.float64), chosen["status"].astype(np.int64))


def journals(folder: Path) -> list[Path]:
    """Journal files in a folder, sorted by the worker's rank."""
    return sorted(folder.glob("worker-*.journal"))


def _stamp(folder: RunFolder, record: RunRecord) -> str:
    """What attempts.parquet depends on: how far the journals reach (they only grow), the plan, and the phases."""
    sizes = [f"{path.name} {path.stat().st_size}" for path in [*journals(folder.journal), folder.plan]]
    phases = [f"{phase.name} {phase.start_s} {phase.end_s}" for phase in record.phases]
    return "; ".join([*sizes, *phases])


def _attempts_in(folder: Path) -> dict[str, Column]:
    parts, ranks = [], []
    for path in journals(folder):
        records = journal.read(path)
        parts.append(records)
        ranks.append(np.full(len(records), _rank(path), dtype=np.int32))
    together = np.concatenate(parts) if parts else np.empty(0, dtype=journal.RECORD)
    worker = np.concatenate(ranks) if ranks else np.empty(0, dtype=np.int32)
    if len(together) and int(together["outcome"].max()) >= len(OUTCOMES):
        message = f"{folder} has an outcome number {int(together['outcome'].max())} that this program doesn't know"
        raise BrokenRunError(message)
    chosen = _last_of_each(together)
    chosen = chosen[np.argsort(together["due_s"][chosen], kind="stable")]
    return _columns(together.take(chosen), worker.take(chosen))


def _last_of_each(records: npt.NDArray[np.void]) -> IntArray:
    """Where the record stands that counts for each attempt: the last END, else the BEGIN. By page, then attempt."""
    kind = records["kind"]
    which = np.flatnonzero((kind == Kind.BEGIN) | (kind == Kind.END))
    page, attempt = records["page"].astype(np.uint64)[which], records["attempt"].astype(np.uint64)[which]
    key = (page << np.uint64(33)) | (attempt << np.uint64(1)) | (kind[which] == Kind.END)
    order = np.argsort(key, kind="stable")
    of = key[order] >> np.uint64(1)
    last = np.ones(len(which), dtype=np.bool_)
    last[:-1] = of[1:] != of[:-1]
    return which[order[last]]


def _columns(records: npt.NDArray[np.void], worker: npt.NDArray[np.int32]) -> dict[str, Column]:
    unfinished = records["kind"] == Kind.BEGIN
    columns: dict[str, Column] = {
        "page": records["page"].astype(np.int64),
        "attempt": records["attempt"].astype(np.int32),
        "outcome": np.where(unfinished, _CENSORED, records["outcome"]),
        "status": np.ma.masked_equal(records["status"].astype(np.int32), 0),
        "sent_bytes": records["sent_bytes"].astype(np.int64),
        "resent_bytes": records["resent_bytes"].astype(np.int64),
        "worker": worker,
    }
    for name in (*_TIMES, *_SPANS):
        columns[name] = np.ma.masked_invalid(records[name].astype(np.float64))
    return columns


def _phases_at(due_s: FloatArray, phases: Sequence[PhaseRecord]) -> Column:
    """Names of the phases in which the times lie; those before the first or after the last go to the nearest."""
    if not phases:
        return np.full(len(due_s), CLEAR, dtype=object)
    starts = np.array([phase.start_s for phase in phases])
    number = np.clip(np.searchsorted(starts, np.asarray(due_s), side="right") - 1, 0, None)
    names: npt.NDArray[Any] = np.array([phase.name for phase in phases], dtype=object)
    return names[number]


def _rank(path: Path) -> int:
    try:
        return int(path.stem.removeprefix("worker-"))
    except ValueError:
        message = f"{path} is no journal: its name has no worker's rank"
        raise BrokenRunError(message) from None
