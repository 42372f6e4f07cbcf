"""lose_after_ack: an upload is stored and acknowledged, and deleted a while later."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Row, Scope
from mock_server.profile.units import Duration


class LoseAfterAck(Fault):
    """The row is deleted after a while; healing or draining does not save it, but deletes it at once."""

    scope: ClassVar[Scope] = "rows"
    kind: Literal["lose_after_ack"]
    after: Duration = 1.0
    """Time from the commit to the deletion."""

    def on_rows(self, request: RequestActions, rows: tuple[Row, ...], draw: float) -> tuple[Row, ...]:  # noqa: ARG002
        """Stores the rows and schedules their deletion."""
        if rows:
            request.delete_later(self.after)
        return rows
