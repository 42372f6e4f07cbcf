"""crash_at_commit: the process is killed just before or just after an upload is on disk, and before the response."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Row, Scope
from mock_server.profile.units import Duration


class CrashAtCommit(Fault):
    """The client cannot tell the two moments apart: before the commit nothing is stored, after it all. Once per run."""

    scope: ClassVar[Scope] = "rows"
    replaces_response: ClassVar[bool] = True
    kills_process: ClassVar[bool] = True
    kind: Literal["crash_at_commit"]
    moment: Literal["before", "after"] = "before"
    """Before the upload is on disk, or after it is and before the response."""
    restart_after: Duration | None = 2.0
    """Time until the server is started again."""

    def on_rows(self, request: RequestActions, rows: tuple[Row, ...], draw: float) -> tuple[Row, ...]:  # noqa: ARG002
        """Kills before the commit, if that is the moment."""
        if self.moment == "before":
            request.kill(self.restart_after)
        return rows

    async def on_response(self, request: RequestActions, response: bytes, draw: float) -> bool:  # noqa: ARG002
        """Kills after the commit, if there was one: only 201 says that something new is stored."""
        if response.partition(b" ")[2].startswith(b"201"):
            request.kill(self.restart_after)
        return False
