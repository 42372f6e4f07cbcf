"""The status of every planned page and stored copy, one each, after Jepsen's set checker.

Pure but for `load_page_statuses`: arrays in, arrays out. `harness.analysis.stored_match` reads what the server has stored;
whether anything is unsafe, and what that means for the run, is decided in `harness.judge.audit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.stored_match import CopyMatch, StoredCopies, load_stored_copies
from harness.analysis.summary import AuditCounts
from harness.base.model import ALL_STATUSES, UNSAFE_STATUSES, Outcome, PageStatus

if TYPE_CHECKING:
    import numpy.typing as npt

    from harness.analysis.rows import Rows
    from harness.run_folder.layout import RunFolder

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]


REFUSALS = frozenset({Outcome.REJECTED, Outcome.UNREADABLE, Outcome.THROTTLED})
"""A 4xx status: the server states that it has not stored the page."""
NEVER_REACHED_SERVER = frozenset({Outcome.REFUSED, Outcome.TIMEOUT_CONNECT, Outcome.WITHHELD})
"""Not a byte of the page has left the client."""


class StoredByDeadline(IntEnum):
    """Whether a page was stored by the deadline."""

    NO = 0
    YES = 1
    UNKNOWN = 2
    """It is stored, was not acknowledged in time, and the server does not report since when it has been stored."""


@dataclass(frozen=True)
class PageStatuses:
    """What the client knows of each page and what the server has stored. Arrays over pages are in the plan's order.

    Everything that needs the store raises ValueError if it could not be read, except `counts`.
    """

    attempted: BoolArray
    acknowledged: BoolArray
    """A final 2xx arrived; a 202 is not final."""
    refused: BoolArray
    """Every attempt that reached the server was answered with a refusal, so the page must not be stored."""
    stored: StoredCopies | None
    """None if the server's store could not be read."""
    unread_reason: str
    """Why it could not be read; else empty."""
    undetectable: frozenset[str] = frozenset()
    """Statuses that the way in which the store was read cannot show."""
    journal_gaps: tuple[str, ...] = ()
    """Why the journal may lack attempts, and with them acknowledgements; one sentence each."""

    @cached_property
    def copy_counts(self) -> IntArray:
        """How many copies of each page are stored, under whatever key."""
        return self._count(np.ones(len(self._stored.page), dtype=np.bool_))

    @cached_property
    def as_planned(self) -> BoolArray:
        """Pages of which a copy is stored under their key and with their bytes."""
        return self._count(self._stored.match == CopyMatch.EXACT) > 0

    @cached_property
    def status_number(self) -> IntArray:
        """The status of each page, as its index in `ALL_STATUSES`."""
        stored = self._stored
        is_stored = self.copy_counts > 0
        # In the order of precedence: np.select takes the first condition that holds.
        conditions = {
            PageStatus.MISFILED: self._count(stored.match == CopyMatch.OTHER_KEY) > 0,
            PageStatus.CORRUPTED: self._count(stored.match == CopyMatch.OTHER_BYTES) > 0,
            PageStatus.ALTERED: self._count(stored.altered) > 0,
            PageStatus.DUPLICATED: self.copy_counts > 1,
            PageStatus.RESURRECTED: is_stored & self.refused,
            PageStatus.LOST: self.acknowledged & ~is_stored,
            PageStatus.OK: self.acknowledged,
            PageStatus.RECOVERED: is_stored,
            PageStatus.UNDELIVERED: self.attempted,
        }
        numbers = [ALL_STATUSES.index(status) for status in conditions]
        chosen: IntArray = np.select(list(conditions.values()), numbers, ALL_STATUSES.index(PageStatus.UNATTEMPTED))
        return chosen

    @property
    def undetected(self) -> list[PageStatus]:
        """Unsafe statuses that no page has and none could have been found to have: the store does not show them."""
        hidden = self.undetectable | (frozenset() if self._stored.has_readings else {PageStatus.ALTERED})
        return [status for status in UNSAFE_STATUSES if status in hidden and not self._occurs(status)]

    def _occurs(self, status: PageStatus) -> bool:
        return len(self.unexpected if status is PageStatus.UNEXPECTED else self.pages(status)) > 0

    @property
    def unexpected(self) -> IntArray:
        """Rows of stored.parquet that belong to no planned page."""
        return np.flatnonzero(self._stored.page < 0)

    def pages(self, status: PageStatus) -> IntArray:
        """The pages with this status, as rows of the plan."""
        return np.flatnonzero(self.status_number == ALL_STATUSES.index(status))

    @cached_property
    def counts(self) -> AuditCounts:
        """The number of pages with each status, and of unexpected copies.

        If the store could not be read, only what needs no store is known: what was never attempted. A status that the way
        in which the store was read cannot show is None too, and does not count as unsafe.
        """
        if self.stored is None:
            unknown: dict[str, int | None] = dict.fromkeys(ALL_STATUSES)
            never = int((~self.attempted).sum())
            return AuditCounts(**{**unknown, PageStatus.UNATTEMPTED: never}, unsafe=None)
        numbers = np.bincount(self.status_number, minlength=len(ALL_STATUSES))
        found = {str(status): int(numbers[number]) for number, status in enumerate(ALL_STATUSES)}
        found[PageStatus.UNEXPECTED] = len(self.unexpected)
        unsafe = sum(found[status] for status in UNSAFE_STATUSES)
        hidden: dict[str, int | None] = dict.fromkeys(self.undetected)
        return AuditCounts(**{**found, **hidden}, unsafe=unsafe)

    def stored_by(self, acknowledged_s: FloatArray, deadline_s: float, t0_epoch: float | None) -> IntArray:
        """Whether each page was stored as planned by the deadline, as `StoredByDeadline`.

        `acknowledged_s` and `deadline_s` are seconds since T0, `t0_epoch` is T0 in Unix seconds. An acknowledgement in time
        is proof; without one the server's own clock decides.
        """
        first_at = np.full(len(self.attempted), np.inf)
        own = self._stored.match == CopyMatch.EXACT
        np.fmin.at(first_at, self._stored.page[own], self._stored.stored_at[own])
        early = first_at - (np.nan if t0_epoch is None else t0_epoch) <= deadline_s
        has_time = np.isfinite(first_at) & (t0_epoch is not None)
        conditions = [~self.as_planned, acknowledged_s <= deadline_s, ~has_time, early]
        answers = [StoredByDeadline.NO, StoredByDeadline.YES, StoredByDeadline.UNKNOWN, StoredByDeadline.YES]
        chosen: IntArray = np.select(conditions, answers, StoredByDeadline.NO)
        return chosen

    @property
    def _stored(self) -> StoredCopies:
        if self.stored is None:
            raise ValueError(self.unread_reason)
        return self.stored

    def _count(self, chosen: BoolArray) -> IntArray:
        """How many of the chosen copies belong to each page."""
        pages = self._stored.page[chosen & (self._stored.page >= 0)]
        return np.bincount(pages, minlength=len(self.attempted))


