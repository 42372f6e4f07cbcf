"""A run's journals, read in slices: which of their records count, in which order, and those records.

The journals of ten million attempts are 2 GB: never more of them is held than the heads of their records and a slice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.base.errors import RunFolderError
from harness.base.model import OUTCOMES
from harness.run_folder import journal
from harness.run_folder.journal import RECORD, GiveUpReason, RecordKind

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]
    Records = npt.NDArray[np.void]

RECORDS_PER_READ = 500_000
"""Records read at once."""
_WORDS_PER_RECORD = RECORD.itemsize // 8
"""A record as plain words is copied ten times as fast as by its fields. The first is kind, outcome, status, page (1, 1, 2, 4 bytes),
the second the attempt (4 bytes)."""


@dataclass(frozen=True, slots=True)
class GivenUpPages:
    """Pages that will not be tried again, each once: index in the plan, when, and why (a `GiveUpReason`). Shape (n,)."""

    page: IntArray
    at_s: FloatArray
    reason: IntArray


def journal_files(folder: Path) -> list[Path]:
    """Journal files in a folder, sorted by the worker's rank."""
    return sorted(folder.glob("worker-*.journal"))


def read_given_up(folder: Path) -> GivenUpPages:
    """What the journals in `folder` say of pages that were given up; nothing where there is no journal."""
    found = [np.empty(0, dtype=RECORD)]
    for path in journal_files(folder):
        found += [records[records["kind"] == RecordKind.GAVE_UP] for records in _read_in_parts(path)]
    together = np.concatenate(found)
    together = together[np.isin(together["status"], [int(reason) for reason in GiveUpReason])]
    page, first = np.unique(together["page"], return_index=True)
    chosen = together[first]
    return GivenUpPages(page.astype(np.int64), chosen["done_s"].astype(np.float64), chosen["status"].astype(np.int64))


class JournalReader:
    """The journals of a folder as one row of records, worker after worker. Shapes (n,)."""

    def __init__(self, folder: Path) -> None:
        """`folder` need not have any. Raises BrokenRunError for a file whose name has no worker's rank."""
        self._folder = folder
        self._paths = journal_files(folder)
        self._ranks = [_worker_rank(path) for path in self._paths]
        sizes = [path.stat().st_size // RECORD.itemsize for path in self._paths]
        self._firsts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])

    def attempts(self) -> tuple[IntArray, int]:
        """Where the record of each attempt stands that counts, by due time, page and attempt; and the greatest page.

        The last END counts, else the last BEGIN. The greatest page is -1 without attempts. Raises BrokenRunError for an
        outcome that there is not.
        """
        key, due_s, where = self._heads()
        order = np.argsort(key, kind="stable")
        of = key[order] >> np.uint64(1)
        last = np.ones(len(of), dtype=np.bool_)
        last[:-1] = of[1:] != of[:-1]
        greatest = int(of[-1] >> np.uint64(32)) if len(of) else -1
        chosen = order[last]
        del key, of, last, order
        chosen = chosen[np.argsort(due_s[chosen], kind="stable")]
        return where[chosen].astype(np.int64), greatest

    def take(self, where: IntArray) -> tuple[Records, npt.NDArray[np.int32]]:
        """The records that stand there, in the order given, and the rank of the worker that wrote each."""
        taken = np.empty((len(where), _WORDS_PER_RECORD), dtype=np.uint64)
        worker = np.empty(len(where), dtype=np.int32)
        for number, path in enumerate(self._paths):
            of_file = np.flatnonzero((where >= self._firsts[number]) & (where < self._firsts[number + 1]))
            places = where[of_file] - self._firsts[number]
            for chosen in _grouped_by_read(places):
                first, last = int(places[chosen].min()), int(places[chosen].max())
                read = (
                    journal.read_journal(path, first, last - first + 1).view(np.uint64).reshape(-1, _WORDS_PER_RECORD)
                )
                taken[of_file[chosen]] = read[places[chosen] - first]
            worker[of_file] = self._ranks[number]
        return taken.reshape(-1).view(RECORD), worker

    def _heads(self) -> tuple[npt.NDArray[np.uint64], FloatArray, npt.NDArray[np.uint32]]:
        """Of every record of an attempt: page, attempt and whether it is an END as one number; due time; where it stands."""
        keys, dues, places = [np.empty(0, dtype=np.uint64)], [np.empty(0)], [np.empty(0, dtype=np.uint32)]
        for path, first in zip(self._paths, self._firsts.tolist(), strict=False):
            seen = first
            for records in _read_in_parts(path):
                words = records.view(np.uint64).reshape(-1, _WORDS_PER_RECORD)
                head, attempt = words[:, 0].copy(), words[:, 1] & np.uint64(0xFFFFFFFF)
                kind = head & np.uint64(0xFF)
                self._check(int(((head >> np.uint64(8)) & np.uint64(0xFF)).max(initial=0)))
                key = head >> np.uint64(32) << np.uint64(33) | attempt << np.uint64(1) | (kind == RecordKind.END)
                due_s, which = records["due_s"].copy(), np.arange(seen, seen + len(records), dtype=np.uint32)
                made = (kind == RecordKind.BEGIN) | (kind == RecordKind.END)
                keys.append(key if made.all() else key[made])
                dues.append(due_s if made.all() else due_s[made])
                places.append(which if made.all() else which[made])
                seen += len(records)
        return np.concatenate(keys), np.concatenate(dues), np.concatenate(places)

    def _check(self, greatest: int) -> None:
        if greatest >= len(OUTCOMES):
            message = f"{self._folder} has an outcome number {greatest} that this program doesn't know"
            raise RunFolderError(message)


def _grouped_by_read(places: IntArray) -> Iterator[IntArray]:
    """The places in groups that lie in one slice of the file each: usually a few, as records are written in time's order."""
    number = places // RECORDS_PER_READ
    for one in np.unique(number):
        yield np.flatnonzero(number == one)


def _read_in_parts(path: Path) -> Iterator[Records]:
    whole = path.stat().st_size // RECORD.itemsize
    for first in range(0, whole, RECORDS_PER_READ):
        yield journal.read_journal(path, first, RECORDS_PER_READ)


def _worker_rank(path: Path) -> int:
    try:
        return int(path.stem.removeprefix("worker-"))
    except ValueError:
        message = f"{path} is no journal: its name has no worker's rank"
        raise RunFolderError(message) from None
