"""expire_upload: a resumable upload expires early."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, ResumableState, Scope


class ExpireUpload(Fault):
    """410 from now on: the client has to begin again."""

    scope: ClassVar[Scope] = "resumable"
    kind: Literal["expire_upload"]

    def on_resumable(self, request: RequestActions, upload: ResumableState, draw: float) -> bool:  # noqa: ARG002
        """Expires it and answers 410."""
        upload.expire()
        raise request.refuse(410, "The upload has expired")
