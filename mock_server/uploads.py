"""The resumable uploads in progress: created durably, found again after a restart, swept when they expire."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mock_server.answers import Problem
from mock_server.resumable import Resumable
from mock_server.store import Store

_COLUMNS = "id, station, form, page, reading, length, metadata, expires_at, receipt"
_SWEEP_EVERY_S = 30.0


class Uploads:
    """All of them, by id; their bytes are files in a folder, their offset is a file's size."""

    def __init__(self, store: Store, folder: Path, lifetime_s: float, wall_clock: Callable[[], float]) -> None:
        self._store = store
        self._folder = folder
        self._lifetime_s = lifetime_s
        self._now = wall_clock
        self._open: dict[str, Resumable] = {}
        self._next_sweep_s = 0.0

    async def create(self, page: tuple[str, str, int], reading: str, length: int, metadata: str) -> Resumable:
        """A new upload, on disk."""
        await self._sweep()
        await asyncio.to_thread(self._folder.mkdir, exist_ok=True)
        name = secrets.token_urlsafe(18)
        expires = self._now() + self._lifetime_s
        upload = Resumable(name, *page, reading, length, metadata, expires, "", self._path(name))
        row = (name, *page, reading, length, metadata, expires, "")
        await self._store.run(f"INSERT INTO uploads ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608
        await asyncio.to_thread(upload.path.touch)
        self._open[name] = upload
        return upload

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.part"

    async def find(self, name: str) -> Resumable:
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

    def _found(self, row: tuple[Any, ...]) -> Resumable:
        """An upload as a restart finds it: what is not stored is not complete, its last byte has to come again."""
        name, station, form, page, reading, length, metadata, expires_at, receipt = row
        path = self._path(name)
        upload = Resumable(name, station, form, page, reading, length, metadata, expires_at, receipt, path)
        if upload.receipt:
            upload.offset = upload.length
            return upload
        upload.path.touch()
        upload.offset = upload.path.stat().st_size
        if upload.offset >= upload.length:
            upload.truncate(max(0, upload.length - 1))
        return upload

    async def forget_bytes(self, upload: Resumable) -> None:
        """Removes the file of an upload that became a page; its record stays until it expires."""
        self._open.pop(upload.id, None)
        await asyncio.to_thread(upload.path.unlink, missing_ok=True)

    async def remove(self, upload: Resumable) -> None:
        """Removes an upload altogether. Found by its id until that is on disk, else it would be read in again."""
        upload.is_expired = True
        await asyncio.to_thread(upload.path.unlink, missing_ok=True)
        await self._store.run("UPDATE uploads SET expires_at = 0 WHERE id = ?", (upload.id,))
        self._open.pop(upload.id, None)

    async def _sweep(self) -> None:
        now = self._now()
        if now < self._next_sweep_s:
            return
        self._next_sweep_s = now + _SWEEP_EVERY_S
        long_gone = now - self._lifetime_s
        for (name,) in await self._store.run("DELETE FROM uploads WHERE expires_at < ? RETURNING id", (long_gone,)):
            self._open.pop(name, None)
            await asyncio.to_thread(self._path(name).unlink, missing_ok=True)
