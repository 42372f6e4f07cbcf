"""A page's photo: what identifies it, and its bytes, which are never copied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

Buffer = bytes | memoryview
NO_COLUMNS: Mapping[str, str] = {}


def url_part(text: str) -> str:
    """A station's code or a form as a part of a path: percent-encoded, but for letters and digits.

    >>> url_part("3509191001001"), url_part("CLINIC 7/ä")
    ('3509191001001', 'CLINIC%207%2F%C3%A4')
    """
    # the usual codes need no encoding, and looking costs a tenth of a microsecond
    return text if text.isascii() and text.isalnum() else quote(text, safe="")


@dataclass(frozen=True, slots=True)
class PhotoSlice:
    """Bytes of a photo from `start` on, for the body of a request. The harness can tell which of them are sent again."""

    start: int
    buffers: list[Buffer]

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        return sum(map(len, self.buffers))


# Not frozen: one is made per page in the middle of a run, and freezing costs one to three microseconds.
@dataclass(slots=True)
class Photo:
    """One page's photo and what identifies it.

    The body is shared by many pages and never copied; `tail` makes each page's bytes unique (see plan/photos.py).
    """

    station: str
    """Code of the station."""
    form: str
    page: int
    """Number of the page within its form, from 1."""
    body: memoryview
    tail: bytes
    sha256: str
    """Digest of all its bytes, 64 lowercase hexadecimal digits."""
    reading: str
    """Canonical JSON, or "" for a page without votes."""
    columns: Mapping[str, str] = field(default_factory=lambda: NO_COLUMNS)
    """What the user's own files have of the station: "station.COLUMN" and "account.COLUMN"."""
    content_type: str = "image/jpeg"
    extension: str = "jpg"
    """Of a file name for it."""

    @property
    def size_bytes(self) -> int:
        """Body and tail together."""
        return len(self.body) + len(self.tail)

    @property
    def url_station(self) -> str:
        """The station's code as a part of a path."""
        return url_part(self.station)

    @property
    def url_form(self) -> str:
        """The form as a part of a path."""
        return url_part(self.form)

    @property
    def path(self) -> str:
        """Where the mock takes this page, for POST and PUT."""
        return f"/v1/stations/{self.url_station}/forms/{self.url_form}/pages/{self.page}"

    @property
    def whole(self) -> list[Buffer]:
        """All bytes of the photo, not copied."""
        return [self.body, self.tail]

    def part(self, start: int, end: int) -> list[Buffer]:
        """The photo's bytes from `start` up to, not including, `end`, not copied."""
        split = len(self.body)
        if start == 0 and end == split + len(self.tail):
            return self.whole
        parts: tuple[Buffer, ...] = (
            self.body[start:end],
            memoryview(self.tail)[max(0, start - split) : max(0, end - split)],
        )
        return [part for part in parts if len(part)]

    def slice(self, start: int = 0, end: int | None = None) -> PhotoSlice:
        """The photo's bytes from `start` up to, not including, `end` (None: to its end), for the body of a request.

        Positions beyond the end are cut to it; a negative one raises ValueError.

        >>> photo = Photo("3509191001001", "ppwp", 1, memoryview(b"abc"), b"de", "", "")
        >>> [bytes(part) for part in photo.slice(2, 4).buffers], photo.slice(4).size_bytes
        ([b'c', b'd'], 1)
        """
        size = self.size_bytes
        last = size if end is None else min(end, size)
        if start < 0 or last < 0:
            message = f"a slice of a photo begins and ends at 0 or later: slice({start}, {end})"
            raise ValueError(message)
        first = min(start, size)
        return PhotoSlice(first, self.part(first, max(first, last)))

    def read(self) -> bytes:
        """All bytes of the photo, copied: for what has to look at them. To send them, pass the photo or a slice of it."""
        return b"".join(self.whole)
