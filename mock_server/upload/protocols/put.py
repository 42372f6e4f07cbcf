"""The photo as it is, in a PUT; the reading travels in the header `Reading`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from mock_server.http.responses import Problem
from mock_server.upload.photo import PhotoSink, ReceivedUpload
from mock_server.upload.readings import MAX_READING_BYTES, parse_reading


def check_type(content_type: str) -> None:
    """Raises Problem 415 for anything that says it is not a JPEG."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in {"", "image/jpeg", "application/octet-stream"}:
        raise Problem(415, "Send image/jpeg")


async def read(chunks: AsyncIterator[bytes], reading: str, sink: PhotoSink) -> ReceivedUpload:
    """The upload in a stream of the photo's bytes. Raises Problem 400 for a reading that is not JSON."""
    text = reading.encode("utf-8", "surrogateescape")
    if len(text) > MAX_READING_BYTES:
        raise Problem(413, "The reading is too large")
    checked_reading = parse_reading(text)
    async for chunk in chunks:
        sink.feed(chunk)
    return sink.upload(checked_reading)
