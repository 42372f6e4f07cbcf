"""false_ack: a receipt is sent and nothing is stored."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Row, Scope


class FalseAck(Fault):
    """201 with a receipt, though nothing is stored."""

    scope: ClassVar[Scope] = "rows"
    kind: Literal["false_ack"]

    def on_rows(self, request: RequestActions, rows: tuple[Row, ...], draw: float) -> tuple[Row, ...]:  # noqa: ARG002
        """Stores nothing."""
        return ()
