"""The audit: whether the server kept what it acknowledged, and whether everything arrived. After Jepsen's set checker.

The photos that must arrive are known beforehand, so what is stored in the end can be compared with the plan byte for byte.
There are two verdicts: safety (nothing acknowledged is lost, and nothing is stored that should not be) and liveness
(everything is stored by the deadline). Without evidence safety is unknown, never true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.page_status import PageStatuses, StoredByDeadline
from harness.analysis.stored_match import fetch_copies, fetch_pages
from harness.analysis.traces import trace_ids_of
from harness.base.model import ALL_STATUSES, UNSAFE_STATUSES, PageStatus
from harness.base.safe_files import load_json
from harness.judge.results import Audit, AuditedPage, AuditSets, PlannedPage, StoredCopy, Tristate
from harness.run_folder.layout import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from harness.analysis.rows import Rows

    BoolArray = npt.NDArray[np.bool_]
    IntArray = npt.NDArray[np.int64]

LATE = "late"
"""Stored as planned, but not by the deadline."""
MAX_LISTED_PAGES = 10_000
"""Most pages that audit.json lists for each status; the counts are exact however many there are."""


def audit_run(folder: RunFolder, rows: Rows, statuses: PageStatuses) -> Audit:
    """The audit of a run; writes nothing."""
    counts, doubts = statuses.counts, list(_doubts(statuses))
    is_read = statuses.stored is not None
    in_time = _stored_by_deadline(rows, statuses) if is_read else np.empty(0, dtype=np.int64)
    listed = {status: _select(statuses, status) for status in UNSAFE_STATUSES} if is_read else {}
    return Audit(
        run=rows.record.id,
        safety=False if counts.unsafe else "unknown" if doubts else True,
        liveness=_liveness(statuses, in_time),
        doubts=doubts,
        sets=AuditSets(
            planned=rows.pages,
            attempted=int(statuses.attempted.sum()),
            acknowledged=int(statuses.acknowledged.sum()),
            refused=int(statuses.refused.sum()),
            held=None if statuses.stored is None else len(statuses.stored.page),
            by_size=0 if rows.record.stock is None else rows.record.stock.by_size,
            same_bytes=0 if rows.record.stock is None else rows.record.stock.same_bytes,
            earlier=0 if rows.record.stock is None else rows.record.stock.earlier,
        ),
        counts=counts,
        missed=int((in_time == StoredByDeadline.NO).sum()) if is_read else None,
        missed_by=_missed_by(statuses, in_time == StoredByDeadline.NO) if is_read else {},
        pages={str(status): _list_pages(folder, rows, statuses, status) for status in listed},
        not_listed={str(status): max(0, len(chosen) - MAX_LISTED_PAGES) for status, chosen in listed.items()},
    )


def load_audit(folder: RunFolder) -> Audit | None:
    """The content of audit.json; None if there is none. Raises RunFolderError if it is not a valid audit."""
    return load_json(folder.audit, Audit)


def _doubts(statuses: PageStatuses) -> Iterator[str]:
    """Why safety cannot be confirmed, one sentence each."""
    if statuses.stored is None:
        yield f"what the server has stored is not known: {statuses.unread_reason}"
    if not statuses.acknowledged.any():
        yield "nothing was acknowledged, so nothing is proved"
    yield from statuses.journal_gaps


def _stored_by_deadline(rows: Rows, statuses: PageStatuses) -> IntArray:
    return statuses.stored_by(rows.acknowledged_s, rows.record.deadline_s, rows.record.t0_epoch)


def _missed_by(statuses: PageStatuses, missed: BoolArray) -> dict[str, int]:
    """The status of the pages that were not stored by the deadline; each page is counted once."""
    late = int((missed & statuses.as_planned).sum())
    numbers = np.bincount(statuses.status_number[missed & ~statuses.as_planned], minlength=len(ALL_STATUSES))
    found = {LATE: late, **{str(status): int(count) for status, count in zip(ALL_STATUSES, numbers, strict=True)}}
    return {status: count for status, count in found.items() if count}


def _liveness(statuses: PageStatuses, in_time: IntArray) -> Tristate:
    """Whether every page is stored, as it was planned, by the deadline."""
    if statuses.stored is None:
        # Without the store one thing is certain: a page that was not attempted is not stored.
        is_known = bool((~statuses.attempted).any()) and not statuses.journal_gaps
        return False if is_known else "unknown"
    if (in_time == StoredByDeadline.NO).any():
        return False
    return "unknown" if (in_time == StoredByDeadline.UNKNOWN).any() else True


def _select(statuses: PageStatuses, status: PageStatus) -> IntArray:
    """Rows of the plan with a status; for unexpected copies, rows of stored.parquet."""
    return statuses.unexpected if status is PageStatus.UNEXPECTED else statuses.pages(status)


def _list_pages(folder: RunFolder, rows: Rows, statuses: PageStatuses, status: PageStatus) -> list[AuditedPage]:
    """The pages with a status, with what was expected and what was found; at most `MAX_LISTED_PAGES`."""
    chosen = _select(statuses, status)[:MAX_LISTED_PAGES]
    if statuses.stored is None or not len(chosen):
        return []
    if status is PageStatus.UNEXPECTED:
        found = _iterate_rows(fetch_copies(folder, statuses.stored, chosen))
        return [AuditedPage(**_key(row), acknowledged_s=None, expected=None, found=[_copy(row)]) for row in found]
    copies: dict[int, list[StoredCopy]] = {int(page): [] for page in chosen}
    own_copies = np.flatnonzero(np.isin(statuses.stored.page, chosen))
    for row in _iterate_rows(fetch_copies(folder, statuses.stored, own_copies)):
        copies[int(row["plan_page"])].append(_copy(row))
    acknowledged_s = rows.acknowledged_s[chosen].tolist()
    planned = [*_iterate_rows(fetch_pages(folder, chosen))]
    traces = trace_ids_of(folder, rows.record, [(row["station"], row["form"], row["page"]) for row in planned])
    return [
        AuditedPage(
            **_key(row),
            acknowledged_s=at_s if np.isfinite(at_s) else None,
            expected=PlannedPage(sha256=row["sha256"], size_bytes=row["size_bytes"], reading=row["reading"]),
            found=copies[int(page)],
            trace_ids=traces.get((row["station"], row["form"], row["page"]), []),
        )
        for page, at_s, row in zip(chosen, acknowledged_s, planned, strict=True)
    ]


def _iterate_rows(columns: dict[str, Any]) -> Iterator[dict[str, Any]]:
    names = list(columns)
    for values in zip(*(columns[name].tolist() for name in names), strict=True):
        yield dict(zip(names, values, strict=True))


def _key(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("station", "form", "page")}


def _copy(row: dict[str, Any]) -> StoredCopy:
    stored_at = row["stored_at"]
    rest = {name: row[name] for name in ("sha256", "size_bytes", "reading")}
    return StoredCopy(**_key(row), **rest, stored_at=stored_at if np.isfinite(stored_at) else None)
