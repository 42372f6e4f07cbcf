"""misfile: the right photo under another page's key."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Scope

if TYPE_CHECKING:
    from mock_server.storage.records import PageRow


class Misfile(Fault):
    """Stored for number 000 of the same kelurahan, a station that there is not; the receipt is as if not."""

    reach: ClassVar[Scope] = "rows"
    kind: Literal["misfile"]

    def on_rows(self, exchange: RequestActions, rows: tuple[PageRow, ...], draw: float) -> tuple[PageRow, ...]:  # noqa: ARG002
        """Changes the key."""
        return tuple(row._replace(station=unused_station(row.station)) for row in rows)


def unused_station(station: str) -> str:
    """The code that nobody uploads for: a real neighbour's own page would be refused for what is not its doing.

    >>> nowhere("3509191001999")
    '3509191001000'
    """
    return f"{station[:-3]}000"
