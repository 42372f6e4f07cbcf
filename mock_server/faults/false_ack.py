"""false_ack: the receipt is sent, nothing is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Exchange, Fault, Reach

if TYPE_CHECKING:
    from mock_server.storage.records import Row


class FalseAck(Fault):
    """201 with a receipt for nothing."""

    reach: ClassVar[Reach] = "rows"
    kind: Literal["false_ack"]

    def on_rows(self, exchange: Exchange, rows: tuple[Row, ...], draw: float) -> tuple[Row, ...]:  # noqa: ARG002
        """Stores nothing."""
        return ()
