"""false_ack: the receipt is sent, nothing is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Scope

if TYPE_CHECKING:
    from mock_server.storage.records import PageRow


class FalseAck(Fault):
    """201 with a receipt for nothing."""

    reach: ClassVar[Scope] = "rows"
    kind: Literal["false_ack"]

    def on_rows(self, exchange: RequestActions, rows: tuple[PageRow, ...], draw: float) -> tuple[PageRow, ...]:  # noqa: ARG002
        """Stores nothing."""
        return ()
