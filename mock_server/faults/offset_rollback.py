"""offset_rollback: a resumable upload has less than it said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions, Scope
from mock_server.profile.units import Probability

if TYPE_CHECKING:
    from mock_server.storage.resumable import ResumableUpload


class OffsetRollback(Fault):
    """When it is asked for or goes on, a share of what it had is gone; the client has to send it again.

    It strikes an attempt at most once, or a client that keeps its X-Attempt while it resumes would never come to an end.
    """

    reach: ClassVar[Scope] = "resumable"
    kind: Literal["offset_rollback"]
    lose: Annotated[Probability, Field(gt=0)] = 0.5
    """Share of the bytes received that is lost."""

    def on_resumable(self, exchange: RequestActions, upload: ResumableUpload, draw: float) -> bool:  # noqa: ARG002
        """Goes back."""
        once = (self.name, exchange.target.attempt)
        kept = int(upload.offset * (1 - self.lose))
        if kept >= upload.offset or once in upload.rollbacks or upload.is_pretended:
            return False
        upload.rollbacks.add(once)
        upload.truncate(kept)
        return True
