"""unreadable: the server takes the photo, works on it, and cannot read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Scope

if TYPE_CHECKING:
    from mock_server.storage.records import PageRow


class Unreadable(Fault):
    """422 after the work; nothing is stored."""

    reach: ClassVar[Scope] = "rows"
    kind: Literal["unreadable"]

    def on_rows(self, exchange: RequestActions, rows: tuple[PageRow, ...], draw: float) -> tuple[PageRow, ...]:  # noqa: ARG002
        """Answers 422."""
        raise exchange.refuse(422, "Unreadable photo")
