"""What the simulated server has stored: the same rules for duplicates as the mock server's store.

Most pages are stored once and as they were sent, so a number per page is all that is kept of them; only copies that a
fault has changed, and second copies, are rows of their own.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from math import isnan
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.plan import Plan
from mock_server.profile.dedupe import Dedupe, finds_duplicates

if TYPE_CHECKING:
    import numpy.typing as npt

_NAN = float("nan")


class StoredRow(NamedTuple):
    """One copy about to be stored; faults may replace its fields (see mock_server.faults.base.StorableRow)."""

    station: str
    form: str
    page: int
    sha256: str
    reading: str
    photo: None = None


class PageStore:
    """The stored copies by page (row of the plan), with the moment of their commit in seconds since T0."""

    def __init__(self, plan: Plan, dedupe: Dedupe, *, sends_key: bool) -> None:
        """`sends_key` says whether clients send an Idempotency-Key, which is the same for all attempts at a page."""
        self.plan = plan
        self._compares = finds_duplicates(dedupe, "key" if sends_key else "")
        self._stored_s = array("d", [_NAN]) * plan.pages
        self._others: dict[int, list[tuple[StoredRow, float]]] = {}
        """Copies that are not as sent, or not the first one, by the page whose upload stored them."""

    def row(self, page: int) -> StoredRow:
        """The copy that an upload of this page stores."""
        sent = self.plan.page(page)
        return StoredRow(sent.station, sent.form, sent.page, sent.sha256, sent.reading)

    def is_duplicate(self, page: int) -> bool:
        """Whether an upload of this page replays what is stored."""
        if not self._compares:
            return False
        if self._has_plain(page):
            return True
        others = self._others.get(page)
        return others is not None and any(row.station == self.plan.key(page).station for row, _ in others)

    def store(self, page: int, at_s: float) -> bool:
        """Store a page as it was sent, unless that replays what is stored; whether it has been stored."""
        stored_s = self._stored_s[page]
        if stored_s == stored_s or page in self._others:  # noqa: PLR0124 - not NaN
            if self.is_duplicate(page):
                return False
            self.put(page, at_s)
        else:
            self._stored_s[page] = at_s
        return True

    def has(self, page: int) -> bool:
        """Whether the page is stored as it was sent."""
        return self._has_plain(page)

    def put(self, page: int, at_s: float) -> None:
        """Store a page as it was sent."""
        if self._has_plain(page):
            self.put_rows(page, (self.row(page),), at_s)
        else:
            self._stored_s[page] = at_s

    def put_rows(self, page: int, rows: tuple[StoredRow, ...], at_s: float) -> None:
        """Store the copies that faults have made of a page's upload."""
        self._others.setdefault(page, []).extend((row, at_s) for row in rows)

    def delete(self, page: int, at_s: float) -> int:
        """Delete what the upload committed at `at_s` has stored; how many copies."""
        deleted = int(self._stored_s[page] == at_s)
        if deleted:
            self._stored_s[page] = _NAN
        others = self._others.get(page, [])
        kept = [(row, when) for row, when in others if when != at_s]
        self._others[page] = kept
        return deleted + len(others) - len(kept)

    @property
    def stored_s(self) -> npt.NDArray[np.float64]:
        """Shape (pages,): when each page was stored as it was sent, NaN where it was not."""
        return np.array(self._stored_s)

    def other_rows(self) -> Iterator[dict[str, Any]]:
        """Every copy besides, as `run_folder.tables.write_stored` takes it; its times count from T0."""
        sizes = [body.size_bytes for body in self.plan.bank]
        for page, copies in self._others.items():
            for row, at_s in copies:
                size_bytes = sizes[self.plan.body_of_page[page]]
                yield {**row._asdict(), "size_bytes": size_bytes, "stored_at": at_s}

    def _has_plain(self, page: int) -> bool:
        return not isnan(self._stored_s[page])
