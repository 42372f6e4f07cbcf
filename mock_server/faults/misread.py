"""misread: other figures are stored than were sent, such as 905 for 105."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Row, Scope

_CONFUSED_DIGITS = str.maketrans("0123456789", "9748591306")
"""What each digit is misread as: never itself."""


class Misread(Fault):
    """One figure of the reading changes its first digit; a page without figures is stored unchanged."""

    scope: ClassVar[Scope] = "rows"
    kind: Literal["misread"]

    def on_rows(self, request: RequestActions, rows: tuple[Row, ...], draw: float) -> tuple[Row, ...]:  # noqa: ARG002
        """Misreads the readings."""
        return tuple(row._replace(reading=misread(row.reading, draw)) for row in rows)


def misread(reading: str, draw: float) -> str:
    """The reading with one figure changed; the draw selects which.

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
    # Compact and sorted, as the harness sends readings: only the figure may differ.
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _figures(content: Any) -> list[tuple[Any, Any]]:
    """The places of the whole numbers, as (table or list, key)."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    found: list[tuple[Any, Any]] = []
    for key, value in items:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            found.append((content, key))
        else:
            found.extend(_figures(value))
    return found
