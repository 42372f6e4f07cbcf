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
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_type_hints

import numpy as np

from harness.base.model import OUTCOMES, REASONS, MalformedReason, Outcome

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
    READ = 4
    """A read of a reader is over: everything but attempt; `page` is the number of its resource (harness/plan/readers.py)."""
    STEP = 5
    """One request of an attempt is over: its own times, status and bytes; `resent_bytes` is the number of the part sent, or 0."""


class GiveUpReason(IntEnum):
    """Why a page is not tried again."""

    ATTEMPTS_USED_UP = 1
    REJECTED_FOR_GOOD = 2
    DEADLINE = 3
    WITHHELD = 4


UInt16 = Annotated[int, "<u2"]
UInt32 = Annotated[int, "<u4"]
UInt64 = Annotated[int, "<u8"]
Moment = Annotated[float, "<f8"]
"""Seconds since T0; NaN where not reached."""
Duration = Annotated[float, "<f4"]
"""Seconds; NaN where not known."""
_NAN = float("nan")


@dataclass(slots=True)
class AttemptRecord:
    """What is recorded of one attempt: the one definition of its fields, their order and their types.

    The client fills it in while it makes the attempt, the journal packs it, and the columns of attempts.parquet come from it.
    A field that is added here is in all of them; the journal's format changes with it.
    """

    outcome: Annotated[Outcome, "u1"] = Outcome.CENSORED
    """Stored as its number in `OUTCOMES`."""
    status: UInt16 = 0
    """HTTP status; 0 without a response."""
    page: UInt32 = 0
    """The page's row in the plan."""
    attempt: UInt32 = 0
    """Counts from 1, withheld attempts included."""
    reason: Annotated[MalformedReason, "<u2"] = MalformedReason.NONE
    """Why the outcome is `malformed`, or why a success status is none; stored as its number in `REASONS`."""
    step: UInt16 = 0
    """Number, from 1, of the step that decided (see harness/station/flow.py); 0 where it is not known."""
    sent_bytes: UInt64 = 0
    """Bytes that the kernel has accepted, including headers and logins; with TLS, counted before encryption."""
    resent_bytes: UInt64 = 0
    """How many of the photo's bytes had been sent before, in this or an earlier attempt."""
    due_s: Moment = _NAN
    """When the station was ready to make the attempt."""
    sent_s: Moment = _NAN
    """Just before connecting."""
    connected_s: Moment = _NAN
    body_sent_s: Moment = _NAN
    first_byte_s: Moment = _NAN
    done_s: Moment = _NAN
    """When the response was complete, or the attempt failed."""
    retry_after_s: Duration = _NAN
    login_s: Duration = _NAN
    queue_s: Duration = _NAN
    """Time in the server's queue, by its Server-Timing header."""
    server_s: Duration = _NAN
    """Time in service, by the same header."""


_TYPES: dict[str, str] = {
    name: hint.__metadata__[0] for name, hint in get_type_hints(AttemptRecord, include_extras=True).items()
}
FIELDS = tuple(_TYPES)
"""The fields of an attempt, in their order."""
TIME_FIELDS = tuple(name for name, kind in _TYPES.items() if kind == "<f8")
DURATION_FIELDS = tuple(name for name, kind in _TYPES.items() if kind == "<f4")

RECORD = np.dtype([("kind", "u1"), *_TYPES.items()])
"""One record of the file: its kind and an `AttemptRecord`."""

_STRUCT_CODES = {"u1": "B", "<u2": "H", "<u4": "I", "<u8": "Q", "<f8": "d", "<f4": "f"}
_PACK = struct.Struct("<B" + "".join(_STRUCT_CODES[kind] for kind in _TYPES.values()))
assert _PACK.size == RECORD.itemsize  # noqa: S101
_BEGIN = struct.Struct("<B3xII20xdd48s")
"""The same record with only what a BEGIN knows: packing all of it takes twice as long."""
assert _BEGIN.size == RECORD.itemsize  # noqa: S101
_NOT_YET = struct.pack("<ddddffff", *[_NAN] * 8)
_KIND_BEGIN, _KIND_END = int(RecordKind.BEGIN), int(RecordKind.END)
_NUMBER = {outcome: number for number, outcome in enumerate(OUTCOMES)}
_REASON_NUMBER = {reason: number for number, reason in enumerate(REASONS)}
_EXPRESSIONS = {"outcome": "number[record.outcome]", "reason": "reason_number[record.reason]"}
# Generated from the fields, as namedtuple generates its methods. A generic `pack(*attrgetter(*FIELDS)(record))` takes twice as
# long: 2.3 instead of 1.1 µs per attempt, in the middle of the hot path.
_pack_record: Callable[[int, AttemptRecord], bytes] = eval(  # noqa: S307 - field names of this module
    f"lambda kind, record: pack(kind, {', '.join(_EXPRESSIONS.get(name, f'record.{name}') for name in FIELDS)})",
    {"pack": _PACK.pack, "number": _NUMBER, "reason_number": _REASON_NUMBER},
)


