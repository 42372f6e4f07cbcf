"""The body of a request, within the profile's limits: in pieces as they come, or taken while it is read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from aiohttp import StreamReader

from mock_server.http.request_context import RequestContext
from mock_server.http.request_protocol import tap_body
from mock_server.http.responses import Problem
from mock_server.net.body_tap import BodyTap, TakeBytes
from mock_server.profile.server_profile import ServerProfile

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
        _check_total(total, profile)
        for hit in context.hits:
            await context.act(hit, hit.fault.on_body(context, len(chunk), total))
        yield chunk


def _check_total(total_bytes: int, profile: ServerProfile) -> None:
    if total_bytes > profile.max_body:  # a chunked body announces no length
        raise Problem(413, f"At most {profile.max_body} bytes", headers=_CLOSE)


async def receive(context: RequestContext, profile: ServerProfile, take: TakeBytes) -> None:
    """Gives the body to `take` piece by piece, most of it while it is read from the connection.

    Raises what `take` raises, and Problem as `chunks` does.
    """
    # A fault may wait at each piece, and a limit on the rate watches when they come: neither can be done while reading.
    if context.hits or profile.min_upload_rate is not None:
        async for piece in chunks(context, profile):
            take(piece, 0, len(piece))
        return
    content = context.request.content
    if content.is_eof():  # a small upload is whole by now: nothing to wait for
        piece = content.read_nowait(-1)
        _check_total(len(piece), profile)
        take(piece, 0, len(piece))
        return
    context.ask_for_body()
    tap = tap_body(context.request, take)
    try:
        await _receive(content, profile, take, tap)
    finally:
        if tap is not None:
            tap.release()


async def _receive(content: StreamReader, profile: ServerProfile, take: TakeBytes, tap: BodyTap | None) -> None:
    total = 0
    with _time_limit(content, profile):
        while not content.at_eof():
            piece, _ = await content.readchunk()  # with a tap only what came before it, and the end
            if tap is not None and tap.error is not None:
                raise tap.error
            total += len(piece)
            _check_total(total, profile)
            take(piece, 0, len(piece))


async def _pieces(context: RequestContext, profile: ServerProfile) -> AsyncIterator[bytes]:
    content = context.request.content
    rate = None if profile.min_upload_rate is None else _UploadRateCheck(profile.min_upload_rate)
    with _time_limit(content, profile):
        while not content.at_eof():
            if rate is None:
                chunk, _ = await content.readchunk()  # unlike readany it does not join pieces
            else:
                async with asyncio.timeout_at(rate.window_end_s):
                    chunk, _ = await content.readchunk()
                rate.count(len(chunk))
            yield chunk


@contextlib.contextmanager
def _time_limit(content: StreamReader, profile: ServerProfile) -> Iterator[None]:
    """Raises Problem 408 if the block, which reads the body, does not get all of it in time."""
    # One timer for the whole body, not one per piece: this is the busiest loop of the server.
    timer = asyncio.get_running_loop().call_later(
        profile.body_timeout, content.set_exception, TimeoutError("The body took too long")
    )
    try:
        yield
    except TimeoutError as error:
        raise Problem(408, str(error) or "The body came too slowly", headers=_CLOSE) from error
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
