"""The audit: whether the server kept what it acknowledged, and whether everything arrived. After Jepsen's set checker.

Every photo that had to arrive is known beforehand, so what is held in the end can be held against the plan, byte for byte.
Two verdicts: safety (nothing acknowledged is lost, and nothing is held that should not be) and liveness (everything is held
by the deadline). Safety is never true for want of evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from harness.analysis.page_status import ALL_STATUSES, UNSAFE_STATUSES, PageStatus, PageStatuses, StoredByDeadline
from harness.analysis.stored_match import fetch_copies, fetch_pages
from harness.base.errors import RunFolderError
from harness.base.safe_files import explain_unreadable, read_bounded
from harness.judge.results import Audit, AuditedPage, AuditSets, PlannedPage, StoredCopy, Tristate
from harness.run_folder.layout import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from harness.analysis.rows import Rows

    BoolArray = npt.NDArray[np.bool_]
    IntArray = npt.NDArray[np.int64]

LATE = "late"
"""Held as planned, but not by the deadline."""
MAX_LISTED_PAGES = 10_000
"""Most pages of a category that audit.json lists; the counts are exact whatever their number."""


def audit_run(folder: RunFolder, rows: Rows, fates: PageStatuses) -> Audit:
    """The audit of a run. Writes nothing."""
    counts, doubts = fates.counts, list(_doubts(fates))
    in_time = np.empty(0, dtype=np.int64) if fates.held is None else _in_time(rows, fates)
    listed = {} if fates.held is None else {category: _chosen(fates, category) for category in UNSAFE_STATUSES}
    return Audit(
        run=rows.record.id,
        safety=False if counts.unsafe else "unknown" if doubts else True,
        liveness=_liveness(fates, in_time),
        doubts=doubts,
        sets=AuditSets(
            planned=rows.pages,
            attempted=int(fates.attempted.sum()),
            acknowledged=int(fates.acknowledged.sum()),
            refused=int(fates.refused.sum()),
            held=None if fates.held is None else len(fates.held.page),
        ),
        counts=counts,
        missed=None if fates.held is None else int((in_time == StoredByDeadline.NO).sum()),
        missed_by={} if fates.held is None else _missed_by(fates, in_time == StoredByDeadline.NO),
        pages={str(category): _listed(folder, rows, fates, category) for category in listed},
        not_listed={str(category): max(0, len(chosen) - MAX_LISTED_PAGES) for category, chosen in listed.items()},
    )


def load_audit(folder: RunFolder) -> Audit | None:
    """The content of audit.json; None where there is none. Raises BrokenRunError where it is no audit."""
    try:
        return Audit.model_validate_json(read_bounded(folder.audit))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        message = f"{folder.audit} can't be read: {explain_unreadable(error)}"
        raise RunFolderError(message) from None


def _doubts(fates: PageStatuses) -> Iterator[str]:
    """Why safety can't be told to be true, in words."""
    if fates.held is None:
        yield f"what the server holds is not known: {fates.unread}"
    if not fates.acknowledged.any():
        yield "nothing was acknowledged, so nothing is proved"
    yield from fates.gaps


def _in_time(rows: Rows, fates: PageStatuses) -> IntArray:
    return fates.in_time(rows.acknowledged_s, rows.record.deadline_s, rows.record.t0_epoch)


def _missed_by(fates: PageStatuses, missed: BoolArray) -> dict[str, int]:
    """What became of the pages that were not held by the deadline: each is counted once."""
    late = int((missed & fates.as_planned).sum())
    numbers = np.bincount(fates.category[missed & ~fates.as_planned], minlength=len(ALL_STATUSES))
    found = {LATE: late, **{str(category): int(number) for category, number in zip(ALL_STATUSES, numbers, strict=True)}}
    return {word: number for word, number in found.items() if number}


def _liveness(fates: PageStatuses, in_time: IntArray) -> Tristate:
    """Whether every page is held, as it was planned, by the deadline."""
    if fates.held is None:
        is_known = bool((~fates.attempted).any()) and not fates.gaps
        return False if is_known else "unknown"
    if (in_time == StoredByDeadline.NO).any():
        return False
    return "unknown" if (in_time == StoredByDeadline.UNKNOWN).any() else True


def _chosen(fates: PageStatuses, category: PageStatus) -> IntArray:
    """Rows of the plan in a category; of the unexpected, rows of stored.parquet."""
    return fates.unexpected if category is PageStatus.UNEXPECTED else fates.pages(category)


def _listed(folder: RunFolder, rows: Rows, fates: PageStatuses, category: PageStatus) -> list[AuditedPage]:
    """The pages of a category, with what was expected and what was found; the first of them if they are many."""
    chosen = _chosen(fates, category)[:MAX_LISTED_PAGES]
    if fates.held is None or not len(chosen):
        return []
    if category is PageStatus.UNEXPECTED:
        found = _rows_of(fetch_copies(folder, fates.held, chosen))
        return [AuditedPage(**_key(row), acknowledged_s=None, expected=None, found=[_copy(row)]) for row in found]
    copies: dict[int, list[StoredCopy]] = {int(page): [] for page in chosen}
    held_of_them = np.flatnonzero(np.isin(fates.held.page, chosen))
    for row in _rows_of(fetch_copies(folder, fates.held, held_of_them)):
        copies[int(row["plan_page"])].append(_copy(row))
    acknowledged_s = rows.acknowledged_s[chosen].tolist()
    return [
        AuditedPage(
            **_key(row),
            acknowledged_s=at_s if np.isfinite(at_s) else None,
            expected=PlannedPage(sha256=row["sha256"], size_bytes=row["size_bytes"], reading=row["reading"]),
            found=copies[int(page)],
        )
        for page, at_s, row in zip(chosen, acknowledged_s, _rows_of(fetch_pages(folder, chosen)), strict=True)
    ]


def _rows_of(columns: dict[str, Any]) -> Iterator[dict[str, Any]]:
    names = list(columns)
    for values in zip(*(columns[name].tolist() for name in names), strict=True):
        yield dict(zip(names, values, strict=True))


def _key(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("station", "form", "page")}


def _copy(row: dict[str, Any]) -> StoredCopy:
    stored_at = row["stored_at"]
    rest = {name: row[name] for name in ("sha256", "size_bytes", "reading")}
    return StoredCopy(**_key(row), **rest, stored_at=stored_at if np.isfinite(stored_at) else None)
