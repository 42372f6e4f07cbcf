"""A page in one request: its body in pieces, within the profile's limits, as a multipart form or as the photo alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import lru_cache

import multipart

from mock_server.http.request_context import RequestContext
from mock_server.http.responses import Problem
from mock_server.profile.server_profile import ServerProfile
from mock_server.upload.photo import PhotoSink, ReceivedUpload
from mock_server.upload.readings import MAX_READING_BYTES, parse_reading, parse_reading_header

_CLOSE = {"Connection": "close"}
_RATE_WINDOW_S = 5.0
_PARTS = ("photo", "reading")


def check_length(context: RequestContext, max_bytes: int) -> None:
    """Raises Problem 411 if the request announces no body, 413 if it announces too long a one."""
    request = context.request
    length = request.content_length
    if length is None and "Transfer-Encoding" not in request.headers:
        raise Problem(411)
    if length is not None and length > max_bytes:
        raise Problem(413, f"At most {max_bytes} bytes", headers=_CLOSE)


async def chunks(context: RequestContext, profile: ServerProfile) -> AsyncIterator[bytes]:
    """The body's pieces as they come; faults act on each.

    Raises Problem 413 when they are too many bytes and 408 when they come too slowly.
    """
    context.ask_for_body()  # only now: an upload refused before this has sent no body
    total = 0
    async for chunk in _pieces(context, profile):
        total += len(chunk)
        if total > profile.max_body:  # a chunked body announces no length
            raise Problem(413, f"At most {profile.max_body} bytes", headers=_CLOSE)
        for hit in context.hits:
            await context.act(hit, hit.fault.on_body(context, len(chunk), total))
        yield chunk


async def _pieces(context: RequestContext, profile: ServerProfile) -> AsyncIterator[bytes]:
    content = context.request.content
    loop = asyncio.get_running_loop()
    timeout = TimeoutError("The body took too long")
    # One timer for the whole body, not one per piece: this is the busiest loop of the server.
    timer = loop.call_later(profile.body_timeout, content.set_exception, timeout)
    rate = None if profile.min_upload_rate is None else _UploadRateCheck(profile.min_upload_rate)
    try:
        while not content.at_eof():
            if rate is None:
                chunk, _ = await content.readchunk()  # unlike readany it does not join pieces
            else:
                async with asyncio.timeout_at(rate.window_end_s):
                    chunk, _ = await content.readchunk()
                rate.count(len(chunk))
            yield chunk
    except TimeoutError as error:
        detail = str(error) or "The body came too slowly"
        raise Problem(408, detail, headers=_CLOSE) from error
    finally:
        timer.cancel()


class _UploadRateCheck:
    """Checks that a body stays above a rate in every window."""

    def __init__(self, min_bytes_per_s: float) -> None:
        self._min_bytes = min_bytes_per_s * _RATE_WINDOW_S
        self._begin()

    def _begin(self) -> None:
        self.window_end_s = asyncio.get_running_loop().time() + _RATE_WINDOW_S
        self._bytes = 0

    def count(self, size_bytes: int) -> None:
        """Counts bytes; raises TimeoutError if a window is over that had too few."""
        self._bytes += size_bytes
        if asyncio.get_running_loop().time() >= self.window_end_s:
            if self._bytes < self._min_bytes:
                raise TimeoutError
            self._begin()


def check_photo_type(content_type: str, accepts: str = "jpeg") -> None:
    """Raises Problem 415 if the Content-Type of a PUT is neither left out nor one that an accepted photo may have."""
    if accepts == "any":
        return
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in {"", "image/jpeg", "application/octet-stream"}:
        raise Problem(415, "Send image/jpeg")


async def read_put(pieces: AsyncIterator[bytes], reading: str, sink: PhotoSink) -> ReceivedUpload:
    """The upload in a body that is the photo, its reading in the header `Reading`.

    Raises Problem 400 for a reading that is not JSON, 413 for one that is too large.
    """
    parsed = parse_reading_header(reading)
    async for piece in pieces:
        sink.feed(piece)
    return sink.upload(parsed)


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


async def read_multipart(
    pieces: AsyncIterator[bytes], boundary: str, sink: PhotoSink, max_bytes: int
) -> ReceivedUpload:
    """The upload in a multipart form: parts `photo` (JPEG) and `reading` (JSON), in any order.

    Nothing is kept of the photo but what `sink` keeps. Raises Problem 400 for a malformed form and 413 for parts that
    are too large.
    """
    parser = multipart.PushMultipartParser(
        boundary, max_segment_size=max_bytes, max_segment_count=8, max_header_size=4096, max_header_count=16
    )
    form = _MultipartForm(sink)
    try:
        async for piece in pieces:
            for event in parser.parse(piece):
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
        self._begun: set[str] = set()
        self._part = ""

    def begin(self, name: str) -> None:
        if name not in _PARTS or name in self._begun:
            raise Problem(400, "The form has the parts photo and reading, once each")
        self._begun.add(name)
        self._part = name

    def feed(self, piece: bytes) -> None:
        if self._part == "photo":
            self._sink.feed(piece)
            return
        self._reading += piece
        if len(self._reading) > MAX_READING_BYTES:
            raise Problem(413, "The reading is too large")

    def upload(self) -> ReceivedUpload:
        if "photo" not in self._begun:
            raise Problem(400, "The form has no part called photo")
        return self._sink.upload(parse_reading(bytes(self._reading)))
