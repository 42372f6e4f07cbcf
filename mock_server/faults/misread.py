"""misread: other figures are stored than were sent, as when 105 was read as 905."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Scope

if TYPE_CHECKING:
    from mock_server.storage.records import PageRow

_CONFUSED_DIGITS = str.maketrans("0123456789", "9748591306")
"""Digits and what they are taken for: never for themselves."""


class Misread(Fault):
    """One figure of the reading changes its first digit; a page without figures is stored as it is."""

    reach: ClassVar[Scope] = "rows"
    kind: Literal["misread"]

    def on_rows(self, exchange: RequestActions, rows: tuple[PageRow, ...], draw: float) -> tuple[PageRow, ...]:  # noqa: ARG002
        """Changes the readings."""
        return tuple(row._replace(reading=misread(row.reading, draw)) for row in rows)


def misread(reading: str, draw: float) -> str:
    """The reading with one figure misread, which one depends on the draw.

    >>> misread('{"votes":{"100025":105}}', 0.5)
    '{"votes":{"100025":705}}'
    """
    content = json.loads(reading or "{}")
    places = list(_figures(content))
    if not places:
        return reading
    table, key = places[int(draw * len(places))]
    text = str(table[key])
    table[key] = int(text[0].translate(_CONFUSED_DIGITS) + text[1:])
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _figures(content: Any) -> list[tuple[Any, Any]]:
    """Where the whole numbers are, as (table or list, key)."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    found: list[tuple[Any, Any]] = []
    for key, value in items:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            found.append((content, key))
        else:
            found.extend(_figures(value))
    return found
