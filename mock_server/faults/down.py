"""down: the data port is closed; connections are refused, open ones reset."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, Scope, ServerActions


class Down(Fault):
    """It is closed for every client: match, count and ramp do not apply."""

    scope: ClassVar[Scope] = "server"
    kind: Literal["down"]

    def on_begin(self, server: ServerActions, *, late: bool) -> None:  # noqa: ARG002
        """Closes the port."""
        server.close_port()

    def on_end(self, server: ServerActions) -> None:
        """Opens it again."""
        server.open_port()
