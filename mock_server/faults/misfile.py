"""misfile: the right photo under another page's key."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Exchange, Fault, Reach

if TYPE_CHECKING:
    from mock_server.rows import Row


class Misfile(Fault):
    """Stored for the neighbouring station (its number 1 higher, 999 becomes 1); the receipt is as if not."""

    reach: ClassVar[Reach] = "rows"
    kind: Literal["misfile"]

    def on_rows(self, exchange: Exchange, rows: tuple[Row, ...], draw: float) -> tuple[Row, ...]:  # noqa: ARG002
        """Changes the key."""
        return tuple(row._replace(station=neighbour(row.station)) for row in rows)


def neighbour(station: str) -> str:
    """The code of the next station of the same kelurahan.

    >>> neighbour("3509191001999")
    '3509191001001'
    """
    return f"{station[:-3]}{int(station[-3:]) % 999 + 1:03d}"
