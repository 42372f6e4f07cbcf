"""Where a Location header leads, as long as it stays on the server that sent it."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from harness.drive.client.outcomes import MalformedResponseError

_PRINTABLE = re.compile(r"[!-~]+")


def resolve_location(location: str, host: str, asked: str) -> str:
    """Path and query of a Location, absolute or relative to the path that was `asked` for.

    `host` is what the Host header said. Raises MalformedAnswerError for another host: an upload is never taken elsewhere. The
    scheme is not looked at, as servers behind a TLS proxy don't know it.

    >>> path_in("http://127.0.0.1:80/v1/files/x", "127.0.0.1:80", "/v1/files"), path_in("x?y", "h", "/v1/files/")
    ('/v1/files/x', '/v1/files/x?y')
    """
    try:
        parts = urlsplit(urljoin(f"http://{host}{asked}", location))
    except ValueError:
        parts = None
    if parts is None or not _PRINTABLE.fullmatch(location) or parts.netloc.lower() != host.lower():
        message = f'Location "{location}" is no place on {host}'
        raise MalformedResponseError(message)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
