"""misfile: the right photo is stored under another page's key."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Row, Scope


class Misfile(Fault):
    """Stored for number 000 of the same kelurahan, a station that does not exist; the receipt looks normal."""

    scope: ClassVar[Scope] = "rows"
    kind: Literal["misfile"]

    def on_rows(self, request: RequestActions, rows: tuple[Row, ...], draw: float) -> tuple[Row, ...]:  # noqa: ARG002
        """Changes the key."""
        return tuple(row._replace(station=unused_station(row.station)) for row in rows)


def unused_station(station: str) -> str:
    """A code that no station uploads for: at a real one the right page would later be refused as a conflict.

    >>> unused_station("3509191001999")
    '3509191001000'
    """
    if len(station) == 13 and station.isascii() and station.isdigit():
        return f"{station[:-3]}000"
    return f"{station[:50]} misfiled"  # a list of stations of any codes: none of its own ends like this
