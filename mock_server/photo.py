"""A photo as it streams in: its digest, its size, and whether it is a whole JPEG; the bytes only if they are wanted."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from mock_server.readings import Reading

_START_OF_IMAGE = b"\xff\xd8\xff"
_END_OF_IMAGE = b"\xff\xd9"


class Upload(NamedTuple):
    """A page as it arrived."""

    sha256: str
    size_bytes: int
    is_whole_jpeg: bool
    reading: Reading
    photo: bytes | None


class PhotoSink:
    """Takes a photo's bytes in pieces and keeps what is needed of them."""

    def __init__(self, *, keep: bool) -> None:
        self._hash = hashlib.sha256()
        self._kept: list[bytes] | None = [] if keep else None
        self._head = b""
        self._tail = b""
        self.size_bytes = 0

    def feed(self, piece: bytes) -> None:
        """Takes the next piece."""
        self._hash.update(piece)
        self.size_bytes += len(piece)
        if len(self._head) < 3:
            self._head = (self._head + piece[:3])[:3]
        self._tail = piece[-2:] if len(piece) > 1 else (self._tail + piece)[-2:]
        if self._kept is not None:
            self._kept.append(piece)

    def upload(self, reading: Reading) -> Upload:
        """What arrived, with the reading that came beside it."""
        whole = self._head == _START_OF_IMAGE and self._tail == _END_OF_IMAGE and self.size_bytes >= 4
        photo = None if self._kept is None else b"".join(self._kept)
        return Upload(self._hash.hexdigest(), self.size_bytes, whole, reading, photo)
