"""ack_lost: stored (or queued, where reading is asynchronous), and the connection reset before the answer."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Scope


class AckLost(Fault):
    """The client cannot know. Retries of such a page are repetitions: 200, or a second copy where nothing dedupes."""

    reach: ClassVar[Scope] = "acknowledgement"
    ends_answers: ClassVar[bool] = True
    kind: Literal["ack_lost"]

    async def on_answer(self, exchange: RequestActions, answer: bytes, draw: float) -> bool:  # noqa: ARG002
        """Resets instead of acknowledging."""
        exchange.reset()
