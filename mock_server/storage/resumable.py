"""A resumable upload: a file that grows, and what it is meant to become."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from mock_server.upload.photo import PhotoSink, ReceivedUpload
from mock_server.upload.readings import parse_reading

_READ_BYTES = 2**18


@dataclass(slots=True)
class ResumableUpload:
    """An upload in progress. Only one request at a time may change it: it takes `is_locked`."""

    id: str
    station: str
    form: str
    page: int
    reading: str
    length: int
    metadata: str
    expires_at: float
    receipt: str
    """Of the page that it became; "" until then."""
    path: Path
    offset: int = 0
    is_locked: bool = False
    is_expired: bool = False
    is_pretended: bool = False
    """A fault claims that it is complete."""
    rollbacks: set[tuple[str, int]] = field(default_factory=set)
    """Faults that cut it down, each with the attempt that it struck."""

    @property
    def told_offset(self) -> int:
        """The offset that its client is told. It is the length only when the page is stored."""
        if self.is_pretended or self.receipt:
            return self.length
        return self.offset

    def append(self, chunk: bytes) -> None:
        """Adds bytes at the end; blocks, so call it in a thread."""
        with self.path.open("ab") as file:
            file.write(chunk)
        self.offset += len(chunk)

    def truncate(self, size: int) -> None:
        """Goes back to `size` bytes."""
        size = min(size, self.offset)
        os.truncate(self.path, size)
        self.offset = size

    def pretend_complete(self) -> None:
        """Gives the bytes up and claims to have them all."""
        self.is_pretended = True

    def expire(self) -> None:
        """Makes it gone for good."""
        self.is_expired = True

    def upload(self, *, keep: bool) -> ReceivedUpload:
        """The page that its bytes are; blocks, so call it in a thread."""
        sink = PhotoSink(keep=keep)
        with self.path.open("rb") as file:
            while chunk := file.read(_READ_BYTES):
                sink.feed(chunk)
        return sink.upload(parse_reading(self.reading.encode("utf-8", "surrogateescape")))


def chunk_checksum(algorithm: str, data: bytes) -> bytes:
    """The digest of a chunk by one of the algorithms that are offered; blocks, so call it in a thread.

    >>> checksum_of("sha1", b"").hex()[:8]
    'da39a3ee'
    """
    return hashlib.new(algorithm, data, usedforsecurity=False).digest()
