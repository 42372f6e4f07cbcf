"""false_complete: a resumable upload is called complete, and nothing is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Exchange, Fault, Reach

if TYPE_CHECKING:
    from mock_server.storage.resumable import Resumable


class FalseComplete(Fault):
    """The offset that the client is told is the whole length, whatever has come."""

    reach: ClassVar[Reach] = "resumable"
    kind: Literal["false_complete"]

    def on_resumable(self, exchange: Exchange, upload: Resumable, draw: float) -> bool:  # noqa: ARG002
        """Claims the whole length and gives the bytes up."""
        is_news = not upload.is_pretended
        upload.pretend_complete()
        return is_news
