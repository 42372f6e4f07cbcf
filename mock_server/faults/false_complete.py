"""false_complete: a resumable upload is called complete, and nothing is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Scope

if TYPE_CHECKING:
    from mock_server.storage.resumable import ResumableUpload


class FalseComplete(Fault):
    """The offset that the client is told is the whole length, whatever has come."""

    reach: ClassVar[Scope] = "resumable"
    kind: Literal["false_complete"]

    def on_resumable(self, exchange: RequestActions, upload: ResumableUpload, draw: float) -> bool:  # noqa: ARG002
        """Claims the whole length and gives the bytes up."""
        is_news = not upload.is_pretended
        upload.pretend_complete()
        return is_news
