"""The stations' PINs, worked out from the run's secret, so that no list of them travels to the workers."""

from __future__ import annotations

import hashlib


def derive_pin(code: str, secret: str) -> str:
    """A station's PIN: six digits from the run's secret; without a secret its last six digits.

    >>> pin_of("3509191001001", "")
    '001001'
    """
    if not secret:
        return code[-6:]
    return f"{int.from_bytes(hashlib.sha256(f'{secret}/{code}'.encode()).digest()[:8]) % 10**6:06d}"
