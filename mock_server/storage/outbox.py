"""Lines of the injection log on their way from the store's transactions to the file, each exactly once."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import Protocol

_log = logging.getLogger(__name__)


class LinePublisher(Protocol):
    """Who writes the lines to the file."""

    def publish(self, lines: Sequence[str]) -> None:
        """Writes committed lines."""

    def recover(self, lines: Sequence[str]) -> None:
        """Writes those of these lines that the file does not have."""


class Outbox:
    """The table `injections`: what is committed and not yet known to be in the file.

    A line is added in the transaction of what it tells of, written to the file after the commit, and taken out by the
    next transaction. Whoever is killed between two of these steps leaves lines in the table; the next process compares
    them with the file.
    """

    def __init__(self, publisher: LinePublisher | None) -> None:
        self._publisher = publisher
        self._published = self._clearing = self._cleared = 0
        """Greatest ids: in the file, taken out by the running transaction, and taken out for good."""
        self._is_to_publish = self._has_failed = False

    def add(self, connection: sqlite3.Connection, lines: Sequence[str]) -> None:
        """Adds lines to the running transaction."""
        if lines and self._publisher is not None:
            self._is_to_publish = True
            connection.executemany("INSERT INTO injections (line) VALUES (?)", ((line,) for line in lines))

    def clear(self, connection: sqlite3.Connection) -> None:
        """Takes out what is in the file, in the running transaction."""
        if self._published > self._cleared:
            connection.execute("DELETE FROM injections WHERE id <= ?", (self._published,))
            self._clearing = self._published

    def publish(self, connection: sqlite3.Connection) -> None:
        """Writes what was committed to the file; what cannot be written stays, and is tried with the next commit."""
        self._cleared = self._clearing
        if not self._is_to_publish or self._publisher is None:
            return
        found = connection.execute("SELECT id, line FROM injections WHERE id > ? ORDER BY id", (self._published,))
        rows = found.fetchall()
        lines = [line for _, line in rows]
        try:
            if self._has_failed:  # some of it may be in the file
                self._publisher.recover(lines)
            else:
                self._publisher.publish(lines)
        except OSError:
            _log.exception("the injection log can't be written")
            self._has_failed = True
            return
        self._is_to_publish = self._has_failed = False
        self._published = rows[-1][0] if rows else self._published

    def recover(self, connection: sqlite3.Connection) -> None:
        """Sees to what an earlier process left."""
        lines = [line for (line,) in connection.execute("SELECT line FROM injections ORDER BY id")]
        if self._publisher is not None:
            self._publisher.recover(lines)
            if lines:
                connection.execute("DELETE FROM injections")
