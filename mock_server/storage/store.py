"""What the server holds, in SQLite: an upload is answered only after the commit that holds its row.

One thread owns the writing connection and commits whatever has gathered meanwhile in one transaction (group commit), so
that the event loop never waits for a disk, and two uploads of one page are decided one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, NamedTuple

from mock_server.storage.outbox import LinePublisher, Outbox
from mock_server.storage.records import PageRow, StoreRequest, StoreResult

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
CREATE TABLE IF NOT EXISTS injections (id INTEGER PRIMARY KEY AUTOINCREMENT, line TEXT NOT NULL);
"""
_INSERT = f"INSERT INTO pages ({', '.join(PageRow._fields)}) VALUES ({', '.join('?' * len(PageRow._fields))})"  # noqa: S608
_MAX_BATCH = 512
_GATHER_S, _GATHER_BUSY_S = 0.002, 0.010
"""Least time between two commits, alone and while uploads come side by side: one costs much the same for one or fifty."""

WriteWork = Callable[[sqlite3.Connection], Any]


class WriteJob(NamedTuple):
    """Work for the writing thread, and who is told of it."""

    work: WriteWork
    future: asyncio.Future[Any]
    on_done: Callable[[Any], None]
    """Called with the answer once it is on disk, even if nobody waits for the future any more."""


class WriteFailure(NamedTuple):
    """Stands for the answer of work that raised."""

    error: Exception


class Store:
    """The pages held, behind one writing thread.

    What faults made of them is committed with them (the table `injections`), and handed to the injection log before
    anybody is answered: a process that is killed in between leaves it to the next one.
    """

    def __init__(self, path: Path, dedupe: Literal["page", "key", "none"], log: LinePublisher | None = None) -> None:
        self._path = path
        self._dedupe = dedupe
        self._outbox = Outbox(log)
        self._jobs: SimpleQueue[WriteJob | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.waiting = 0
        """Jobs that are not on disk yet."""
        self.deletions = 0
        """Times that pages were deleted since the start: who added rows up before must begin again."""

    async def open(self) -> None:
        """Opens the file, creating it if need be, and starts the writing thread."""
        self._loop = asyncio.get_running_loop()
        connection = await asyncio.to_thread(self._connect)
        self._thread = threading.Thread(target=self._write, args=(connection,), name="store", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Commits what is waiting and closes."""
        self._jobs.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_SCHEMA)
        self._outbox.recover(connection)
        return connection

    async def do(self, work: WriteWork, on_done: Callable[[Any], None] = lambda _answer: None) -> Any:
        """What `work` answers, once the transaction that it was part of is on disk.

        Who waits may be cancelled; the work is done all the same, and `on_done` is told of it.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting += 1
        self._jobs.put(WriteJob(work, future, on_done))
        return await future

    async def run(self, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement, once it is on disk."""
        rows: list[tuple[Any, ...]] = await self.do(
            lambda connection: connection.execute(statement, parameters).fetchall()
        )
        return rows

    async def put(
        self, order: StoreRequest, on_done: Callable[[StoreResult], None] = lambda _verdict: None
    ) -> StoreResult:
        """Stores an upload's rows unless it repeats or contradicts what is held."""
        verdict: StoreResult = await self.do(lambda connection: self._put(connection, order), on_done)
        return verdict

    async def lose(self, receipt: str, injections: tuple[str, ...] = ()) -> None:
        """Deletes the pages of a receipt; the lines are logged if there were any."""

        def delete(connection: sqlite3.Connection) -> None:
            if connection.execute("DELETE FROM pages WHERE receipt = ?", (receipt,)).rowcount:
                self._outbox.add(connection, injections)

        def lost(_answer: object) -> None:
            self.deletions += 1

        await self.do(delete, lost)

    def _put(self, connection: sqlite3.Connection, order: StoreRequest) -> StoreResult:
        held = self.held(connection, order.sent)
        if held is None:
            connection.executemany(_INSERT, order.rows)
            self._outbox.add(connection, order.injections)
        sent = order.sent
        verdict = held or StoreResult("new", sent.receipt, sent.sent_sha256, sent.size_bytes)
        if order.upload_id and verdict.kind != "conflict":
            connection.execute("UPDATE uploads SET receipt = ? WHERE id = ?", (verdict.receipt, order.upload_id))
        return verdict

    def held(self, connection: sqlite3.Connection, sent: PageRow) -> StoreResult | None:
        """How an upload stands to what is held already, or None if it is new."""
        if self._dedupe == "none" or (self._dedupe == "key" and not sent.idempotency_key):
            return None
        query = "SELECT receipt, sent_sha256, size_bytes FROM pages WHERE station = ? AND form = ? AND page = ?"
        key: tuple[object, ...] = (sent.station, sent.form, sent.page)
        if self._dedupe == "key":
            query += " AND idempotency_key = ?"
            key += (sent.idempotency_key,)
        found = connection.execute(query, key).fetchone()
        if found is None:
            return None
        return StoreResult("replay" if found[1] == sent.sent_sha256 else "conflict", *found)

    def _write(self, connection: sqlite3.Connection) -> None:
        while batch := self._gathered():
            self._commit(connection, batch)
            time.sleep(_GATHER_S if len(batch) == 1 else _GATHER_BUSY_S)
        self._outbox.clear(connection)
        connection.close()

    def _gathered(self) -> list[WriteJob]:
        """The jobs that wait, at least one; nothing when it is time to end."""
        batch: list[WriteJob] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == _MAX_BATCH:
                return batch
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return batch
        if batch:
            self._jobs.put(None)  # the end is asked for: come back to it when these are done
        return batch

    def _commit(self, connection: sqlite3.Connection, batch: list[WriteJob]) -> None:
        """Does the jobs of a batch in one transaction; if one of them fails, each in a transaction of its own."""
        has_begun = False
        answers: list[object]
        try:
            connection.execute("BEGIN IMMEDIATE")
            has_begun = True
            self._outbox.clear(connection)
            answers = [job.work(connection) for job in batch]
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever a job raises, this thread has to live on for the others
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            if has_begun and len(batch) > 1:
                for job in batch:
                    self._commit(connection, [job])
                return
            answers = [WriteFailure(error)] * len(batch)
        else:
            self._outbox.publish(connection)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, batch, answers)

    def _deliver(self, batch: list[WriteJob], answers: list[object]) -> None:
        self.waiting -= len(batch)
        for job, answer in zip(batch, answers, strict=True):
            if isinstance(answer, WriteFailure):
                if not job.future.done():
                    job.future.set_exception(answer.error)
                continue
            job.on_done(answer)
            if not job.future.done():
                job.future.set_result(answer)

    def read(self, query: str, parameters: tuple[object, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows as they are committed now, on a connection of their own; blocks, so call it in a thread."""
        with contextlib.closing(self._reader()) as connection:
            yield from connection.execute(query, parameters)

    def snapshot(self, query: str) -> tuple[int, Iterator[tuple[Any, ...]]]:
        """How many pages are held, and the rows of a query over the same state; on a connection of their own; blocks."""
        connection = self._reader()
        connection.execute("BEGIN")
        (count,) = connection.execute("SELECT count(*) FROM pages").fetchone()

        def rows() -> Iterator[tuple[Any, ...]]:
            with contextlib.closing(connection):
                yield from connection.execute(query)

        return count, rows()

    def _reader(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
