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

from harness.analysis.stored_match import Held, Place, read_held
from harness.analysis.summary import AuditCounts
from harness.base.model import Outcome

if TYPE_CHECKING:
    import numpy.typing as npt

    from harness.analysis.rows import Rows
    from harness.run_folder.layout import RunFolder

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]


class Category(StrEnum):
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


CATEGORIES = tuple(Category)
UNSAFE = CATEGORIES[: CATEGORIES.index(Category.OK)]
"""Categories that no server may bring about."""

REFUSALS = frozenset({Outcome.REJECTED, Outcome.UNREADABLE, Outcome.THROTTLED})
"""A 4xx status: the server says that it has not taken the page."""
NEVER_THERE = frozenset({Outcome.REFUSED, Outcome.TIMEOUT_CONNECT, Outcome.WITHHELD})
"""Not a byte of the page has left the client."""


class InTime(IntEnum):
    """Whether a page was held by the deadline."""

    NO = 0
    YES = 1
    UNKNOWN = 2
    """It is held and was not acknowledged in time, and the server doesn't say since when it holds it."""


@dataclass(frozen=True)
class Fates:
    """What the client knows of each page, and what the server holds. Arrays over pages have the plan's order."""

    attempted: BoolArray
    acknowledged: BoolArray
    """A final 2xx came; a 202 is none."""
    refused: BoolArray
    """Every attempt that reached the server was answered with a refusal: it must not be held."""
    held: Held | None
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
        return self._count(self._held.place == Place.OWN) > 0

    @cached_property
    def category(self) -> IntArray:
        """Number in `CATEGORIES` of each page. Raises ValueError where the store could not be read."""
        held = self._held
        stands = self.copies > 0
        fits = {
            Category.MISFILED: self._count(held.place == Place.FOREIGN) > 0,
            Category.CORRUPTED: self._count(held.place == Place.SPOILT) > 0,
            Category.ALTERED: self._count(held.altered) > 0,
            Category.DUPLICATED: self.copies > 1,
            Category.RESURRECTED: stands & self.refused,
            Category.LOST: self.acknowledged & ~stands,
            Category.OK: self.acknowledged,
            Category.RECOVERED: stands,
            Category.UNDELIVERED: self.attempted,
        }
        numbers = [CATEGORIES.index(category) for category in fits]
        chosen: IntArray = np.select(list(fits.values()), numbers, CATEGORIES.index(Category.UNATTEMPTED))
        return chosen

    @property
    def unseen(self) -> list[Category]:
        """Unsafe categories of which nothing was found and nothing could be: the store doesn't tell what they need."""
        blind = self.blind | (frozenset() if self._held.tells_readings else {Category.ALTERED})
        found = {Category.UNEXPECTED: len(self.unexpected) > 0}
        return [one for one in UNSAFE if one in blind and not found.get(one, len(self.pages(one)) > 0)]

    @property
    def unexpected(self) -> IntArray:
        """Rows of stored.parquet that belong to no planned page."""
        return np.flatnonzero(self._held.page < 0)

    def pages(self, category: Category) -> IntArray:
        """Rows in the plan of the pages of a category."""
        return np.flatnonzero(self.category == CATEGORIES.index(category))

    @cached_property
    def counts(self) -> AuditCounts:
        """How many pages there are of each category, and how many copies are unexpected.

        Where the store could not be read only what needs no store is known: what was never attempted. A category that the
        way to the store can't see is unknown too, and not in `unsafe`.
        """
        if self.held is None:
            unknown: dict[str, int | None] = dict.fromkeys(CATEGORIES)
            never = int((~self.attempted).sum())
            return AuditCounts(**{**unknown, Category.UNATTEMPTED: never}, unsafe=None)
        numbers = np.bincount(self.category, minlength=len(CATEGORIES))
        found = {str(category): int(numbers[number]) for number, category in enumerate(CATEGORIES)}
        found[Category.UNEXPECTED] = len(self.unexpected)
        unsafe = sum(found[category] for category in UNSAFE)
        hidden: dict[str, int | None] = dict.fromkeys(self.unseen)
        return AuditCounts(**{**found, **hidden}, unsafe=unsafe)

    def in_time(self, acknowledged_s: FloatArray, deadline_s: float, t0_epoch: float | None) -> IntArray:
        """Whether each page was held as planned by the deadline, as `InTime`.

        An acknowledgement in time tells; where there was none, the server's own clock does.
        """
        first_at = np.full(len(self.attempted), np.inf)
        own = self._held.place == Place.OWN
        np.fmin.at(first_at, self._held.page[own], self._held.stored_at[own])
        early = first_at - (np.nan if t0_epoch is None else t0_epoch) <= deadline_s
        told = np.isfinite(first_at) & (t0_epoch is not None)
        states = [~self.as_planned, acknowledged_s <= deadline_s, ~told, early]
        answers = [InTime.NO, InTime.YES, InTime.UNKNOWN, InTime.YES]
        chosen: IntArray = np.select(states, answers, InTime.NO)
        return chosen

    @property
    def _held(self) -> Held:
        if self.held is None:
            raise ValueError(self.unread)
        return self.held

    def _count(self, chosen: BoolArray) -> IntArray:
        """How many of the chosen copies each page has."""
        pages = self._held.page[chosen & (self._held.page >= 0)]
        return np.bincount(pages, minlength=len(self.attempted))


def fates_of(folder: RunFolder, rows: Rows) -> Fates:
    """What became of every page of a run."""
    held, unread = read_held(folder, rows.record)
    blind = frozenset(rows.record.stock.unseen if rows.record.stock else ())
    refused = refused_for_certain(rows)
    return Fates(rows.attempted, rows.delivered, refused, held, unread, blind, journal_gaps(rows))


def journal_gaps(rows: Rows) -> tuple[str, ...]:
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


def refused_for_certain(rows: Rows) -> BoolArray:
    """Pages that were refused and can't have been stored unnoticed. Shape (pages,).

    One attempt that ended without an answer, or with a 5xx or a 202, leaves open whether the server took the page; so does
    one that the journal may lack.
    """
    if journal_gaps(rows):
        return np.zeros(rows.pages, dtype=np.bool_)
    attempts = rows.attempts
    said_no = attempts.ended_as(REFUSALS)
    left_open = ~said_no & ~attempts.ended_as(NEVER_THERE)
    refused = np.zeros(rows.pages, dtype=np.bool_)
    refused[attempts.page[said_no]] = True
    refused[attempts.page[left_open]] = False
    return refused
