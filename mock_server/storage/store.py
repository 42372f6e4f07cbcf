"""What the server has stored, in SQLite: an upload is answered only after the commit that holds its row."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mock_server.profile.dedupe import Dedupe, classify_duplicate, finds_duplicates
from mock_server.storage.group_commit import GroupCommitWriter, WriteWork
from mock_server.storage.injection_log import InjectionLog, Outbox

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, station TEXT NOT NULL, form TEXT NOT NULL, page INTEGER NOT NULL,
    sha256 TEXT NOT NULL, size_bytes INTEGER NOT NULL, reading TEXT NOT NULL, stored_at REAL NOT NULL,
    sent_sha256 TEXT NOT NULL, idempotency_key TEXT NOT NULL, receipt TEXT NOT NULL, photo BLOB
);
CREATE INDEX IF NOT EXISTS pages_by_key ON pages (station, form, page);
CREATE TABLE IF NOT EXISTS tokens (
    digest BLOB PRIMARY KEY, station TEXT NOT NULL, expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, station TEXT NOT NULL, form TEXT NOT NULL, page INTEGER NOT NULL, reading TEXT NOT NULL,
    length INTEGER NOT NULL, metadata TEXT NOT NULL, expires_at REAL NOT NULL, receipt TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS representations (upload TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS offsets (upload TEXT PRIMARY KEY, synced INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS boots (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS injections (id INTEGER PRIMARY KEY AUTOINCREMENT, line TEXT NOT NULL);
"""


class PageRow(NamedTuple):
    """A page to be stored."""

    station: str
    form: str
    page: int
    sha256: str
    """Digest of what is stored."""
    size_bytes: int
    reading: str
    stored_at: float
    """Seconds since the epoch."""
    sent_sha256: str
    """Digest of what was sent: duplicates are recognised by it, whatever a fault made of the rest."""
    idempotency_key: str
    receipt: str
    photo: bytes | None = None


class StoreResult(NamedTuple):
    """What became of an upload: `new`, `replay` of a page already stored, or `conflict` with another photo of it."""

    kind: Literal["new", "replay", "conflict"]
    receipt: str
    sha256: str
    size_bytes: int


class StoreRequest(NamedTuple):
    """An upload as it came, and the rows to store for it (one, unless a fault is at work)."""

    sent: PageRow
    rows: tuple[PageRow, ...]
    upload_id: str = ""
    """The resumable upload that it completes."""
    injections: tuple[str, ...] = ()
    """Lines for the injection log: what faults made of the rows, committed with them."""


_INSERT = f"INSERT INTO pages ({', '.join(PageRow._fields)}) VALUES ({', '.join('?' * len(PageRow._fields))})"  # noqa: S608


