"""Resumable uploads: created durably, found again after a restart, removed when they expire."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mock_server.profile.upload_progress import UploadProgress
from mock_server.storage.durable import sync_folder
from mock_server.storage.store import Store

_COLUMNS = "id, station, form, page, reading, length, metadata, expires_at, receipt"
_INSERT = f"INSERT INTO uploads ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_SELECT = f"SELECT {_COLUMNS}, digest FROM uploads LEFT JOIN representations ON upload = id WHERE id = ?"  # noqa: S608
_SWEEP_INTERVAL_S = 30.0
_MAX_PER_SWEEP = 500
"""What a sweep removes at most; the rest waits for the next one, so that the store stays free for uploads."""
_DELETE_LONG_EXPIRED = """
DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE expires_at < ? LIMIT ?) RETURNING id
"""
POWER_CUTS_VARIABLE = "MOCK_SERVER_POWER_CUTS"
"""Environment variable: how often the supervisor has cut the power."""
_log = logging.getLogger(__name__)


class UploadNotFoundError(LookupError):
    """There is no resumable upload of this id."""


class UploadExpiredError(LookupError):
    """The resumable upload of this id has expired, or was given up."""


@dataclass(slots=True, kw_only=True, eq=False)
class ResumableUpload(UploadProgress):
    """An upload in progress: a file that grows, and what it is meant to become."""

    id: str
    station: str
    form: str
    page: int
    reading: str
    metadata: str
    """The header Upload-Metadata as it came."""
    expires_at: float
    """Seconds since the epoch."""
    path: Path
    digest: str = ""
    """The header Repr-Digest of the creation, of an upload over HTTP (not tus)."""
    receipt: str = ""
    """Of the page that it has become, as far as it was read from the store."""
    synced: int = -1
    """Up to where its bytes are known to be on the disk."""

    def append(self, chunk: bytes) -> None:
        """Adds bytes at the end; blocks, so call it in a thread."""
        with self.path.open("ab") as file:
            file.write(chunk)
        self.offset += len(chunk)

    def sync(self) -> None:
        """Puts the bytes on the disk; blocks, so call it in a thread."""
        with suppress(FileNotFoundError), self.path.open("rb") as file:  # meanwhile it may have become a page
            os.fsync(file.fileno())

    def truncate(self, size: int) -> None:
        """Drops everything after the first `size` bytes, in the file too."""
        os.truncate(self.path, min(size, self.offset))
        UploadProgress.truncate(self, size)
        self.synced = min(self.synced, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """What a request that creates an upload says of what is to be uploaded."""

    length: int
    """In bytes; 0 if the client doesn't know it yet."""
    reading: str = ""
    metadata: str = ""
    digest: str | None = None
    """Repr-Digest, "" for none, of an upload over HTTP; None for one by tus."""


