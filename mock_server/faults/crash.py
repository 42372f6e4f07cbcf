"""crash: the process is killed as by kill -9, and restarted after a while."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, Scope, ServerActions
from mock_server.profile.units import Duration


class Crash(Fault):
    """Kills the process at its start; what was acknowledged must still be there after the restart."""

    scope: ClassVar[Scope] = "server"
    kills_process: ClassVar[bool] = True
    kind: Literal["crash"]
    restart_after: Duration | None = 2.0
    """Time until the server is started again."""

    def on_begin(self, server: ServerActions, *, late: bool) -> None:
        """Kills, unless this process is the one restarted after it."""
        if not late:
            server.kill(self.restart_after)
