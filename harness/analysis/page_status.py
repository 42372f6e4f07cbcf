"""What became of every planned page and of every copy that the server holds: one category each, after Jepsen's set checker.

Pure: arrays in, arrays out. `harness.analysis.stored_match` reads what the server holds; whether anything is unsafe, and what that
means for the run, is decided in `harness.judge.audit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.stored_match import CopyMatch, StoredCopies, load_stored_copies
from harness.analysis.summary import AuditCounts
from harness.base.model import Outcome

if TYPE_CHECKING:
    import numpy.typing as npt

    from harness.analysis.rows import Rows
    from harness.run_folder.layout import RunFolder

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]


class PageStatus(StrEnum):
    """What became of a page, in the order of precedence: a page has the first that fits."""

    MISFILED = "misfiled"
    """Its bytes are held under another key."""
    CORRUPTED = "corrupted"
    """Under its key are bytes that are no planned page's."""
    ALTERED = "altered"
    """Held with another reading than was sent."""
    DUPLICATED = "duplicated"
    """Held more than once."""
    RESURRECTED = "resurrected"
    """Held, although every answer to it was a refusal."""
    LOST = "lost"
    """Acknowledged, and not held."""
    UNEXPECTED = "unexpected"
    """A copy that is no planned page: neither its key nor its bytes."""
    OK = "ok"
    """Acknowledged and held, once and as it was sent."""
    RECOVERED = "recovered"
    """Held once and as it was sent, never acknowledged."""
    UNDELIVERED = "undelivered"
    """Attempted, neither acknowledged nor held."""
    UNATTEMPTED = "unattempted"
    """Never attempted, and not held."""


ALL_STATUSES = tuple(PageStatus)
UNSAFE_STATUSES = ALL_STATUSES[: ALL_STATUSES.index(PageStatus.OK)]
"""Categories that no server may bring about."""

REFUSALS = frozenset({Outcome.REJECTED, Outcome.UNREADABLE, Outcome.THROTTLED})
"""A 4xx status: the server says that it has not taken the page."""
NEVER_REACHED_SERVER = frozenset({Outcome.REFUSED, Outcome.TIMEOUT_CONNECT, Outcome.WITHHELD})
"""Not a byte of the page has left the client."""


class StoredByDeadline(IntEnum):
    """Whether a page was held by the deadline."""

    NO = 0
    YES = 1
    UNKNOWN = 2
    """It is held and was not acknowledged in time, and the server doesn't say since when it holds it."""


