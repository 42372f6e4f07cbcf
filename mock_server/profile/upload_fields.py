"""The fields of resumable uploads over HTTP (draft-ietf-httpbis-resumable-upload-12), as client and mock server send and read them.

They are structured fields (RFC 9651). Where a value has another type, the draft has the whole field ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import http_sf

INTEROP_VERSION = 8
"""Which iteration of the draft this is, by the draft's own count: both sides name it, and ignore a 104 that names another."""
PARTIAL_UPLOAD = "application/partial-upload"
"""Media type of what is appended."""
UPLOAD_RESUMPTION_SUPPORTED = 104
"""Status of the interim response that says where an upload can be resumed, and how far it has come."""
_MAX_FIELD_CHARACTERS = 4096


class UploadLimits(NamedTuple):
    """What Upload-Limit allows: bytes, and seconds for `max_age`; None where it says nothing."""

    max_size: int | None = None
    min_size: int | None = None
    max_append_size: int | None = None
    min_append_size: int | None = None
    max_age: int | None = None

    def __str__(self) -> str:
        """The value of the field; the draft has no empty one.

        >>> str(UploadLimits(max_size=100, max_age=60)), str(UploadLimits())
        ('max-size=100, max-age=60', 'min-size=0')
        """
        named: dict[str, int] = {name: value for name, value in self._asdict().items() if value is not None}
        members: http_sf.DictionaryType = {name.replace("_", "-"): value for name, value in named.items()}
        return http_sf.ser(members or {"min-size": 0})


_LIMIT_KEYS = {name.replace("_", "-"): name for name in UploadLimits._fields}


def parse_whole_number(values: Iterable[str]) -> int | None:
    """The number in Upload-Offset or Upload-Length; None if it isn't one. `values` are the field's lines.

    >>> parse_whole_number(["25"]), parse_whole_number(["-1"]), parse_whole_number(["1.0"]), parse_whole_number(["1", "2"])
    (25, None, None, None)
    """
    value = _parse_item(values)
    return value if type(value) is int and value >= 0 else None  # a Boolean is an int to Python, not to the field


def parse_boolean(values: Iterable[str]) -> bool | None:
    """The truth in Upload-Complete; None if there is none.

    >>> parse_boolean(["?1"]), parse_boolean(["?0"]), parse_boolean(["1"]), parse_boolean([])
    (True, False, None, None)
    """
    value = _parse_item(values)
    return value if isinstance(value, bool) else None


def format_boolean(value: bool) -> str:
    """The value of Upload-Complete.

    >>> format_boolean(True)
    '?1'
    """
    return http_sf.ser((value, {}))


def parse_limits(values: Iterable[str]) -> UploadLimits | None:
    """The limits in Upload-Limit, unknown ones left out; None if one has another type, as the draft has it.

    >>> parse_limits(["max-size=100, colour=red", "max-age=60"])
    UploadLimits(max_size=100, min_size=None, max_append_size=None, min_append_size=None, max_age=60)
    >>> parse_limits(["max-size=?1"])
    """
    members = _parse(values, "dictionary")
    if not isinstance(members, Mapping):
        return None
    limits = {_LIMIT_KEYS[key]: member[0] for key, member in members.items() if key in _LIMIT_KEYS}
    if any(type(value) is not int or value < 0 for value in limits.values()):
        return None
    return UploadLimits(**limits)


def _parse_item(values: Iterable[str]) -> object:
    found = _parse(values, "item")
    return found[0] if isinstance(found, tuple) else None


def _parse(values: Iterable[str], kind: str) -> object:
    text = ", ".join(values)
    if not text or len(text) > _MAX_FIELD_CHARACTERS:
        return None
    try:
        return http_sf.parse(text.encode("latin-1", "replace"), tltype=kind)
    except http_sf.StructuredFieldError:
        return None
