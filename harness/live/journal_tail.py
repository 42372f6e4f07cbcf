"""Reads what workers have appended to their journals since the last time, as plain files: the workers notice nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.run_folder.journal import RECORD

if TYPE_CHECKING:
    import numpy.typing as npt

MOST_RECORDS = 200_000
"""Read at once, of each file: a page that is opened late catches up over some seconds instead of stopping everything else."""


class JournalTail:
    """The new records of every journal in a folder. Journals of remote workers appear only at the end of the run."""

    def __init__(self, folder: Path, most: int = MOST_RECORDS) -> None:
        """`most` records at a time of each file."""
        self._folder = folder
        self._most = most
        self._read: dict[Path, int] = {}

    def read(self) -> npt.NDArray[np.void]:
        """Whole records appended since the last call, file by file. Shape (n,), dtype `RECORD`; a file that vanishes is skipped."""
        parts = [self._read_file(path) for path in sorted(self._folder.glob("*.journal"))]
        return np.concatenate(parts) if parts else np.empty(0, dtype=RECORD)

    def _read_file(self, path: Path) -> npt.NDArray[np.void]:
        first = self._read.get(path, 0)
        try:
            whole = path.stat().st_size // RECORD.itemsize - first
            found = np.fromfile(
                path, dtype=RECORD, count=max(0, min(whole, self._most)), offset=first * RECORD.itemsize
            )
        except OSError:
            return np.empty(0, dtype=RECORD)
        self._read[path] = first + len(found)
        return found
