"""A page in one request: its body in pieces, within the profile's limits, as a multipart form or as the photo alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from mock_server.http.request_context import RequestContext
from mock_server.http.responses import Problem
from mock_server.profile.server_profile import ServerProfile
from mock_server.upload.multipart_form import MultipartForm
from mock_server.upload.photo import PhotoSink, ReceivedUpload
from mock_server.upload.readings import parse_reading_header

_CLOSE = {"Connection": "close"}
_RATE_WINDOW_S = 5.0


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
        sink.feed(memoryview(piece))
    return sink.upload(parsed)


async def read_multipart(
    pieces: AsyncIterator[bytes], boundary: str, sink: PhotoSink, max_bytes: int
) -> ReceivedUpload:
    """The upload in a multipart form: parts `photo` (JPEG) and `reading` (JSON), in any order.

    Raises Problem 400 for a malformed form and 413 for parts that are too large.
    """
    form = MultipartForm(boundary, sink, max_bytes)
    async for piece in pieces:
        form.feed(piece, 0, len(piece))
    return form.upload()