_PAGE_BYTES = 4096
_UNSYNCED_BYTES = 8 * 2**20
"""More than a worker writes between two syncs: 80,000 records."""


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
        self._read = 0
        """How many of the pending bytes `noted` has shown (or are the rest of a record that it has)."""
        self._pack_begin = _BEGIN.pack

    def begin(self, page: int, attempt: int, due_s: float, sent_s: float) -> None:
        """Note that an attempt starts."""
        self._pending += self._pack_begin(_KIND_BEGIN, page, attempt, due_s, sent_s, _NOT_YET)

    def end(self, record: AttemptRecord) -> None:
        """Note how an attempt ended."""
        self._pending += _pack_record(_KIND_END, record)

    def gave_up(self, page: int, attempts: int, at_s: float, reason: GiveUpReason) -> None:
        """Note that a page will not be tried again."""
        # What a GAVE_UP has no use for is written as 0, the outcome among it.
        record = AttemptRecord(OUTCOMES[0], status=reason, page=page, attempt=attempts, done_s=at_s)
        self._pending += _pack_record(RecordKind.GAVE_UP, record)

    def read(self, record: AttemptRecord) -> None:
        """Note how a reader's read ended."""
        self._pending += _pack_record(RecordKind.READ, record)

    def step(self, record: AttemptRecord) -> None:
        """Note how one request of an attempt ended."""
        self._pending += _pack_record(RecordKind.STEP, record)

    def noted(self) -> npt.NDArray[np.void]:
        """Records since the last call (or `flush`), as `read_journal` would give them; to be called before `flush`."""
        fresh = bytes(memoryview(self._pending)[self._read :])
        self._read = len(self._pending)
        return np.frombuffer(fresh, dtype=RECORD)

    def flush(self) -> None:
        """Write everything noted so far to the kernel, where a killed process can't lose it any more.

        Raises OSError where it takes no more (a full disk); what it did not take is kept for the next time.
        """
        pending, self._pending, self._read = self._pending, bytearray(), 0
        view = memoryview(pending)
        try:
            while view:
                view = view[self._write(view) :]
        except OSError:
            self._pending, self._read = bytearray(view) + self._pending, len(view)
            raise

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        os.close(self._fd)


def read_journal(path: Path, first: int = 0, count: int | None = None) -> npt.NDArray[np.void]:
    """Records of one journal file, in the order of writing, without the torn tail; from `first` on, at most `count`.

    Shape (n,), dtype `RECORD`.
    """
    known = path.stat()
    whole = max(0, _count_whole(path, known.st_size, known.st_mtime_ns) - first)
    wanted = whole if count is None else min(count, whole)
    return np.fromfile(path, dtype=RECORD, count=wanted, offset=first * RECORD.itemsize)


@functools.lru_cache(maxsize=256)
def _count_whole(path: Path, size_bytes: int, _modified_ns: int) -> int:
    """How many records of a file are whole: up to its end, or to where a power cut left zeros instead of them.

    Only the end of the file is looked at: a run syncs its journals every few seconds (harness/runner/sync_thread.py).
    """
    records = size_bytes // RECORD.itemsize
    first = max(0, records - _UNSYNCED_BYTES // RECORD.itemsize)
    kinds = np.fromfile(path, dtype=RECORD, count=records - first, offset=first * RECORD.itemsize)["kind"]
    zeros = np.flatnonzero(kinds == 0)
    if len(zeros) == 0:
        return records
    whole = first + int(zeros[0])
    last_begin, last_end = (whole - 1) * RECORD.itemsize, whole * RECORD.itemsize - 1
    # A disk writes whole pages: a record on two of them may have its end among the zeros.
    is_on_two = last_begin // _PAGE_BYTES != last_end // _PAGE_BYTES
    return max(0, whole - is_on_two)
