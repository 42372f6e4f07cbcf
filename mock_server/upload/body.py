"""A request's body in pieces, within the limits of the profile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from mock_server.http.request_context import RequestContext
from mock_server.http.responses import Problem
from mock_server.profile.profile import ServerProfile

_CLOSE = {"Connection": "close"}
_RATE_WINDOW_S = 5.0


def check_length(exchange: RequestContext, most_bytes: int) -> None:
    """Raises Problem 411 if the length is not told, 413 if it is too much."""
    request = exchange.request
    length = request.content_length
    if length is None and "Transfer-Encoding" not in request.headers:
        raise Problem(411)
    if length is not None and length > most_bytes:
        raise Problem(413, f"At most {most_bytes} bytes", headers=_CLOSE)


async def chunks(exchange: RequestContext, profile: ServerProfile) -> AsyncIterator[bytes]:
    """The body's pieces as they come.

    Raises Problem 413 when they are too much and 408 when they come too slowly.
    """
    exchange.ask_for_body()
    total = 0
    async for chunk in _pieces(exchange, profile):
        total += len(chunk)
        if total > profile.max_body:
            raise Problem(413, f"At most {profile.max_body} bytes", headers=_CLOSE)
        for hit in exchange.hits:
            await exchange.act(hit, hit.fault.on_body(exchange, len(chunk), total))
        yield chunk


async def _pieces(exchange: RequestContext, profile: ServerProfile) -> AsyncIterator[bytes]:
    content = exchange.request.content
    loop = asyncio.get_running_loop()
    too_late = TimeoutError("The body took too long")
    # One timer for the whole body, not one a piece: this is the busiest loop of the server.
    timer = loop.call_later(profile.body_timeout, content.set_exception, too_late)
    pace = None if profile.min_upload_rate is None else _UploadRateCheck(profile.min_upload_rate)
    try:
        while not content.at_eof():
            if pace is None:
                chunk, _ = await content.readchunk()  # unlike readany it joins nothing
            else:
                async with asyncio.timeout_at(pace.window_end_s):
                    chunk, _ = await content.readchunk()
                pace.count(len(chunk))
            yield chunk
    except TimeoutError as error:
        detail = str(error) or "The body came too slowly"
        raise Problem(408, detail, headers=_CLOSE) from error
    finally:
        timer.cancel()


class _UploadRateCheck:
    """Watches that a body keeps above a rate in every window."""

    def __init__(self, least_bytes_per_s: float) -> None:
        self._least_bytes = least_bytes_per_s * _RATE_WINDOW_S
        self._begin()

    def _begin(self) -> None:
        self.window_end_s = asyncio.get_running_loop().time() + _RATE_WINDOW_S
        self._bytes = 0

    def count(self, size_bytes: int) -> None:
        """Counts bytes; raises TimeoutError if a window is over that had too few."""
        self._bytes += size_bytes
        if asyncio.get_running_loop().time() >= self.window_end_s:
            if self._bytes < self._least_bytes:
                raise TimeoutError
            self._begin()
