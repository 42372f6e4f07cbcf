"""empty_response: the work is done, and the connection closed without a byte."""

from __future__ import annotations

from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions


class EmptyResponse(Fault):
    """The upload is stored; its client gets FIN instead of an answer."""

    ends_answers: ClassVar[bool] = True
    kind: Literal["empty_response"]

    async def on_answer(self, exchange: RequestActions, answer: bytes, draw: float) -> bool:  # noqa: ARG002
        """Closes."""
        exchange.close()
