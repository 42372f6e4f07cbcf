"""What the server holds, in SQLite: an upload is answered only after the commit that holds its row.

One thread owns the connection and commits whatever has gathered meanwhile in one transaction (group commit), so that
the event loop never waits for a disk, and two uploads of one page are decided one after the other.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, NamedTuple

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pages (
    id INTEGER PRIMARY KEY, station TEXT NOT NULL, form TEXT NOT NULL, page INTEGER NOT NULL,
    sha256 TEXT NOT NULL, size_bytes INTEGER NOT NULL, reading TEXT NOT NULL, stored_at REAL NOT NULL,
    sent_sha256 TEXT NOT NULL, idempotency_key TEXT NOT NULL, receipt TEXT NOT NULL, photo BLOB
);
CREATE INDEX IF NOT EXISTS pages_by_key ON pages (station, form, page);
CREATE TABLE IF NOT EXISTS tokens (digest BLOB PRIMARY KEY, station TEXT NOT NULL, expires_at REAL NOT NULL) WITHOUT ROWID;
"""
_GATHERED = 512


class Row(NamedTuple):
    """A page to be stored."""

    station: str
    form: str
    page: int
    sha256: str
    size_bytes: int
    reading: str
    stored_at: float
    sent_sha256: str
    idempotency_key: str
    receipt: str
    photo: bytes | None = None


class Verdict(NamedTuple):
    """What became of an upload: `new`, `replay` of a page already held, or `conflict` with another photo of it."""

    kind: Literal["new", "replay", "conflict"]
    receipt: str
    sha256: str
    size_bytes: int


class Order(NamedTuple):
    """An upload as it came, and the rows to hold for it (one, unless a fault is at work)."""

    sent: Row
    rows: tuple[Row, ...]


Work = Callable[[sqlite3.Connection], Any]


class Store:
    """The pages held, behind one writing thread."""

    def __init__(self, path: Path, dedupe: Literal["page", "key", "none"]) -> None:
        self._path = path
        self._dedupe = dedupe
        self._jobs: SimpleQueue[tuple[Work, asyncio.Future[Any]] | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.waiting = 0

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
        return connection

    def _reader(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)

    async def do(self, work: Work) -> Any:
        """What `work` answers, once the transaction that it was part of is on disk."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting += 1
        self._jobs.put((work, future))
        try:
            return await future
        finally:
            self.waiting -= 1

    async def put(self, order: Order) -> Verdict:
        """Stores an upload's rows unless it repeats or contradicts what is held."""
        verdict: Verdict = await self.do(lambda connection: self._put(connection, order))
        return verdict

    def _put(self, connection: sqlite3.Connection, order: Order) -> Verdict:
        sent = order.sent
        held = self._held(connection, sent)
        if held is not None:
            kind: Literal["replay", "conflict"] = "replay" if held[1] == sent.sent_sha256 else "conflict"
            return Verdict(kind, held[0], held[1], held[2])
        if order.rows:
            marks = ", ".join("?" * len(Row._fields))
            connection.executemany(f"INSERT INTO pages ({', '.join(Row._fields)}) VALUES ({marks})", order.rows)  # noqa: S608
        return Verdict("new", sent.receipt, sent.sent_sha256, sent.size_bytes)

    def _held(self, connection: sqlite3.Connection, sent: Row) -> tuple[str, str, int] | None:
        if self._dedupe == "none" or (self._dedupe == "key" and not sent.idempotency_key):
            return None
        query = "SELECT receipt, sent_sha256, size_bytes FROM pages WHERE station = ? AND form = ? AND page = ?"
        key: tuple[object, ...] = (sent.station, sent.form, sent.page)
        if self._dedupe == "key":
            query += " AND idempotency_key = ?"
            key += (sent.idempotency_key,)
        found: tuple[str, str, int] | None = connection.execute(query, key).fetchone()
        return found

    def _write(self, connection: sqlite3.Connection) -> None:
        running = True
        while running:
            job = self._jobs.get()
            batch: list[tuple[Work, asyncio.Future[Any]]] = []
            while True:
                if job is None:
                    running = False
                    break
                batch.append(job)
                if len(batch) >= _GATHERED:
                    break
                try:
                    job = self._jobs.get_nowait()
                except Empty:
                    break
            if batch:
                self._commit(connection, batch)
        connection.close()

    def _commit(self, connection: sqlite3.Connection, batch: list[tuple[Work, asyncio.Future[Any]]]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            answers = [work(connection) for work, _ in batch]
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._tell([(future, error) for _, future in batch])
        else:
            self._tell([(future, answer) for (_, future), answer in zip(batch, answers, strict=True)])

    def _tell(self, answers: list[tuple[asyncio.Future[Any], object]]) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(_deliver, answers)

    def read(self, query: str, parameters: tuple[object, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows as they are committed now, on a connection of their own; blocks, so call it in a thread."""
        connection = self._reader()
        try:
            yield from connection.execute(query, parameters)
        finally:
            connection.close()


def _deliver(answers: list[tuple[asyncio.Future[Any], object]]) -> None:
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, sqlite3.Error):
            future.set_exception(answer)
        else:
            future.set_result(answer)
