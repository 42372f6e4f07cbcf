"""ack_lost: stored, and the connection reset before the answer: the client cannot know."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Exchange, Fault, Reach


class AckLost(Fault):
    """Retries of such a page are repetitions: 200, or a second copy where nothing dedupes."""

    reach: ClassVar[Reach] = "rows"
    ends_answers: ClassVar[bool] = True
    kind: Literal["ack_lost"]

    async def on_answer(self, exchange: Exchange, answer: bytes, draw: float) -> bool:  # noqa: ARG002
        """Resets instead of acknowledging."""
        if answer.partition(b" ")[2].startswith(b"2"):
            exchange.reset()
        return False
