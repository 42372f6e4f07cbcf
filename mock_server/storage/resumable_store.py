"""The resumable uploads in progress: created durably, found again after a restart, swept when they expire."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mock_server.http.responses import Problem
from mock_server.storage.resumable import ResumableUpload
from mock_server.storage.store import Store

_COLUMNS = "id, station, form, page, reading, length, metadata, expires_at, receipt"
_SWEEP_INTERVAL_S = 30.0
_MAX_PER_SWEEP = 500
"""What a sweep removes at most; the rest waits for the next one."""


_DELETE_LONG_GONE = """
DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE expires_at < ? LIMIT ?) RETURNING id
"""
_log = logging.getLogger(__name__)


class ResumableStore:
    """All of them, by id; their bytes are files in a folder, their offset is a file's size."""

    def __init__(self, store: Store, folder: Path, lifetime_s: float, wall_clock: Callable[[], float]) -> None:
        self._store = store
        self._folder = folder
        self._lifetime_s = lifetime_s
        self._now = wall_clock
        self._open: dict[str, ResumableUpload] = {}

    async def create(self, page: tuple[str, str, int], reading: str, length: int, metadata: str) -> ResumableUpload:
        """A new upload, on disk."""
        await asyncio.to_thread(self._folder.mkdir, exist_ok=True)
        name = secrets.token_urlsafe(18)
        expires = self._now() + self._lifetime_s
        upload = ResumableUpload(name, *page, reading, length, metadata, expires, "", self._path(name))
        row = (name, *page, reading, length, metadata, expires, "")
        await self._store.run(f"INSERT INTO uploads ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608
        await asyncio.to_thread(upload.path.touch)
        self._open[name] = upload
        return upload

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.part"

    async def find(self, name: str) -> ResumableUpload:
        """The upload of this id; raises Problem 404, or 410 if its time is over."""
        upload = self._open.get(name)
        if upload is None:
            rows = await self._store.run(f"SELECT {_COLUMNS} FROM uploads WHERE id = ?", (name,))  # noqa: S608
            if not rows:
                raise Problem(404, "No such upload")
            upload = await asyncio.to_thread(self._found, rows[0])
            upload = self._open.setdefault(name, upload)
        if not upload.is_locked and (upload.is_expired or self._now() >= upload.expires_at):
            await self.remove(upload)
            raise Problem(410, "The upload has expired")
        return upload

    def _found(self, row: tuple[Any, ...]) -> ResumableUpload:
        """An upload as a restart finds it: what is not stored is not complete, its last byte has to come again."""
        name, station, form, page, reading, length, metadata, expires_at, receipt = row
        path = self._path(name)
        upload = ResumableUpload(name, station, form, page, reading, length, metadata, expires_at, receipt, path)
        if upload.receipt:
            upload.offset = upload.length
            return upload
        upload.path.touch()
        upload.offset = upload.path.stat().st_size
        if upload.offset >= upload.length:
            upload.truncate(max(0, upload.length - 1))
        return upload

    async def forget_bytes(self, upload: ResumableUpload) -> None:
        """Removes the file of an upload that became a page; its record stays until it expires."""
        self._open.pop(upload.id, None)
        await asyncio.to_thread(upload.path.unlink, missing_ok=True)

    async def remove(self, upload: ResumableUpload) -> None:
        """Removes an upload altogether. Found by its id until that is on disk, else it would be read in again."""
        upload.is_expired = True
        await asyncio.to_thread(upload.path.unlink, missing_ok=True)
        await self._store.run("UPDATE uploads SET expires_at = 0 WHERE id = ?", (upload.id,))
        self._open.pop(upload.id, None)

    async def keep_clean(self) -> None:
        """Sweeps now and then until cancelled."""
        while True:
            try:
                await self.sweep()
            except (sqlite3.Error, OSError):
                _log.exception("expired uploads can't be removed")
            await asyncio.sleep(min(_SWEEP_INTERVAL_S, self._lifetime_s))

    async def sweep(self) -> None:
        """Removes bytes that have expired, or whose upload nobody knows any more, and records long after that.

        The records stay for another lifetime, so that a client that comes too late is told 410 and not 404.
        """
        now = self._now()
        bytes_of = {path.stem: path for path in await asyncio.to_thread(self._files)}
        known = await self._store.do(lambda connection: _expiries(connection, bytes_of))
        gone = [name for name in bytes_of if known.get(name, 0.0) <= now and not self._is_in_use(name)][:_MAX_PER_SWEEP]
        for name in gone:
            self._open.pop(name, None)
        await asyncio.to_thread(_unlink, [bytes_of[name] for name in gone])
        for (name,) in await self._store.run(_DELETE_LONG_GONE, (now - self._lifetime_s, _MAX_PER_SWEEP)):
            self._open.pop(name, None)

    def _files(self) -> list[Path]:
        return list(self._folder.glob("*.part"))

    def _is_in_use(self, name: str) -> bool:
        upload = self._open.get(name)
        return upload is not None and upload.is_locked


def _expiries(connection: sqlite3.Connection, names: Iterable[str]) -> dict[str, float]:
    """When each of these uploads expires; those that became a page, or are unknown, are left out."""
    query = "SELECT expires_at FROM uploads WHERE id = ? AND receipt = ''"
    found = ((name, connection.execute(query, (name,)).fetchone()) for name in names)
    return {name: row[0] for name, row in found if row is not None}


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
