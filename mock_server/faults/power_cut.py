"""power_cut: the power of the server's machine fails: killed, what was not synced is lost, restarted after a while."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, Scope, ServerActions
from mock_server.profile.units import Duration


class PowerCut(Fault):
    """What was acknowledged must still be there after the restart, however little of the rest is. Needs FUSE on this machine."""

    scope: ClassVar[Scope] = "server"
    kills_process: ClassVar[bool] = True
    kind: Literal["power_cut"]
    restart_after: Duration | None = 2.0
    """Time until the server is started again."""
    torn: bool = False
    """Whether some of what was not synced is on the disk all the same: some pages of a write, some names of files."""

    def on_begin(self, server: ServerActions, *, late: bool) -> None:
        """Cuts, unless this process is the one restarted after it."""
        if not late:
            server.cut_power(self.restart_after, torn=self.torn)
