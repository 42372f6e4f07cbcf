"""The journals of workers on other machines, written down here as their rows come in."""

from __future__ import annotations

import os
from pathlib import Path

from harness.run_folder.journal import journal_file_name


class JournalReceiver:
    """One run's. Holds nothing back: a chunk is in the kernel when `enter` returns."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the run's journal folder."""
        self._folder = folder
        self._files: dict[int, int] = {}
        self._received: dict[int, int] = {}
        self.unwritten = ""
        """Why rows could not be written any more; empty while they could."""

    def received(self, rank: int) -> int:
        """Bytes of a worker's rows that are written down."""
        return self._received.get(rank, 0)

    def enter(self, rank: int, at: int, rows: bytes) -> str:
        """Write down what a worker sent, which says where in its journal it belongs; why that can't be, or nothing."""
        if self.unwritten:
            return self.unwritten
        if at != self.received(rank):
            return f"rows were lost on the way: {at - self.received(rank):,} bytes are missing"
        try:
            if rank not in self._files:
                path = self._folder / journal_file_name(rank)
                self._files[rank] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            view = memoryview(rows)
            while view:
                written = os.write(self._files[rank], view)
                self._received[rank] = self.received(rank) + written
                view = view[written:]
        except OSError as error:
            self.unwritten = error.strerror or str(error)
        return self.unwritten
