"""One thread that writes to SQLite and commits whatever has gathered meanwhile in one transaction (group commit).

The event loop never waits for a disk, and two uploads of one page are decided one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from mock_server.storage.injection_log import Outbox

_MAX_BATCH = 512
_GATHER_S, _GATHER_BUSY_S = 0.002, 0.010
"""Shortest time between two commits, alone and while uploads come side by side: a commit costs much the same for one
upload or fifty."""

WriteWork = Callable[[sqlite3.Connection], Any]


class WriteJob(NamedTuple):
    """Work for the writing thread, and what is called with its result."""

    work: WriteWork
    future: asyncio.Future[Any]
    on_done: Callable[[Any], None]
    """Called with the result once it is on disk, even if nothing awaits the future any more."""


class WriteFailure(NamedTuple):
    """Stands for the result of work that raised."""

    error: Exception


class GroupCommitWriter:
    """The writing thread. What the outbox gathered in a transaction is published before any of its results."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._jobs: SimpleQueue[WriteJob | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.waiting = 0
        """Jobs that are not on disk yet."""

    def start(self, connection: sqlite3.Connection) -> None:
        """Starts the thread; from now on the connection belongs to it."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(connection,), name="store", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Commits what is waiting and closes the connection."""
        self._jobs.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def do(self, work: WriteWork, on_done: Callable[[Any], None]) -> Any:
        """The result of `work`, once the transaction that it was part of is on disk; raises what it raised.

        The caller may be cancelled: the work is done all the same, and `on_done` is called.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting += 1
        self._jobs.put(WriteJob(work, future, on_done))
        return await future

    def _run(self, connection: sqlite3.Connection) -> None:
        while batch := self._next_batch():
            self._commit(connection, batch)
            # Not before the commit: a lone upload must not wait for company that may never come.
            time.sleep(_GATHER_S if len(batch) == 1 else _GATHER_BUSY_S)
        self._outbox.clear(connection)
        connection.close()

    def _next_batch(self) -> list[WriteJob]:
        """The jobs that wait, at least one; none when the writer is closed."""
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
            self._jobs.put(None)  # closed, but these jobs come first: the next call finds the mark again
        return batch

    def _commit(self, connection: sqlite3.Connection, batch: list[WriteJob]) -> None:
        """Does the jobs of a batch in one transaction; if one of them fails, each in a transaction of its own."""
        has_begun = False
        results: list[object]
        try:
            connection.execute("BEGIN IMMEDIATE")
            has_begun = True
            self._outbox.clear(connection)
            results = [job.work(connection) for job in batch]
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever a job raises, this thread has to go on for the others
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            # If BEGIN itself failed (locked, disk full), it would fail for each job too, after as long a wait.
            if has_begun and len(batch) > 1:
                for job in batch:
                    self._commit(connection, [job])
                return
            results = [WriteFailure(error)] * len(batch)
        else:
            self._outbox.publish(connection)
        if self._loop is not None and not self._loop.is_closed():  # the thread is a daemon and may outlive the loop
            self._loop.call_soon_threadsafe(self._deliver, batch, results)

    def _deliver(self, batch: list[WriteJob], results: list[object]) -> None:
        self.waiting -= len(batch)
        for job, result in zip(batch, results, strict=True):
            if isinstance(result, WriteFailure):
                if not job.future.done():
                    job.future.set_exception(result.error)
                continue
            job.on_done(result)
            if not job.future.done():
                job.future.set_result(result)