def load_page_statuses(folder: RunFolder, rows: Rows) -> PageStatuses:
    """The status of every page of a run. Raises RunFolderError if plan.parquet is broken."""
    stored, unread_reason = load_stored_copies(folder, rows.record)
    undetectable = frozenset(rows.record.stock.unseen if rows.record.stock else ())
    refused = find_refused_pages(rows)
    return PageStatuses(
        rows.attempted, rows.delivered, refused, stored, unread_reason, undetectable, find_journal_gaps(rows)
    )


def find_journal_gaps(rows: Rows) -> tuple[str, ...]:
    """Why there may have been attempts that the journal lacks; empty if it is complete."""
    record = rows.record
    torn = (
        record.ended is None
        or record.ended.how in {"crashed", "killed"}
        or any(worker.lost for worker in record.workers)
    )
    reported = sum(worker.attempts for worker in record.workers)
    gaps = []
    if torn:
        gaps.append("the run was broken off: what was acknowledged in its last moments is not known")
    if len(rows.attempts.page) < reported:
        gaps.append(
            f"the journal contains {len(rows.attempts.page):,} of the {reported:,} attempts that the workers made"
        )
    return tuple(gaps)


def find_refused_pages(rows: Rows) -> BoolArray:
    """Pages that were refused and cannot have been stored unnoticed. Shape (pages,).

    One attempt that ended without an answer, or with a 5xx or a 202, leaves open whether the server stored the page; so does
    one that the journal may lack, which rules out all pages. A refusal at a step after the one that sends the photo says
    nothing about the photo.
    """
    if find_journal_gaps(rows):
        return np.zeros(rows.pages, dtype=np.bool_)
    attempts = rows.attempts
    refusal = attempts.ended_as(REFUSALS)
    left_open = ~refusal & ~attempts.ended_as(NEVER_REACHED_SERVER)
    refused = np.zeros(rows.pages, dtype=np.bool_)
    refused[attempts.page[refusal]] = True
    refused[attempts.page[left_open]] = False  # after the line above: a single open attempt outweighs every refusal
    refused[rows.photo_taken] = False
    return refused
