"""stale_lock: a resumable upload seems to be in use by another request."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, ResumableState, Scope


class StaleLock(Fault):
    """423 as if an earlier request still held the upload."""

    scope: ClassVar[Scope] = "resumable"
    kind: Literal["stale_lock"]

    def on_resumable(self, request: RequestActions, upload: ResumableState, draw: float) -> bool:  # noqa: ARG002
        """Answers 423."""
        raise request.refuse(423, "The upload is locked")
