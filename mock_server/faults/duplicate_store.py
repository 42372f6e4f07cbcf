"""duplicate_store: one upload, two copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Exchange, Fault, Reach

if TYPE_CHECKING:
    from mock_server.storage.records import Row


class DuplicateStore(Fault):
    """The page is stored twice, whatever `dedupe` says."""

    reach: ClassVar[Reach] = "rows"
    kind: Literal["duplicate_store"]

    def on_rows(self, exchange: Exchange, rows: tuple[Row, ...], draw: float) -> tuple[Row, ...]:  # noqa: ARG002
        """Doubles the rows."""
        return rows + rows
