"""What a request's header may hold: refused here, before anything is done with it."""

from __future__ import annotations

import re

from aiohttp import web

from mock_server.http.middleware import Handler
from mock_server.http.responses import Problem

_IDEMPOTENCY_KEY = re.compile(r"[ -~]{1,255}")


@web.middleware
async def check_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets a request through whose header can be understood; raises Problem 400 for another one.

    Bytes that are no UTF-8 reach us as surrogates, which neither SQLite nor JSON can carry.
    """
    for name, value in request.headers.items():
        if not value.isascii() and not _is_utf8(value):
            raise Problem(400, f"The header {name} is not UTF-8")
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise Problem(400, "An Idempotency-Key has 1 to 255 printable ASCII characters")
    return await handler(request)


def _is_utf8(value: str) -> bool:
    """Whether all of it can be written as UTF-8.

    >>> _is_text("pelé"), _is_text(bytes([255]).decode("utf-8", "surrogateescape"))
    (True, False)
    """
    return not any("\ud800" <= character <= "\udfff" for character in value)
