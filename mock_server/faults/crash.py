"""crash: the process dies as by kill -9, and comes back after a while."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, Scope, ServerActions
from mock_server.profile.units import Duration


class Crash(Fault):
    """At its start the process is killed; what was acknowledged must be there when it is back."""

    reach: ClassVar[Scope] = "server"
    ends_process: ClassVar[bool] = True
    kind: Literal["crash"]
    restart_after: Duration | None = 2.0
    """Time that the server stays away."""

    def on_begin(self, server: ServerActions, *, late: bool) -> None:
        """Kills, unless this process is what came back from it."""
        if not late:
            server.kill(self.restart_after)
