"""truncate_body: the answer ends before its Content-Length is reached."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Probability


class TruncateBody(Fault):
    """The head is whole, of the body only a part comes, then FIN. The upload is stored."""

    ends_answers: ClassVar[bool] = True
    kind: Literal["truncate_body"]
    keep: Annotated[Probability, Field(lt=1)] = 0.5
    """Share of the body that still comes."""

    async def on_answer(self, exchange: RequestActions, answer: bytes, draw: float) -> bool:  # noqa: ARG002
        """Sends the part and closes."""
        head, divider, body = answer.partition(b"\r\n\r\n")
        if body:
            await exchange.write(head + divider + body[: int(len(body) * self.keep)])
            exchange.close()
        return False
