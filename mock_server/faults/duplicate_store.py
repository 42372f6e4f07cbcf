"""duplicate_store: one upload is stored as two copies."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Row, Scope


class DuplicateStore(Fault):
    """The second copy is stored whatever `dedupe` says."""

    scope: ClassVar[Scope] = "rows"
    kind: Literal["duplicate_store"]

    def on_rows(self, request: RequestActions, rows: tuple[Row, ...], draw: float) -> tuple[Row, ...]:  # noqa: ARG002
        """Duplicates the rows."""
        return rows + rows
