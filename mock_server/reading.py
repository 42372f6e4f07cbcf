"""The figures that the officers confirmed, sent beside the photo as JSON."""

from __future__ import annotations

import json

from mock_server.answers import Problem

MAX_READING_BYTES = 65_536


def checked(text: bytes) -> str:
    """The reading as it was sent, if it is a JSON object; "" if there is none. Raises Problem 400."""
    if not text.strip():
        return ""
    try:
        content = json.loads(text)
        written = text.decode()
    except (ValueError, RecursionError) as error:
        raise Problem(400, "Malformed reading", "The reading is not JSON") from error
    if not isinstance(content, dict):
        raise Problem(400, "Malformed reading", "The reading is not a JSON object")
    return written
