"""What the headers of an answer say of time."""

from __future__ import annotations

import math
from datetime import datetime
from email.utils import parsedate_to_datetime

_NAN = float("nan")
_MAX_SPAN_S = 1e9
"""Longest span that a header may claim: 31 years."""


def _parse_seconds(text: str) -> float:
    """Seconds in a number; NaN for anything else, and no more than the journal can hold."""
    try:
        value = float(text)
    except ValueError:
        return _NAN
    return value if math.isnan(value) else min(max(0.0, value), _MAX_SPAN_S)


def parse_retry_after(header: str, now: datetime) -> float:
    """Seconds that a Retry-After header asks to wait: a number or an HTTP date (RFC 9110, 10.2.3); NaN for anything else.

    >>> from datetime import UTC
    >>> retry_after_s("Wed, 14 Feb 2024 17:00:30 GMT", datetime(2024, 2, 14, 17, 0, tzinfo=UTC))
    30.0
    """
    seconds = _parse_seconds(header)
    if not math.isnan(seconds):
        return seconds
    try:
        return max(0.0, (parsedate_to_datetime(header) - now).total_seconds())
    except (ValueError, TypeError):
        return _NAN


def parse_server_timing(header: str) -> dict[str, float]:
    """Seconds by name in a Server-Timing header (W3C; durations there are milliseconds).

    >>> server_timing_s("queue;dur=12.5, service;dur=100")
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
