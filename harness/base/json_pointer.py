"""JSON pointers (RFC 6901): where in a document a value stands."""

from __future__ import annotations

from typing import Any


def resolve_pointer(document: Any, pointer: str) -> Any:
    """The value that a pointer refers to; None if there is none. "" is the whole document.

    >>> resolve_pointer({"data": [{"id": 7}]}, "/data/0/id"), resolve_pointer([1], "/a")
    (7, None)
    """
    value = document
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")  # in this order: "~01" means "~1" (RFC 6901, 4)
        if isinstance(value, list):
            # not every digit is one here: "٣".isdigit() is true
            value = value[int(key)] if key.isascii() and key.isdigit() and int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value
