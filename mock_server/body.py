"""A request's body in pieces, within the limits of the profile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from mock_server.answers import Problem
from mock_server.exchange import Exchange
from mock_server.profile import ServerProfile

_CLOSE = {"Connection": "close"}
_RATE_WINDOW_S = 5.0


def check_length(exchange: Exchange, most_bytes: int) -> None:
    """Raises Problem 411 if the length is not told, 413 if it is too much."""
    request = exchange.request
    length = request.content_length
    if length is None and "Transfer-Encoding" not in request.headers:
        raise Problem(411)
    if length is not None and length > most_bytes:
        raise Problem(413, detail=f"At most {most_bytes} bytes", headers=_CLOSE)


async def chunks(exchange: Exchange, profile: ServerProfile) -> AsyncIterator[bytes]:
    """The body's pieces as they come.

    Raises Problem 413 when they are too much and 408 when they come too slowly.
    """
    exchange.ask_for_body()
    total = 0
    async for chunk in _pieces(exchange, profile):
        total += len(chunk)
        if total > profile.max_body:
            raise Problem(413, detail=f"At most {profile.max_body} bytes", headers=_CLOSE)
        for hit in exchange.hits:
            await hit.fault.on_body(exchange, len(chunk), total)
        yield chunk


async def _pieces(exchange: Exchange, profile: ServerProfile) -> AsyncIterator[bytes]:
    content = exchange.request.content
    loop = asyncio.get_running_loop()
    end = loop.time() + profile.body_timeout
    least = profile.min_upload_rate
    window_end, window_bytes = loop.time() + _RATE_WINDOW_S, 0
    try:
        while not content.at_eof():
            async with asyncio.timeout_at(end if least is None else min(end, window_end)):
                chunk, _ = await content.readchunk()  # unlike readany it joins nothing
            yield chunk
            window_bytes += len(chunk)
            if least is not None and loop.time() >= window_end:
                if window_bytes < least * _RATE_WINDOW_S:
                    raise Problem(408, detail="The body came too slowly", headers=_CLOSE)
                window_end, window_bytes = loop.time() + _RATE_WINDOW_S, 0
    except TimeoutError as error:
        detail = "The body took too long" if loop.time() >= end else "The body came too slowly"
        raise Problem(408, detail=detail, headers=_CLOSE) from error
