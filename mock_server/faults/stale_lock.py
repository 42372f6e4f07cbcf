"""stale_lock: a resumable upload seems to be in use by somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Scope

if TYPE_CHECKING:
    from mock_server.storage.resumable import ResumableUpload


class StaleLock(Fault):
    """423 as if an earlier request still held the upload."""

    reach: ClassVar[Scope] = "resumable"
    kind: Literal["stale_lock"]

    def on_resumable(self, exchange: RequestActions, upload: ResumableUpload, draw: float) -> bool:  # noqa: ARG002
        """Answers 423."""
        raise exchange.refuse(423, "The upload is locked")
