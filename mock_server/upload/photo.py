"""A photo as it streams in: its digest, its size, and whether it is a whole JPEG; the bytes only if they are wanted."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from mock_server.upload.jpeg import JpegHeader
from mock_server.upload.readings import Reading

_END_OF_IMAGE = b"\xff\xd9"


class ReceivedUpload(NamedTuple):
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
        self._head = JpegHeader()
        self._tail = b""
        self._is_padded = False
        self.size_bytes = 0

    def feed(self, piece: bytes) -> None:
        """Takes the next piece."""
        self._hash.update(piece)
        self.size_bytes += len(piece)
        if not self._head.is_over:
            self._head.feed(piece)
        self._note_tail(piece)
        if self._kept is not None:
            self._kept.append(piece)

    def _note_tail(self, piece: bytes) -> None:
        """Keeps the last two bytes before any zeros at the end: some cameras pad their files."""
        end = piece.rstrip(b"\0")
        if not end:
            self._is_padded = self._is_padded or bool(piece)
            return
        before = b"\0" if self._is_padded else self._tail
        self._tail = end[-2:] if len(end) > 1 else (before + end)[-2:]
        self._is_padded = len(end) < len(piece)

    def upload(self, reading: Reading) -> ReceivedUpload:
        """What arrived, with the reading that came beside it."""
        whole = self._head.is_good and self._tail == _END_OF_IMAGE
        photo = None if self._kept is None else b"".join(self._kept)
        return ReceivedUpload(self._hash.hexdigest(), self.size_bytes, whole, reading, photo)
