"""crash_at_commit: the process dies as by kill -9 just before or just after an upload is on disk, unanswered."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Scope
from mock_server.profile.units import Duration

if TYPE_CHECKING:
    from mock_server.storage.records import PageRow


class CrashAtCommit(Fault):
    """Its client can't tell the two moments apart: before it nothing is held, after it everything. Once in a run."""

    reach: ClassVar[Scope] = "rows"
    ends_answers: ClassVar[bool] = True
    ends_process: ClassVar[bool] = True
    kind: Literal["crash_at_commit"]
    moment: Literal["before", "after"] = "before"
    """Before the upload is on disk, or after it is and before it is answered."""
    restart_after: Duration | None = 2.0
    """Time that the server stays away."""

    def on_rows(self, exchange: RequestActions, rows: tuple[PageRow, ...], draw: float) -> tuple[PageRow, ...]:  # noqa: ARG002
        """Kills before the commit."""
        if self.moment == "before":
            exchange.kill(self.restart_after)
        return rows

    async def on_answer(self, exchange: RequestActions, answer: bytes, draw: float) -> bool:  # noqa: ARG002
        """Kills after the commit, where there was one."""
        if answer.partition(b" ")[2].startswith(b"201"):
            exchange.kill(self.restart_after)
        return False
