"""false_complete: a resumable upload is reported as complete, and nothing is stored."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, ResumableState, Scope


class FalseComplete(Fault):
    """The offset that the client gets is the whole length, however much was received."""

    scope: ClassVar[Scope] = "resumable"
    kind: Literal["false_complete"]

    def on_resumable(self, request: RequestActions, upload: ResumableState, draw: float) -> bool:  # noqa: ARG002
        """Reports the whole length and drops the bytes."""
        is_new = not upload.is_pretended
        upload.pretend_complete()
        return is_new
