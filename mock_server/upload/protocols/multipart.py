"""The page as a multipart form: parts `photo` (JPEG) and `reading` (JSON), in any order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import lru_cache

import multipart

from mock_server.http.responses import Problem
from mock_server.upload.photo import PhotoSink, ReceivedUpload
from mock_server.upload.readings import MAX_READING_BYTES, parse_reading

_PARTS = ("photo", "reading")


@lru_cache(maxsize=1024)
def multipart_boundary(content_type: str) -> str:
    """The boundary that a Content-Type header names; raises Problem 415 or 400."""
    kind, options = multipart.parse_options_header(content_type)
    if kind != "multipart/form-data":
        raise Problem(415, "Send multipart/form-data with the parts photo and reading")
    boundary: str = options.get("boundary", "")
    if not 1 <= len(boundary) <= 70 or not boundary.isascii():
        raise Problem(400, "The multipart boundary is missing or malformed")
    return boundary


async def read(chunks: AsyncIterator[bytes], boundary: str, sink: PhotoSink, max_bytes: int) -> ReceivedUpload:
    """The upload in a stream of multipart chunks; nothing is kept of the photo but what `sink` keeps.

    Raises Problem 400 for a malformed form and 413 for parts that are too large.
    """
    parser = multipart.PushMultipartParser(
        boundary, max_segment_size=max_bytes, max_segment_count=8, max_header_size=4096, max_header_count=16
    )
    form = _MultipartForm(sink)
    try:
        async for chunk in chunks:
            for event in parser.parse(chunk):
                if isinstance(event, bytes):
                    form.feed(event)
                elif event is not None:
                    form.begin(event.name)
        parser.close()
    except multipart.ParserLimitReached as error:
        raise Problem(413, str(error)) from error
    except multipart.MultipartError as error:
        raise Problem(400, f"Malformed multipart: {error}") from error
    return form.upload()


class _MultipartForm:
    """The parts as they come."""

    def __init__(self, sink: PhotoSink) -> None:
        self._sink = sink
        self._reading = bytearray()
        self._seen: set[str] = set()
        self._part = ""

    def begin(self, name: str) -> None:
        if name not in _PARTS or name in self._seen:
            raise Problem(400, "The form has the parts photo and reading, once each")
        self._seen.add(name)
        self._part = name

    def feed(self, piece: bytes) -> None:
        if self._part == "photo":
            self._sink.feed(piece)
            return
        self._reading += piece
        if len(self._reading) > MAX_READING_BYTES:
            raise Problem(413, "The reading is too large")

    def upload(self) -> ReceivedUpload:
        if "photo" not in self._seen:
            raise Problem(400, "The form has no part called photo")
        return self._sink.upload(parse_reading(bytes(self._reading)))
