"""Digests that clients send along: Repr-Digest (RFC 9530)."""

from __future__ import annotations

import base64
import binascii
import re

from mock_server.answers import Problem
from mock_server.photo import Upload

_SHA_256 = re.compile(r"(?:^|,)\s*sha-256\s*=\s*:([A-Za-z0-9+/=]*):")


def check_digest(header: str | None, upload: Upload) -> None:
    """Raises Problem 400 if the header names a SHA-256 that is not the photo's; other algorithms are not looked at."""
    match = _SHA_256.search(header) if header else None
    if match is None:
        return
    try:
        claimed = base64.b64decode(match[1], validate=True).hex()
    except binascii.Error as error:
        raise Problem(400, "Malformed Repr-Digest") from error
    if claimed != upload.sha256:
        raise Problem(400, "The photo does not match its Repr-Digest", sha256=upload.sha256)