@dataclass(frozen=True)
class PageStatuses:
    """What the client knows of each page, and what the server holds. Arrays over pages have the plan's order."""

    attempted: BoolArray
    acknowledged: BoolArray
    """A final 2xx came; a 202 is none."""
    refused: BoolArray
    """Every attempt that reached the server was answered with a refusal: it must not be held."""
    held: StoredCopies | None
    """None where what the server holds could not be read."""
    unread: str
    """Why it could not be read, in words; else empty."""
    blind: frozenset[str] = frozenset()
    """Categories that the way to the store can't see."""
    gaps: tuple[str, ...] = ()
    """Why the journal may lack attempts, and acknowledgements with them."""

    @cached_property
    def copies(self) -> IntArray:
        """How many copies the server holds of each page, under whatever key."""
        return self._count(np.ones(len(self._held.page), dtype=np.bool_))

    @cached_property
    def as_planned(self) -> BoolArray:
        """Pages of which a copy is held under their key, with their bytes."""
        return self._count(self._held.place == CopyMatch.OWN) > 0

    @cached_property
    def category(self) -> IntArray:
        """Number in `ALL_STATUSES` of each page. Raises ValueError where the store could not be read."""
        held = self._held
        stands = self.copies > 0
        fits = {
            PageStatus.MISFILED: self._count(held.place == CopyMatch.FOREIGN) > 0,
            PageStatus.CORRUPTED: self._count(held.place == CopyMatch.SPOILT) > 0,
            PageStatus.ALTERED: self._count(held.altered) > 0,
            PageStatus.DUPLICATED: self.copies > 1,
            PageStatus.RESURRECTED: stands & self.refused,
            PageStatus.LOST: self.acknowledged & ~stands,
            PageStatus.OK: self.acknowledged,
            PageStatus.RECOVERED: stands,
            PageStatus.UNDELIVERED: self.attempted,
        }
        numbers = [ALL_STATUSES.index(category) for category in fits]
        chosen: IntArray = np.select(list(fits.values()), numbers, ALL_STATUSES.index(PageStatus.UNATTEMPTED))
        return chosen

    @property
    def unseen(self) -> list[PageStatus]:
        """Unsafe categories of which nothing was found and nothing could be: the store doesn't tell what they need."""
        blind = self.blind | (frozenset() if self._held.tells_readings else {PageStatus.ALTERED})
        found = {PageStatus.UNEXPECTED: len(self.unexpected) > 0}
        return [one for one in UNSAFE_STATUSES if one in blind and not found.get(one, len(self.pages(one)) > 0)]

    @property
    def unexpected(self) -> IntArray:
        """Rows of stored.parquet that belong to no planned page."""
        return np.flatnonzero(self._held.page < 0)

    def pages(self, category: PageStatus) -> IntArray:
        """Rows in the plan of the pages of a category."""
        return np.flatnonzero(self.category == ALL_STATUSES.index(category))

    @cached_property
    def counts(self) -> AuditCounts:
        """How many pages there are of each category, and how many copies are unexpected.

        Where the store could not be read only what needs no store is known: what was never attempted. A category that the
        way to the store can't see is unknown too, and not in `unsafe`.
        """
        if self.held is None:
            unknown: dict[str, int | None] = dict.fromkeys(ALL_STATUSES)
            never = int((~self.attempted).sum())
            return AuditCounts(**{**unknown, PageStatus.UNATTEMPTED: never}, unsafe=None)
        numbers = np.bincount(self.category, minlength=len(ALL_STATUSES))
        found = {str(category): int(numbers[number]) for number, category in enumerate(ALL_STATUSES)}
        found[PageStatus.UNEXPECTED] = len(self.unexpected)
        unsafe = sum(found[category] for category in UNSAFE_STATUSES)
        hidden: dict[str, int | None] = dict.fromkeys(self.unseen)
        return AuditCounts(**{**found, **hidden}, unsafe=unsafe)

    def in_time(self, acknowledged_s: FloatArray, deadline_s: float, t0_epoch: float | None) -> IntArray:
        """Whether each page was held as planned by the deadline, as `StoredByDeadline`.

        An acknowledgement in time tells; where there was none, the server's own clock does.
        """
        first_at = np.full(len(self.attempted), np.inf)
        own = self._held.place == CopyMatch.OWN
        np.fmin.at(first_at, self._held.page[own], self._held.stored_at[own])
        early = first_at - (np.nan if t0_epoch is None else t0_epoch) <= deadline_s
        told = np.isfinite(first_at) & (t0_epoch is not None)
        states = [~self.as_planned, acknowledged_s <= deadline_s, ~told, early]
        answers = [StoredByDeadline.NO, StoredByDeadline.YES, StoredByDeadline.UNKNOWN, StoredByDeadline.YES]
        chosen: IntArray = np.select(states, answers, StoredByDeadline.NO)
        return chosen

    @property
    def _held(self) -> StoredCopies:
        if self.held is None:
            raise ValueError(self.unread)
        return self.held

    def _count(self, chosen: BoolArray) -> IntArray:
        """How many of the chosen copies each page has."""
        pages = self._held.page[chosen & (self._held.page >= 0)]
        return np.bincount(pages, minlength=len(self.attempted))


def load_page_statuses(folder: RunFolder, rows: Rows) -> PageStatuses:
    """What became of every page of a run."""
    held, unread = load_stored_copies(folder, rows.record)
    blind = frozenset(rows.record.stock.unseen if rows.record.stock else ())
    refused = find_refused_pages(rows)
    return PageStatuses(rows.attempted, rows.delivered, refused, held, unread, blind, find_journal_gaps(rows))


def find_journal_gaps(rows: Rows) -> tuple[str, ...]:
    """Why there may have been attempts that the journal doesn't have; nothing where it is whole."""
    record = rows.record
    torn = (
        record.ended is None
        or record.ended.how in {"crashed", "killed"}
        or any(worker.lost for worker in record.workers)
    )
    told = sum(worker.attempts for worker in record.workers)
    gaps = []
    if torn:
        gaps.append("the run was broken off: what was acknowledged in its last moments is not known")
    if len(rows.attempts.page) < told:
        gaps.append(f"the journal holds {len(rows.attempts.page):,} attempts of the {told:,} that the workers made")
    return tuple(gaps)


def find_refused_pages(rows: Rows) -> BoolArray:
    """Pages that were refused and can't have been stored unnoticed. Shape (pages,).

    One attempt that ended without an answer, or with a 5xx or a 202, leaves open whether the server took the page; so does
    one that the journal may lack.
    """
    if find_journal_gaps(rows):
        return np.zeros(rows.pages, dtype=np.bool_)
    attempts = rows.attempts
    said_no = attempts.ended_as(REFUSALS)
    left_open = ~said_no & ~attempts.ended_as(NEVER_REACHED_SERVER)
    refused = np.zeros(rows.pages, dtype=np.bool_)
    refused[attempts.page[said_no]] = True
    refused[attempts.page[left_open]] = False
    return refused
