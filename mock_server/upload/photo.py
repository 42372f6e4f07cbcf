"""A photo as it streams in: its digest, its size, whether it is a whole JPEG, and whether it matches its Repr-Digest."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from mock_server.http.responses import Problem
from mock_server.upload.readings import Reading

_START_OF_IMAGE = 0xD8
_START_OF_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEGMENTS = frozenset(range(0xC0, 0xFF)) - frozenset(range(0xD0, 0xDA))
"""Markers followed by a length; the others (restarts, start and end of the image) may not come before a scan."""
_END_OF_IMAGE = b"\xff\xd9"
_READ_BYTES = 2**18


class JpegHeader:
    """Walks a photo's segments (ITU T.81, annex B) until its first scan; what follows is not examined."""

    def __init__(self) -> None:
        self._rest = b""
        self._skip = 0
        self._is_begun = False
        self._has_frame = False
        self.is_over = False
        """Whether the result is known, good or bad."""
        self.is_good = False
        """Whether there are the start of an image, a frame header and a scan header, in this order."""

    def feed(self, piece: memoryview) -> None:
        """Takes the next piece."""
        if self._skip >= len(piece):
            self._skip -= len(piece)
            return
        data = memoryview(self._rest + piece) if self._rest else piece
        at = self._skip  # 0 if there is a `_rest`
        while not self.is_over:
            length = self._segment(data, at)
            if length == 0:
                break
            at += length
        self._rest, self._skip = bytes(data[at : at + 4]), max(0, at - len(data))

    def _segment(self, data: memoryview, at: int) -> int:
        """The length of the segment (or fill byte) at a place; 0 if more bytes are needed, or if none follows."""
        if at + 2 > len(data):
            return 0
        if not self._is_begun:
            self._is_begun = data[at] == 0xFF and data[at + 1] == _START_OF_IMAGE
            self.is_over = not self._is_begun
            return 2
        mark, kind = data[at], data[at + 1]
        if mark == kind == 0xFF:  # any marker may be preceded by fill bytes (B.1.1.2)
            return 1
        is_bad = mark != 0xFF or kind not in _SEGMENTS or (kind == _START_OF_SCAN and not self._has_frame)
        if not is_bad and at + 4 > len(data):
            return 0
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if is_bad or length < 2:
            self.is_over = True
            return 0
        self._has_frame = self._has_frame or kind in _FRAMES
        self.is_over = self.is_good = kind == _START_OF_SCAN
        return 2 + length


class ReceivedUpload(NamedTuple):
    """A page as it arrived."""

    sha256: str
    """Digest of the photo, in lowercase hexadecimal."""
    size_bytes: int
    is_whole_jpeg: bool
    reading: Reading
    photo: bytes | None
    """None unless photos are kept."""


class PhotoSink:
    """Takes a photo's bytes in pieces and keeps only what is needed of them, a copy of the bytes themselves if `keep`."""

    def __init__(self, *, keep: bool) -> None:
        self._hash = hashlib.sha256()
        self._kept: list[bytes] | None = [] if keep else None
        self._header = JpegHeader()
        self._tail = b""
        self._is_padded = False
        self.size_bytes = 0

    def feed(self, piece: memoryview) -> None:
        """Takes the next piece, which may be overwritten afterwards; an empty one changes nothing."""
        if not piece:
            return
        self._hash.update(piece)
        self.size_bytes += len(piece)
        if not self._header.is_over:
            self._header.feed(piece)
        if piece[-1]:
            self._note_tail(bytes(piece[-2:]))
        else:
            self._note_tail(bytes(piece))
        if self._kept is not None:
            self._kept.append(bytes(piece))

    def _note_tail(self, piece: bytes) -> None:
        """Keeps the last two bytes before any zeros at the end: some cameras pad their files."""
        end = piece.rstrip(b"\0")
        if not end:
            self._is_padded = True
            return
        # Zeros that were followed by more are part of the photo, not padding.
        before = b"\0" if self._is_padded else self._tail
        self._tail = end[-2:] if len(end) > 1 else (before + end)[-2:]
        self._is_padded = len(end) < len(piece)

    def upload(self, reading: Reading) -> ReceivedUpload:
        """What arrived, with the reading that came with it."""
        whole = self._header.is_good and self._tail == _END_OF_IMAGE
        photo = None if self._kept is None else b"".join(self._kept)
        return ReceivedUpload(self._hash.hexdigest(), self.size_bytes, whole, reading, photo)


