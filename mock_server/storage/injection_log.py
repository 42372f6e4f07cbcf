"""injections.jsonl: a line for every request that a fault hit, and the outbox that makes a stored page's lines exact.

An audit relies on the log. What faults made of stored pages is therefore committed in the transaction that stores them
(transactional outbox); every other line is gathered in memory and written four times a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from mock_server.faults.matching import Injection, injection_line
from mock_server.storage.durable import sync_folder

_WRITE_INTERVAL_S = 0.25
_LONGEST_LINE_BYTES = 4096
_log = logging.getLogger(__name__)


class InjectionLog:
    """Gathers lines and writes them in a thread, so that the event loop never waits for a disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: deque[Injection] = deque()
        self._lock = threading.Lock()

    def add(self, injection: Injection) -> None:
        """Takes a line to be written later."""
        self._waiting.append(injection)

    async def write(self) -> None:
        """Writes every quarter of a second until cancelled."""
        while True:
            await asyncio.sleep(_WRITE_INTERVAL_S)
            if self._waiting:
                await asyncio.to_thread(self.flush)

    def flush(self) -> None:
        """Writes what has gathered, and waits for what another thread is writing; blocks."""
        with self._lock:
            # As many as there are now: the event loop may add more meanwhile.
            self._append([injection_line(self._waiting.popleft()) for _ in range(len(self._waiting))])

    def publish(self, lines: Sequence[str]) -> None:
        """Writes lines that the store has committed; blocks, so call it in a thread."""
        with self._lock:
            self._append(lines)

    def recover(self, lines: Sequence[str]) -> None:
        """Writes those of a killed process' committed lines that it did not write; removes a torn last line."""
        with self._lock:
            if self._path.exists():
                self._drop_torn_line()
                missing = dict.fromkeys(lines)  # a dict keeps their order
                with self._path.open(encoding="utf-8") as file:
                    for line in file if missing else ():
                        missing.pop(line.rstrip("\n"), None)
                lines = tuple(missing)
            self._append(lines)

    def _drop_torn_line(self) -> None:
        with self._path.open("rb+") as file:
            size = file.seek(0, os.SEEK_END)  # a line ends in a newline: what is behind the last one was torn by a kill
            begin = file.seek(max(0, size - _LONGEST_LINE_BYTES))
            rest = file.read()
            file.truncate(begin + rest.rfind(b"\n") + 1)

    def _append(self, lines: Sequence[str]) -> None:
        if not lines:
            return
        is_new = not self._path.exists()
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())  # before the outbox forgets them
        if is_new:
            sync_folder(self._path.parent)


class Outbox:
    """The table `injections`: what is committed and not yet known to be in the file, so that each line is there once.

    A line is added in the transaction of what it reports, written to the file after the commit, and removed by the
    next transaction. A process that is killed between two of these steps leaves lines in the table; the next process
    compares them with the file. Called in the writing thread only.
    """

    def __init__(self, log: InjectionLog | None) -> None:
        self._injection_log = log
        self._published = self._clearing = self._cleared = 0
        """Greatest ids: in the file, removed by the running transaction, and removed for good."""
        self._is_to_publish = self._has_failed = False

    def add(self, connection: sqlite3.Connection, lines: Sequence[str]) -> None:
        """Adds lines to the running transaction."""
        if lines and self._injection_log is not None:
            self._is_to_publish = True
            connection.executemany("INSERT INTO injections (line) VALUES (?)", ((line,) for line in lines))

    def clear(self, connection: sqlite3.Connection) -> None:
        """Removes what is in the file, in the running transaction."""
        if self._published > self._cleared:
            connection.execute("DELETE FROM injections WHERE id <= ?", (self._published,))
            self._clearing = self._published

    def publish(self, connection: sqlite3.Connection) -> None:
        """Writes what was committed to the file; what cannot be written stays, and is tried with the next commit."""
        self._cleared = self._clearing
        if not self._is_to_publish or self._injection_log is None:
            return
        found = connection.execute("SELECT id, line FROM injections WHERE id > ? ORDER BY id", (self._published,))
        rows = found.fetchall()
        lines = [line for _, line in rows]
        try:
            if self._has_failed:  # the failed write may have left some of them in the file
                self._injection_log.recover(lines)
            else:
                self._injection_log.publish(lines)
        except OSError:
            _log.exception("cannot write the injection log")
            self._has_failed = True
            return
        self._is_to_publish = self._has_failed = False
        self._published = rows[-1][0] if rows else self._published

    def recover(self, connection: sqlite3.Connection) -> None:
        """Writes what an earlier process committed and did not write."""
        lines = [line for (line,) in connection.execute("SELECT line FROM injections ORDER BY id")]
        if self._injection_log is not None:
            self._injection_log.recover(lines)
            if lines:
                connection.execute("DELETE FROM injections")
