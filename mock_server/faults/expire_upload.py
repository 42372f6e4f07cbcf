"""expire_upload: a resumable upload is gone before its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Scope

if TYPE_CHECKING:
    from mock_server.storage.resumable import ResumableUpload


class ExpireUpload(Fault):
    """410, and it does not come back: the client has to begin again."""

    reach: ClassVar[Scope] = "resumable"
    kind: Literal["expire_upload"]

    def on_resumable(self, exchange: RequestActions, upload: ResumableUpload, draw: float) -> bool:  # noqa: ARG002
        """Lets it expire and answers 410."""
        upload.expire()
        raise exchange.refuse(410, "The upload has expired")
