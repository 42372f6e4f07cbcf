"""duplicate_store: one upload, two copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Scope

if TYPE_CHECKING:
    from mock_server.storage.records import PageRow


class DuplicateStore(Fault):
    """The page is stored twice, whatever `dedupe` says."""

    reach: ClassVar[Scope] = "rows"
    kind: Literal["duplicate_store"]

    def on_rows(self, exchange: RequestActions, rows: tuple[PageRow, ...], draw: float) -> tuple[PageRow, ...]:  # noqa: ARG002
        """Doubles the rows."""
        return rows + rows
