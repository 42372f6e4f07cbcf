"""Tells schemathesis how bytes are sent under the media types of resumable uploads."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/offset+octet-stream", "application/partial-upload")
def as_bytes(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
