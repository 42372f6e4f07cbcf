"""unreadable: the server processes the photo and cannot read it."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Row, Scope


class Unreadable(Fault):
    """422 after the work; nothing is stored."""

    scope: ClassVar[Scope] = "rows"
    kind: Literal["unreadable"]

    def on_rows(self, request: RequestActions, rows: tuple[Row, ...], draw: float) -> tuple[Row, ...]:  # noqa: ARG002
        """Answers 422."""
        raise request.refuse(422, "Unreadable photo")
