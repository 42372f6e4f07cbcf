"""The response headers that the client interprets. Any value is data: parsed, bounded or ignored, never an error of another kind."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

from harness.base.model import MalformedReason
from harness.drive.client.outcomes import MalformedResponseError

_NAN = float("nan")
_MAX_SPAN_S = 1e9
"""Longest time span accepted from a header: 31 years, well within the journal's 32-bit floats."""
_PRINTABLE = re.compile(r"[!-~]+")
_TOKEN = re.compile(r"[!-~\xa1-\xff](?:[ -~\xa0-\xff]{0,16382}[!-~\xa1-\xff])?")


def decode_headers(raw_headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Values by lower-case name; the last value of a repeated header."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw_headers}


def _parse_seconds(text: str) -> float:
    """A number of seconds, limited to what the journal can hold; NaN for any other text."""
    try:
        value = float(text)
    except ValueError:
        return _NAN
    return value if math.isnan(value) else min(max(0.0, value), _MAX_SPAN_S)


def parse_retry_after(header: str, now: datetime) -> float:
    """Seconds that a Retry-After header asks to wait: a number or an HTTP date (RFC 9110, 10.2.3); NaN for other text.

    >>> from datetime import UTC
    >>> parse_retry_after("Wed, 14 Feb 2024 17:00:30 GMT", datetime(2024, 2, 14, 17, 0, tzinfo=UTC))
    30.0
    """
    seconds = _parse_seconds(header)
    if not math.isnan(seconds):
        return seconds
    try:
        return max(0.0, (parsedate_to_datetime(header) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):  # the last for a year that a date can't hold
        return _NAN


def parse_server_timing(header: str) -> dict[str, float]:
    """Seconds by metric name in a Server-Timing header (W3C Server Timing; its durations are milliseconds).

    >>> parse_server_timing("queue;dur=12.5, service;dur=100")
    {'queue': 0.0125, 'service': 0.1}
    """
    timing = {}
    for entry in header.split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key == "dur":
                timing[name] = _parse_seconds(value.strip('"')) / 1000
    return timing


def check_token(value: object) -> str:
    """The token, if a header can hold it: printable Latin-1 without line breaks, which would smuggle headers into the upload.

    Raises MalformedResponseError for any other value.

    >>> check_token("a.b-c")
    'a.b-c'
    """
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise MalformedResponseError(MalformedReason.TOKEN)
    return value


def resolve_location(location: str, host: str, requested_path: str) -> str:
    """Path and query that a Location header points to, absolute or relative to the path that was requested.

    `host` is the Host header of the request. Raises MalformedResponseError if the location is on another host: an upload
    is never taken elsewhere, as the consent to load was for this host alone.

    >>> resolve_location("http://127.0.0.1:80/v1/files/x", "127.0.0.1:80", "/v1/files")
    '/v1/files/x'
    >>> resolve_location("x?y", "h", "/v1/files/")
    '/v1/files/x?y'
    """
    try:
        parts = urlsplit(urljoin(f"http://{host}{requested_path}", location))
    except ValueError:
        parts = None
    # The scheme is not compared: a server behind a TLS proxy names http, as it doesn't know about the proxy.
    if parts is None or not _PRINTABLE.fullmatch(location) or parts.netloc.lower() != host.lower():
        message = f'Location "{location}" points outside {host}'
        raise MalformedResponseError(MalformedReason.LOCATION, message)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
