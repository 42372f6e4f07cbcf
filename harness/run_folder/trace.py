"""The trace of an attempt (W3C Trace Context), computed from what is recorded of it anyway.

All requests of an attempt have one trace id and one parent id: the first and the next digits of the SHA-256 of
"RUN/STATION/FORM/PAGE/ATTEMPT", where ATTEMPT is its number in attempts.parquet. Nothing more is journalled, and a shell can compute them:

    printf %s 20240214T…/3509191001001/ppwp/1/2 | sha256sum | cut -c1-32
"""

from __future__ import annotations

import hashlib

_sha256 = hashlib.sha256


def trace_prefix(run: str, station: str, form: str, page: int) -> str:
    """What the names of all attempts at a page begin with."""
    return f"{run}/{station}/{form}/{page}/"


def trace_id(prefix: str, attempt: int) -> str:
    """The trace id of an attempt, 32 lowercase hexadecimal digits; `prefix` is its page's.

    >>> trace_id(trace_prefix("r", "3509191001001", "ppwp", 1), 2)
    '7c9d50b335921fdbebacfec786322d47'
    """
    return _sha256(f"{prefix}{attempt}".encode()).hexdigest()[:32]


def traceparent(prefix: str, attempt: int) -> bytes:
    """The header line `traceparent` of an attempt's requests, with its line break."""
    digits = _sha256(f"{prefix}{attempt}".encode()).hexdigest()
    # Version 00, the two ids, and the flag "sampled"; constants in place, because this is the hot path.
    return f"traceparent: 00-{digits[:32]}-{digits[32:48]}-01\r\n".encode()
