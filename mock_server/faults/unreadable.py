"""unreadable: the server takes the photo, works on it, and cannot read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Exchange, Fault, Reach

if TYPE_CHECKING:
    from mock_server.storage.records import Row


class Unreadable(Fault):
    """422 after the work; nothing is stored."""

    reach: ClassVar[Reach] = "rows"
    kind: Literal["unreadable"]

    def on_rows(self, exchange: Exchange, rows: tuple[Row, ...], draw: float) -> tuple[Row, ...]:  # noqa: ARG002
        """Answers 422."""
        raise exchange.refuse(422, "Unreadable photo")
