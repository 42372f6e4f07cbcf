"""offset_rollback: a resumable upload has less than it said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from mock_server.faults.base import Exchange, Fault, Reach
from mock_server.units import Probability

if TYPE_CHECKING:
    from mock_server.resumable import Resumable


class OffsetRollback(Fault):
    """When it is asked for or goes on, a share of what it had is gone; the client has to send it again."""

    reach: ClassVar[Reach] = "resumable"
    kind: Literal["offset_rollback"]
    lose: Annotated[Probability, Field(gt=0)] = 0.5
    """Share of the bytes received that is lost."""

    def on_resumable(self, exchange: Exchange, upload: Resumable, draw: float) -> None:  # noqa: ARG002
        """Goes back."""
        upload.truncate(int(upload.offset * (1 - self.lose)))
