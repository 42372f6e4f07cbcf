"""offset_rollback: a resumable upload loses bytes that it had reported as received."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions, ResumableState, Scope
from mock_server.profile.units import Probability


class OffsetRollback(Fault):
    """When it is queried or continued, a share of its bytes is gone; the client has to send them again.

    It hits an attempt at most once, or a client that keeps its X-Attempt while it resumes would never finish.
    """

    scope: ClassVar[Scope] = "resumable"
    kind: Literal["offset_rollback"]
    lose: Annotated[Probability, Field(gt=0)] = 0.5
    """Share of the received bytes that is lost."""

    def on_resumable(self, request: RequestActions, upload: ResumableState, draw: float) -> bool:  # noqa: ARG002
        """Truncates the upload."""
        # `kept` is less than the offset only if there is something to lose; a pretended upload has no bytes.
        once = (self.name, request.key.attempt)
        kept = int(upload.offset * (1 - self.lose))
        if kept >= upload.offset or once in upload.rollbacks or upload.is_pretended:
            return False
        upload.rollbacks.add(once)
        upload.truncate(kept)
        return True
