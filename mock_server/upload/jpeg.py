"""The beginning of a JPEG (ITU T.81, annex B): the segments from its start to its first scan, walked as they come."""

from __future__ import annotations

_START_OF_IMAGE = 0xD8
_START_OF_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEGMENTS = frozenset(range(0xC0, 0xFF)) - frozenset(range(0xD0, 0xDA))
"""Markers with a length behind them; the others (restarts, start and end of the image) may not come before a scan."""


class JpegHeader:
    """Walks a photo's segments until its first scan; what follows is not looked at."""

    def __init__(self) -> None:
        self._rest = b""
        self._skip = 0
        self._is_begun = False
        self._has_frame = False
        self.is_over = False
        """Whether enough has been seen, good or bad."""
        self.is_good = False
        """Whether there are the start of an image, a frame header and a scan header, in this order."""

    def feed(self, piece: bytes) -> None:
        """Takes the next piece."""
        if self._skip >= len(piece):
            self._skip -= len(piece)
            return
        data, at = self._rest + piece, self._skip  # one of the two is nothing
        while not self.is_over:
            length = self._segment(data, at)
            if length == 0:
                break
            at += length
        self._rest, self._skip = data[at : at + 4], max(0, at - len(data))

    def _segment(self, data: bytes, at: int) -> int:
        """The length of the segment (or fill byte) at a place, 0 if more bytes are needed to tell or none follows."""
        if at + 2 > len(data):
            return 0
        if not self._is_begun:
            self._is_begun = data[at] == 0xFF and data[at + 1] == _START_OF_IMAGE
            self.is_over = not self._is_begun
            return 2
        mark, kind = data[at], data[at + 1]
        if mark == kind == 0xFF:
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
