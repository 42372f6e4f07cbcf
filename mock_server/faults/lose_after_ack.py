"""lose_after_ack: stored and acknowledged, and gone a while later."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Scope
from mock_server.profile.units import Duration

if TYPE_CHECKING:
    from mock_server.storage.records import PageRow


class LoseAfterAck(Fault):
    """The row is deleted after a while; healing or draining does not save it, but makes it happen at once."""

    reach: ClassVar[Scope] = "rows"
    kind: Literal["lose_after_ack"]
    after: Duration = 1.0
    """Time from the answer to the loss."""

    def on_rows(self, exchange: RequestActions, rows: tuple[PageRow, ...], draw: float) -> tuple[PageRow, ...]:  # noqa: ARG002
        """Stores for now."""
        if rows:
            exchange.forget_later(self.after)
        return rows
