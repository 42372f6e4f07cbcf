"""A worker's rows on their way to a master on another machine: over Locust's own connection, in chunks that are asked for.

No more than a few chunks are under way at a time: the next one goes when the master has written one down. What waits is
bounded too; beyond that the worker says that it can't write, and the run ends as with a full disk.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event

CHUNK_BYTES = 256 * 1024
MAX_UNCONFIRMED_CHUNKS = 16
"""Chunks that the master has not confirmed yet: 4 MB, which at 100 ms there and back still carry 400,000 rows a second."""
MAX_BUFFERED_BYTES = 64 * 1024 * 1024
"""Rows of some 350,000 attempts."""


class JournalSender:
    """Takes a journal's bytes and sends them home in order."""

    def __init__(self, rank: int, send: Callable[[str, Any], None]) -> None:
        """`send` sends a message of a kind to the master."""
        self._rank = rank
        self._send = send
        self._waiting = bytearray()
        self._under_way = 0
        self._gone = 0
        self._moved = Event()
        self._idle = Event()
        self._idle.set()
        self._failed = ""
        gevent.spawn(self._carry)

    def write(self, data: memoryview) -> int:
        """Take the bytes; how many were taken, as `os.write` does.

        Raises OSError (ENOBUFS) where the master doesn't take what waits already.
        """
        if self._failed or len(self._waiting) + len(data) > MAX_BUFFERED_BYTES:
            why = self._failed or f"the master does not take its rows: {len(self._waiting):,} bytes wait"
            raise OSError(errno.ENOBUFS, why)
        self._waiting += data
        self._idle.clear()
        self._moved.set()
        return len(data)

    @property
    def sent_bytes(self) -> int:
        """How many bytes were taken to be sent: what the master must have got in the end."""
        return self._gone + len(self._waiting)

    def taken(self, why_not: str) -> None:
        """Hear that the master has written a chunk down, or why it couldn't."""
        self._under_way -= 1
        self._failed = self._failed or why_not
        self._moved.set()

    def settle(self, timeout_s: float) -> bool:
        """Wait until the master has everything; False if it hasn't in time."""
        return bool(self._idle.wait(timeout_s)) and not self._failed

    def _carry(self) -> None:
        while True:
            self._moved.wait()
            self._moved.clear()
            while self._waiting and self._under_way < MAX_UNCONFIRMED_CHUNKS and not self._failed:
                chunk = bytes(self._waiting[:CHUNK_BYTES])
                del self._waiting[:CHUNK_BYTES]
                self._under_way += 1
                self._send("rows", {"rank": self._rank, "at": self._gone, "rows": chunk})
                self._gone += len(chunk)
            if self._failed or not (self._under_way or self._waiting):
                self._idle.set()