class Store:
    """The stored pages, behind one writing thread.

    What faults made of them is committed with them (the table `injections`), and handed to the injection log before
    any upload is answered: a process that is killed in between leaves it to the next one.
    """

    def __init__(self, path: Path, dedupe: Dedupe, log: InjectionLog | None = None) -> None:
        self._path = path
        self._dedupe = dedupe
        self._outbox = Outbox(log)
        self._writer = GroupCommitWriter(self._outbox)
        self.deletions = 0
        """How often pages were deleted since the start: sums over the rows are stale after one."""

    @property
    def waiting(self) -> int:
        """Writes that are not on disk yet."""
        return self._writer.waiting

    async def open(self) -> None:
        """Opens the file, creating it if need be, and starts the writing thread."""
        self._writer.start(await asyncio.to_thread(self._connect))

    async def close(self) -> None:
        """Commits what is waiting and closes."""
        await self._writer.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")  # readers on connections of their own do not block the writer
        connection.execute("PRAGMA synchronous = FULL")  # NORMAL may lose the last commits in a power cut
        connection.executescript(_SCHEMA)
        self._outbox.recover(connection)
        return connection

    async def do(self, work: WriteWork, on_done: Callable[[Any], None] = lambda _result: None) -> Any:
        """The result of `work`, once the transaction that it was part of is on disk; raises what it raised.

        The caller may be cancelled: the work is done all the same, and `on_done` is called.
        """
        return await self._writer.do(work, on_done)

    async def run(self, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement, once it is on disk."""
        rows: list[tuple[Any, ...]] = await self.do(
            lambda connection: connection.execute(statement, parameters).fetchall()
        )
        return rows

    async def put(
        self, request: StoreRequest, on_done: Callable[[StoreResult], None] = lambda _result: None
    ) -> StoreResult:
        """Stores an upload's rows unless it is a duplicate of, or conflicts with, what is stored."""
        result: StoreResult = await self.do(lambda connection: self._put(connection, request), on_done)
        return result

    async def delete(self, receipt: str, injections: tuple[str, ...] = ()) -> None:
        """Deletes the pages of a receipt; the lines are logged if there were any."""

        def delete(connection: sqlite3.Connection) -> None:
            if connection.execute("DELETE FROM pages WHERE receipt = ?", (receipt,)).rowcount:
                self._outbox.add(connection, injections)

        def deleted(_result: object) -> None:
            self.deletions += 1

        await self.do(delete, deleted)

    def _put(self, connection: sqlite3.Connection, request: StoreRequest) -> StoreResult:
        stored = self.stored(connection, request.sent)
        if stored is None:
            connection.executemany(_INSERT, request.rows)
            self._outbox.add(connection, request.injections)
        sent = request.sent
        result = stored or StoreResult("new", sent.receipt, sent.sent_sha256, sent.size_bytes)
        if request.upload_id and result.kind != "conflict":
            # In the same transaction: after a crash the upload is either complete and stored, or neither.
            connection.execute("UPDATE uploads SET receipt = ? WHERE id = ?", (result.receipt, request.upload_id))
        return result

    def stored(self, connection: sqlite3.Connection, sent: PageRow) -> StoreResult | None:
        """The stored page that an upload duplicates or conflicts with, or None if it is new."""
        if not finds_duplicates(self._dedupe, sent.idempotency_key):
            return None
        query = "SELECT receipt, sent_sha256, size_bytes FROM pages WHERE station = ? AND form = ? AND page = ?"
        key: tuple[object, ...] = (sent.station, sent.form, sent.page)
        if self._dedupe == "key":
            query += " AND idempotency_key = ?"
            key += (sent.idempotency_key,)
        found = connection.execute(query, key).fetchone()
        if found is None:
            return None
        return StoreResult(classify_duplicate(found[1], sent.sent_sha256), *found)

    def read(self, query: str, parameters: tuple[object, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows as they are committed now, on a connection of their own; blocks, so call it in a thread."""
        with contextlib.closing(self._reader()) as connection:
            yield from connection.execute(query, parameters)

    def snapshot(self, query: str) -> tuple[int, Iterator[tuple[Any, ...]]]:
        """The number of stored pages, and the rows of a query over the same state.

        On a connection of their own, closed with the iterator; blocks, so call it in a thread.
        """
        connection = self._reader()
        connection.execute("BEGIN")  # both queries read the state as of the first one
        (count,) = connection.execute("SELECT count(*) FROM pages").fetchone()

        def rows() -> Iterator[tuple[Any, ...]]:
            with contextlib.closing(connection):
                yield from connection.execute(query)

        return count, rows()

    def _reader(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)


class DelayedDeletes:
    """Deletions that faults have scheduled: done when their time comes, or all at once when the server is drained."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._scheduled: dict[str, tuple[asyncio.TimerHandle, str]] = {}
        self._running: set[asyncio.Task[object]] = set()

    def schedule(self, receipt: str, delay_s: float, line: str) -> None:
        """Will delete the pages of this receipt; `line` is logged when that happens."""
        timer = asyncio.get_running_loop().call_later(delay_s, self._begin, receipt)
        self._scheduled[receipt] = (timer, line)

    @property
    def running(self) -> int:
        """Deletions that have begun and are not on disk yet."""
        return len(self._running)

    def _begin(self, receipt: str) -> None:
        timer, line = self._scheduled.pop(receipt)  # once: `begin_all` may come before the timer
        timer.cancel()
        task: asyncio.Task[object] = asyncio.create_task(self._store.delete(receipt, (line,)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def begin_all(self) -> None:
        """Begins every scheduled deletion now."""
        for receipt in tuple(self._scheduled):
            self._begin(receipt)
