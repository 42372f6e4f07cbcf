"""The attempt journal: what each worker writes as it goes, and the truth that all figures come from.

A file `worker-<rank>.journal` is a sequence of records of one fixed size: a BEGIN when an attempt starts and an END when
it is over, so that an attempt in flight at a crash is known too (censored). Records are packed into memory (about a
microsecond each) and written by `flush`, which the driver calls at least every 0.5 s. A torn tail is dropped on reading.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.base.model import OUTCOMES, Outcome

if TYPE_CHECKING:
    import numpy.typing as npt


class RecordKind(IntEnum):
    """What a record says."""

    BEGIN = 1
    """An attempt starts: page, attempt, due_s, sent_s."""
    END = 2
    """An attempt is over: everything."""
    GAVE_UP = 3
    """A page will not be tried again: page, attempt (the number made), done_s, reason in `status`."""


class GiveUpReason(IntEnum):
    """Why a page is not tried again."""

    ATTEMPTS_USED_UP = 1
    REJECTED_FOR_GOOD = 2
    DEADLINE = 3
    WITHHELD = 4


RECORD = np.dtype(
    [
        ("kind", "u1"),
        ("outcome", "u1"),
        ("status", "<u2"),
        ("page", "<u4"),
        ("attempt", "<u4"),
        ("pad", "<u4"),
        ("sent_bytes", "<u8"),
        ("resent_bytes", "<u8"),
        ("due_s", "<f8"),
        ("sent_s", "<f8"),
        ("connected_s", "<f8"),
        ("body_sent_s", "<f8"),
        ("first_byte_s", "<f8"),
        ("done_s", "<f8"),
        ("retry_after_s", "<f4"),
        ("login_s", "<f4"),
        ("queue_s", "<f4"),
        ("server_s", "<f4"),
    ]
)
"""One record. `page` is the page's row in the plan, `attempt` counts from 1, times are NaN where not reached."""

_PACK = struct.Struct("<BBHIIIQQddddddffff")
assert _PACK.size == RECORD.itemsize  # noqa: S101
_BEGIN = struct.Struct("<B3xII20xdd48s")
"""The same record with nothing but what a BEGIN knows: packing all of it takes twice as long."""
assert _BEGIN.size == RECORD.itemsize  # noqa: S101
_NOT_YET = struct.pack("<ddddffff", *[float("nan")] * 8)
_KIND_BEGIN, _KIND_END = int(RecordKind.BEGIN), int(RecordKind.END)
_NUMBER = {outcome: number for number, outcome in enumerate(OUTCOMES)}
_NAN = float("nan")


def journal_file_name(rank: int) -> str:
    """Name of a worker's file in the run's journal folder."""
    return f"worker-{rank:04d}.journal"


class JournalWriter:
    """Appends records to one worker's file."""

    def __init__(self, folder: Path | None, rank: int, write: Callable[[memoryview], int] | None = None) -> None:
        """Open (and create) the file of worker `rank` in `folder`; without a folder nothing is kept.

        `write` takes the records instead, and tells how many bytes it took (OSError: none): they are kept somewhere else.
        """
        path = os.devnull if folder is None else folder / journal_file_name(rank)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._write = functools.partial(os.write, self._fd) if write is None else write
        self._pending = bytearray()
        self._seen = 0
        """How many of the pending bytes `noted` has shown (or are the rest of a record that it has)."""
        self._pack = _PACK.pack
        self._pack_begin = _BEGIN.pack

    def begin(self, page: int, attempt: int, due_s: float, sent_s: float) -> None:
        """Note that an attempt starts."""
        self._pending += self._pack_begin(_KIND_BEGIN, page, attempt, due_s, sent_s, _NOT_YET)

    def end(
        self, page: int, attempt: int, outcome: Outcome, *, status: int = 0, sent_bytes: int = 0, resent_bytes: int = 0,
        due_s: float, sent_s: float = _NAN, connected_s: float = _NAN, body_sent_s: float = _NAN,
        first_byte_s: float = _NAN, done_s: float = _NAN, retry_after_s: float = _NAN, login_s: float = _NAN,
        queue_s: float = _NAN, server_s: float = _NAN,
    ) -> None:  # fmt: skip
        """Note how an attempt ended."""
        self._pending += self._pack(
            _KIND_END, _NUMBER[outcome], status, page, attempt, 0, sent_bytes, resent_bytes, due_s, sent_s,
            connected_s, body_sent_s, first_byte_s, done_s, retry_after_s, login_s, queue_s, server_s,
        )  # fmt: skip

    def gave_up(self, page: int, attempts: int, at_s: float, reason: GiveUpReason) -> None:
        """Note that a page will not be tried again."""
        self._pending += self._pack(
            RecordKind.GAVE_UP,
            0,
            reason,
            page,
            attempts,
            0,
            0,
            0,
            _NAN,
            _NAN,
            _NAN,
            _NAN,
            _NAN,
            at_s,
            _NAN,
            _NAN,
            _NAN,
            _NAN,
        )

    def noted(self) -> npt.NDArray[np.void]:
        """Records since the last call (or `flush`), as `read_journal` would give them; to be called before `flush`."""
        fresh = bytes(memoryview(self._pending)[self._seen :])
        self._seen = len(self._pending)
        return np.frombuffer(fresh, dtype=RECORD)

    def flush(self) -> None:
        """Hand everything noted so far to the kernel, where a killed process can't lose it any more.

        Raises OSError where it takes no more (a full disk); what it did not take is kept for the next time.
        """
        pending, self._pending, self._seen = self._pending, bytearray(), 0
        view = memoryview(pending)
        try:
            while view:
                view = view[self._write(view) :]
        except OSError:
            self._pending, self._seen = bytearray(view) + self._pending, len(view)
            raise

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        os.close(self._fd)


def read_journal(path: Path, first: int = 0, count: int | None = None) -> npt.NDArray[np.void]:
    """Records of one journal file, in the order of writing, without the torn tail; from `first` on, at most `count`.

    Shape (n,), dtype `RECORD`.
    """
    whole = max(0, path.stat().st_size // RECORD.itemsize - first)
    wanted = whole if count is None else min(count, whole)
    return np.fromfile(path, dtype=RECORD, count=wanted, offset=first * RECORD.itemsize)
