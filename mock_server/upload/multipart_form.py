"""An upload as a multipart form: the parts `photo` and `reading`, read as the bytes come and without copying the photo.

The structure of a form is left to the library. But it joins, cuts and thereby copies what it is given: it gets everything
except the bytes of the photo, which go from where they lie to the sink.
"""

from __future__ import annotations

from functools import lru_cache

import multipart

from mock_server.http.responses import Problem
from mock_server.upload.photo import PhotoSink, ReceivedUpload
from mock_server.upload.readings import MAX_READING_BYTES, parse_reading

_PARTS = ("photo", "reading")


@lru_cache(maxsize=1024)  # a client sends the same one again and again
def multipart_boundary(content_type: str) -> str:
    """The boundary in a Content-Type header; raises Problem 415 or 400."""
    kind, options = multipart.parse_options_header(content_type)
    if kind != "multipart/form-data":
        raise Problem(415, "Send multipart/form-data with the parts photo and reading")
    boundary: str = options.get("boundary", "")
    if not 1 <= len(boundary) <= 70 or not boundary.isascii():  # RFC 2046, 5.1.1
        raise Problem(400, "The multipart boundary is missing or malformed")
    return boundary


class MultipartForm:
    """The parts as they come, in any order; nothing is kept of the photo but what `sink` keeps.

    `feed` and `upload` raise Problem 400 for a malformed form, 413 for parts that are too large.
    """

    def __init__(self, boundary: str, sink: PhotoSink, max_bytes: int) -> None:
        self._parser = multipart.PushMultipartParser(
            boundary, max_segment_size=max_bytes, max_segment_count=8, max_header_size=4096, max_header_count=16
        )
        self._delimiter = b"\r\n--" + boundary.encode()
        self._sink = sink
        self._reading = bytearray()
        self._begun: set[str] = set()
        self._part = ""
        self._is_in_photo = False
        """Whether what comes next is the photo's, and the parser has none of it."""
        self._held = b""
        """The end of the last piece, if it may be the beginning of a delimiter."""

    def feed(self, data: bytes | bytearray, start: int, end: int) -> None:
        """Takes the next piece: the bytes of `data` from `start` to `end`."""
        while start < end:
            if self._is_in_photo:
                start = self._feed_photo(data, start, end)
            else:
                # No more than up to an empty line, which may end the header of the photo's part.
                empty = data.find(b"\r\n\r\n", start, end)
                stop = end if empty < 0 else empty + 4
                # At the very start it may be part of an empty line that began in the piece before, and of the photo.
                self._parse(bytes(data[start:stop]), can_end_header=empty >= start + 2)
                start = stop

    def _feed_photo(self, data: bytes | bytearray, start: int, end: int) -> int:
        """Takes what is the photo's; where it ends."""
        if self._held:
            return self._go_on_with_held(data, start, end)
        at = self._find_delimiter(data, start, end)
        stop = self._possible_delimiter(data, start, end) if at < 0 else at
        if stop > start:
            self._sink.feed(memoryview(data)[start:stop])
        if at >= 0:
            self._is_in_photo = False
            return at
        self._held = bytes(data[stop:end])
        return end

    def _find_delimiter(self, data: bytes | bytearray, start: int, end: int) -> int:
        """Where the first delimiter begins, -1 if there is none.

        Backwards, which in Python takes half the time: no byte of a delimiter but its first is a CR.
        """
        found, at = -1, data.rfind(self._delimiter, start, end)
        while at >= 0:
            found, at = at, data.rfind(self._delimiter, start, at)
        return found

    def _possible_delimiter(self, data: bytes | bytearray, start: int, end: int) -> int:
        """Where a delimiter may begin that the next piece completes; `end` if nowhere."""
        at = data.rfind(b"\r", max(start, end - len(self._delimiter) + 1), end)
        return at if at >= 0 and self._delimiter.startswith(bytes(data[at:end])) else end

    def _go_on_with_held(self, data: bytes | bytearray, start: int, end: int) -> int:
        """Decides what the held bytes are, if this piece is long enough for it; where it goes on."""
        missing = len(self._delimiter) - len(self._held)
        joined = self._held + data[start : min(end, start + missing)]
        if not self._delimiter.startswith(joined):
            self._sink.feed(memoryview(self._held))
            self._held = b""
            return start
        if len(joined) < len(self._delimiter):
            self._held = joined
            return end
        self._is_in_photo, self._held = False, b""
        self._parse(joined, can_end_header=False)
        return start + missing

    def _parse(self, piece: bytes, *, can_end_header: bool) -> None:
        begun: multipart.MultipartSegment | None = None
        try:
            for event in self._parser.parse(piece):
                begun = None
                if isinstance(event, bytes):
                    self._take(event)
                elif event is not None:
                    begun = event
                    self._begin(event.name)
        except multipart.ParserLimitReached as error:
            raise Problem(413, str(error)) from error
        except multipart.MultipartError as error:
            raise _malformed(error) from error
        # The parser counts the bytes of a part that announces how many it has.
        is_photo = begun is not None and begun.name == "photo" and begun.header("Content-Length") is None
        self._is_in_photo = can_end_header and is_photo

    def _begin(self, name: str) -> None:
        if name not in _PARTS or name in self._begun:
            raise Problem(400, "The form has the parts photo and reading, once each")
        self._begun.add(name)
        self._part = name

    def _take(self, piece: bytes) -> None:
        if self._part == "photo":
            self._sink.feed(memoryview(piece))
            return
        self._reading += piece
        if len(self._reading) > MAX_READING_BYTES:
            raise Problem(413, "The reading is too large")

    def upload(self) -> ReceivedUpload:
        """What has arrived, once the body is over."""
        try:
            self._parser.close()
        except multipart.MultipartError as error:
            raise _malformed(error) from error
        if "photo" not in self._begun:
            raise Problem(400, "The form has no part called photo")
        return self._sink.upload(parse_reading(bytes(self._reading)))


def _malformed(error: multipart.MultipartError) -> Problem:
    return Problem(400, f"Malformed multipart: {error}")
