"""random_data_then_close: garbage instead of an answer, then the end."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Size


class RandomDataThenClose(Fault):
    """Not even a status line. The upload is stored."""

    ends_answers: ClassVar[bool] = True
    kind: Literal["random_data_then_close"]
    size: Annotated[Size, Field(ge=1)] = 256
    """Bytes of garbage."""

    async def on_answer(self, exchange: RequestActions, answer: bytes, draw: float) -> bool:  # noqa: ARG002
        """Sends garbage and closes."""
        await exchange.write(random.Random(draw).randbytes(self.size))
        exchange.close()
