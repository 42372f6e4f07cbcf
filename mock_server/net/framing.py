"""Where one request of a connection ends and the next begins, so that a header that has begun can be timed.

The HTTP library does not tell: it holds half a header back until the rest of it has come. This follows the lengths only
(RFC 9112, 6 and 7.1); whatever is malformed is the library's to refuse, and it closes the connection then.
"""

from __future__ import annotations

from enum import Enum, auto

_HEADER_END = b"\r\n\r\n"
_LINE_END = b"\r\n"


class _Place(Enum):
    HEADER = auto()
    BODY = auto()
    CHUNK_SIZE = auto()
    CHUNK = auto()
    TRAILER = auto()
    LOST = auto()


class RequestFraming:
    """Follows the bytes of a connection."""

    def __init__(self) -> None:
        self._place = _Place.HEADER
        self._left_bytes = 0
        self._held = bytearray()
        """The beginning of a header or of a line whose end has not come."""
        self.headers = 0
        """Whole headers so far."""

    @property
    def is_in_header(self) -> bool:
        """Whether a header has begun and not ended."""
        return self._place is _Place.HEADER and bool(self._held)

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        at = 0
        while at < len(data):
            if self._place in {_Place.BODY, _Place.CHUNK}:
                at = self._through_body(at, len(data))
            elif self._place is _Place.HEADER:
                at = self._through_header(data, at)
            elif self._place is _Place.LOST:
                return
            else:
                at = self._through_line(data, at)

    def _through_body(self, at: int, end: int) -> int:
        step = min(self._left_bytes, end - at)
        self._left_bytes -= step
        if self._left_bytes == 0:
            self._place = _Place.HEADER if self._place is _Place.BODY else _Place.CHUNK_SIZE
        return at + step

    def _through_header(self, data: bytes, at: int) -> int:
        if not self._held:
            while at < len(data) and data[at] in b"\r\n":  # empty lines before a request mean nothing
                at += 1
        header, at = self._until(_HEADER_END, data, at)
        if header is not None:
            self.headers += 1
            self._begin_body(header.lower())
        return at

    def _begin_body(self, header: bytes) -> None:
        if b"chunked" in _field(header, b"transfer-encoding"):
            self._place = _Place.CHUNK_SIZE
            return
        length = _field(header, b"content-length")
        self._left_bytes = int(length) if length.isdigit() and len(length) < 19 else 0
        self._place = _Place.BODY if self._left_bytes else _Place.HEADER

    def _through_line(self, data: bytes, at: int) -> int:
        line, at = self._until(_LINE_END, data, at)
        if line is None:
            return at
        if self._place is _Place.TRAILER:
            self._place = _Place.TRAILER if line else _Place.HEADER
            return at
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            size = -1
        self._left_bytes = size + len(_LINE_END)
        self._place = _Place.CHUNK if size > 0 else _Place.TRAILER if size == 0 else _Place.LOST
        return at

    def _until(self, end: bytes, data: bytes, at: int) -> tuple[bytes | None, int]:
        """What comes before `end`, and where it goes on behind it; None as long as it has not come."""
        if not self._held:
            found = data.find(end, at)
            if found >= 0:
                return data[at:found], found + len(end)
        before = len(self._held)
        self._held += data[at:]
        found = self._held.find(end, max(0, before - len(end) + 1))
        if found < 0:
            return None, len(data)
        whole = bytes(self._held[:found])
        self._held.clear()
        return whole, at + found + len(end) - before


def _field(header: bytes, name: bytes) -> bytes:
    r"""The value of a field in a header in small letters, b"" if it is not there.

    >>> _field(b"get / http/1.1\r\ncontent-length:  12 \r\nhost: x", b"content-length")
    b'12'
    """
    _, found, rest = header.partition(b"\r\n" + name + b":")
    return rest.partition(_LINE_END)[0].strip() if found else b""
