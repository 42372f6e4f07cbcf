"""What a target had stored before a run: left out of what it has stored after it, or a reason not to begin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from harness.base.errors import UsageError
from harness.plan import Plan
from harness.target.planned_pages import PlannedPages, StoredRow

_MAX_LISTED = 3


class EarlierStore:
    """The copies that were there before T0, by key and bytes.

    A copy that is replaced during the run is not there any more afterwards, so nothing of it is left out.
    """

    def __init__(self, rows: Iterable[StoredRow] = ()) -> None:
        self._copies = Counter(_identity(row) for row in rows)

    @property
    def copies(self) -> int:
        """How many copies there were."""
        return self._copies.total()

    def without(self, rows: Iterable[StoredRow]) -> Iterator[StoredRow]:
        """Those of the rows that were not there before."""
        earlier = self._copies.copy()
        for row in rows:
            identity = _identity(row)
            if earlier[identity] > 0:
                earlier[identity] -= 1
            else:
                yield row


def read_earlier_store(rows: Iterable[StoredRow], plan: Plan) -> EarlierStore:
    """What is stored before a run of this plan.

    Raises UsageError if planned pages are among it, whose copies could be of either run. Raises as the rows do.
    """
    planned, listed = PlannedPages(plan), list(rows)
    found: list[str] = []
    present = 0
    for row in listed:
        if planned.has_planned_bytes(row):
            present += 1
            if len(found) < _MAX_LISTED:
                found.append(f"{row['station']}/{row['form']}/{row['page']}")
    if present:
        more = " …" if present > len(found) else ""
        message = (
            f"--target: the store already has {present:,} of the {plan.pages:,} pages of this plan ({', '.join(found)}{more}), so "
            "copies of this run could not be known from them: empty the store, or use another --seed, which makes other photos"
        )
        raise UsageError(message)
    return EarlierStore(listed)


def _identity(row: StoredRow) -> tuple[object, ...]:
    return row["station"], row["form"], row["page"], row["sha256"], row["size_bytes"]