class ResumableStore:
    """All resumable uploads, by id; their bytes are files in a folder, an upload's offset is its file's size.

    After a `kill -9` the kernel still has what was written. After a power cut a file may be longer than what of it was synced,
    with zeros in between: so what a response has promised is recorded, and the rest is dropped when the machine was down.
    """

    def __init__(
        self, store: Store, folder: Path, lifetime_s: float, wall_clock: Callable[[], float], boot: str = ""
    ) -> None:
        """`boot` is another one each time the machine has been started; "" asks the kernel."""
        self._store = store
        self._boot = boot or _read_boot_id()
        self._folder = folder
        self._lifetime_s = lifetime_s
        self._now = wall_clock
        self._open: dict[str, ResumableUpload] = {}

    async def open(self) -> None:
        """Takes up what an earlier process left; once the store is open."""
        before = [boot for (boot,) in await self._store.run("SELECT id FROM boots")]
        if before and before != [self._boot]:
            offsets: dict[str, int] = dict(await self._store.run("SELECT upload, synced FROM offsets"))
            await asyncio.to_thread(_drop_unsynced, self._files(), offsets)
        if before != [self._boot]:
            await self._store.do(lambda connection: _replace_boot(connection, self._boot))

    async def create(self, page: tuple[str, str, int], sent: Representation) -> ResumableUpload:
        """A new upload, on disk."""
        await asyncio.to_thread(self._make_folder)
        name = secrets.token_urlsafe(18)
        expires = self._now() + self._lifetime_s
        station, form, number = page
        upload = ResumableUpload(
            id=name, station=station, form=form, page=number, reading=sent.reading, length=sent.length,
            metadata=sent.metadata, expires_at=expires, path=self._path(name), digest=sent.digest or "",
            acknowledges_by_offset=sent.digest is None, synced=0,
        )  # fmt: skip
        row = (name, *page, sent.reading, sent.length, sent.metadata, expires, "")

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(_INSERT, row)
            if sent.digest is not None:
                connection.execute("INSERT INTO representations VALUES (?, ?)", (name, sent.digest))

        # The record before the file: a file without a record is swept.
        await self._store.do(insert)
        await asyncio.to_thread(self._make_file, upload.path)
        self._open[name] = upload
        return upload

    def _make_folder(self) -> None:
        if not self._folder.is_dir():
            self._folder.mkdir(exist_ok=True)
            sync_folder(self._folder.parent)

    def _make_file(self, path: Path) -> None:
        path.touch()
        sync_folder(self._folder)

    async def append(self, upload: ResumableUpload, data: bytes) -> None:
        """Appends bytes in a thread.

        A request that is cancelled waits for the thread, or its bytes would come after the first ones of the next request.
        """
        writing = asyncio.ensure_future(asyncio.to_thread(upload.append, data))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing
            raise

    async def receipt_of(self, upload: ResumableUpload) -> dict[str, object]:
        """What the receipt of a page says that an upload has become, or that a fault claims it has."""
        query = "SELECT sent_sha256, size_bytes FROM pages WHERE receipt = ?"
        rows = await self._store.run(query, (upload.receipt,)) if upload.receipt else []
        sha256, size_bytes = rows[0] if rows else ("", upload.reported_offset)
        return {"receipt": upload.receipt or upload.id, "sha256": sha256, "size": size_bytes}

    async def keep_bytes(self, upload: ResumableUpload) -> int:
        """Makes the offset durable that a response is about to promise; that offset.

        Nothing is to be done where it is durable already, or the upload is a page.
        """
        offset = upload.reported_offset
        if not (upload.is_complete or offset <= upload.synced):
            await asyncio.to_thread(upload.sync)
            await self._store.run("INSERT OR REPLACE INTO offsets VALUES (?, ?)", (upload.id, offset))
            upload.synced = offset
        return offset

    def remaining_s(self, upload: ResumableUpload) -> int:
        """How long it can still be resumed, in whole seconds."""
        return max(0, int(upload.expires_at - self._now()))

    async def set_length(self, upload: ResumableUpload, length: int) -> None:
        """Records the length, once the client has said it."""
        upload.length = length
        await self._store.run("UPDATE uploads SET length = ? WHERE id = ?", (length, upload.id))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.part"

    async def find(self, name: str) -> ResumableUpload:
        """The upload of this id; raises UploadNotFoundError or UploadExpiredError."""
        upload = self._open.get(name)
        if upload is None:
            rows = await self._store.run(_SELECT, (name,))
            if not rows:
                raise UploadNotFoundError(name)
            upload = await asyncio.to_thread(self._load, rows[0])
            upload = self._open.setdefault(name, upload)  # another request may have loaded it meanwhile
        if not upload.is_locked and (upload.is_expired or self._now() >= upload.expires_at):
            await self.remove(upload)
            raise UploadExpiredError(name)
        return upload

    def _load(self, row: tuple[Any, ...]) -> ResumableUpload:
        """An upload as a restart finds it."""
        name, station, form, page, reading, length, metadata, expires_at, receipt, digest = row
        upload = ResumableUpload(
            id=name, station=station, form=form, page=page, reading=reading, length=length, metadata=metadata,
            expires_at=expires_at, path=self._path(name), is_stored=bool(receipt),
            receipt=receipt, digest=digest or "", acknowledges_by_offset=digest is None,
        )  # fmt: skip
        if upload.is_stored:
            upload.offset = upload.length
            return upload
        self._make_folder()
        upload.path.touch()
        upload.offset = upload.path.stat().st_size
        upload.recover()
        return upload

    async def forget_bytes(self, upload: ResumableUpload) -> None:
        """Removes the file of an upload that became a page; its record stays until it expires."""
        self._open.pop(upload.id, None)
        await asyncio.to_thread(upload.path.unlink, missing_ok=True)

    async def remove(self, upload: ResumableUpload) -> None:
        """Removes an upload; its id answers 410 from now on."""
        upload.is_expired = True
        await asyncio.to_thread(upload.path.unlink, missing_ok=True)
        await self._store.run("UPDATE uploads SET expires_at = 0 WHERE id = ?", (upload.id,))
        self._open.pop(upload.id, None)  # only now: until that is on disk a request would load it again

    async def keep_clean(self) -> None:
        """Sweeps now and then until cancelled."""
        while True:
            try:
                await self.sweep()
            except (sqlite3.Error, OSError):
                _log.exception("cannot remove expired uploads")
            await asyncio.sleep(min(_SWEEP_INTERVAL_S, self._lifetime_s))

    async def sweep(self) -> None:
        """Removes files that have expired or whose upload is not known any more, and records long after that.

        The records stay for another lifetime, so that a client that comes too late gets 410 and not 404.
        """
        now = self._now()
        paths = {path.stem: path for path in await asyncio.to_thread(self._files)}
        known = await self._store.do(lambda connection: _expiries(connection, paths))
        expired = [name for name in paths if known.get(name, 0.0) <= now and not self._is_in_use(name)]
        expired = expired[:_MAX_PER_SWEEP]
        for name in expired:
            self._open.pop(name, None)
        await asyncio.to_thread(_unlink, [paths[name] for name in expired])
        for (name,) in await self._store.run(_DELETE_LONG_EXPIRED, (now - self._lifetime_s, _MAX_PER_SWEEP)):
            self._open.pop(name, None)
        for table in ("offsets", "representations"):
            await self._store.run(f"DELETE FROM {table} WHERE upload NOT IN (SELECT id FROM uploads)")  # noqa: S608

    def _files(self) -> list[Path]:
        return list(self._folder.glob("*.part"))

    def _is_in_use(self, name: str) -> bool:
        upload = self._open.get(name)
        return upload is not None and upload.is_locked


def _read_boot_id() -> str:
    """Of this start of the machine; a disk whose power is cut counts its own (docs/decisions/0021)."""
    try:
        machine = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        machine = ""
    return f"{machine} {os.environ.get(POWER_CUTS_VARIABLE, '0')}"


def _replace_boot(connection: sqlite3.Connection, boot: str) -> None:
    connection.execute("DELETE FROM boots")
    connection.execute("INSERT INTO boots VALUES (?)", (boot,))


def _drop_unsynced(paths: list[Path], offsets: dict[str, int]) -> None:
    """Cuts each file to what was synced of it."""
    for path in paths:
        os.truncate(path, min(path.stat().st_size, offsets.get(path.stem, 0)))


def _expiries(connection: sqlite3.Connection, names: Iterable[str]) -> dict[str, float]:
    """When each of these uploads expires; those that became a page, or are unknown, are left out."""
    query = "SELECT expires_at FROM uploads WHERE id = ? AND receipt = ''"
    found = ((name, connection.execute(query, (name,)).fetchone()) for name in names)
    return {name: row[0] for name, row in found if row is not None}


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