class PhotoAlone:
    """An upload whose body is the photo; `feed` takes the bytes of a buffer from a place to another."""

    def __init__(self, reading: Reading, sink: PhotoSink) -> None:
        self._reading = reading
        self._sink = sink

    def feed(self, data: bytes | bytearray, start: int, end: int) -> None:
        """Takes the next piece."""
        self._sink.feed(memoryview(data)[start:end])

    def upload(self) -> ReceivedUpload:
        """What has arrived, once the body is over."""
        return self._sink.upload(self._reading)


def read_file(path: Path, reading: Reading, *, keep: bool) -> ReceivedUpload:
    """The page whose photo is in a file; blocks, so call it in a thread."""
    sink = PhotoSink(keep=keep)
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            sink.feed(memoryview(piece))
    return sink.upload(reading)


# Repr-Digest (RFC 9530) is a structured field: a dictionary of byte sequences (RFC 8941, 3.2).
_KEY = r"[a-z*][a-z0-9_.*-]*"
_BYTES = r":[A-Za-z0-9+/=]*:"
_ITEM = (
    rf"(?:{_BYTES}"
    r'|"(?:[ !#-\[\]-~]|\\["\\])*"'
    r"|-?[0-9]{1,12}\.[0-9]{1,3}|-?[0-9]{1,15}"
    r"|\?[01]"
    r"|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*)"
)
_PARAMETERS = rf"(?:; *{_KEY}(?:={_ITEM})?)*"
_INNER_LIST = rf"\( *(?:{_ITEM}{_PARAMETERS}(?: +{_ITEM}{_PARAMETERS})*)? *\)"
_MEMBER = re.compile(rf"({_KEY})(?:=({_ITEM}|{_INNER_LIST}))?{_PARAMETERS}")
_COMMA = re.compile(r"[ \t]*,[ \t]*")


def check_digest(header: str | None, upload: ReceivedUpload) -> None:
    """Raises Problem 400 if a Repr-Digest header is malformed or its SHA-256 is not the photo's.

    Other algorithms are ignored.
    """
    claimed = dictionary_members(header or "").get("sha-256")
    if claimed is None:
        return
    if _decode_digest(claimed) != upload.sha256:
        raise Problem(400, "The photo does not match its Repr-Digest", sha256=upload.sha256)


def dictionary_members(header: str) -> dict[str, str]:
    """The members of a structured field's dictionary, not decoded. Raises Problem 400.

    >>> dictionary_members("sha-512=:AAAA:, sha-256=:AA==:;p=1, sha-256=:AQ==:")
    {'sha-512': ':AAAA:', 'sha-256': ':AQ==:'}
    """
    text = header.strip(" ")
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        member = _MEMBER.match(text, at)
        comma = None if member is None else _COMMA.match(text, member.end())
        if member is None or (member.end() < len(text) and comma is None) or (comma and comma.end() == len(text)):
            raise Problem(400, "Malformed Repr-Digest")
        found[member[1]] = member[2] or ""  # of several members with one key the last counts (RFC 8941, 4.2.2)
        at = len(text) if comma is None else comma.end()
    return found


def _decode_digest(member: str) -> str:
    """The digest in a byte sequence, in hexadecimal. Raises Problem 400."""
    if not re.fullmatch(_BYTES, member):
        raise Problem(400, "Malformed Repr-Digest: a digest is a byte sequence, as in sha-256=:…:")
    try:
        return base64.b64decode(member[1:-1], validate=True).hex()
    except binascii.Error as error:
        raise Problem(400, "Malformed Repr-Digest") from error
