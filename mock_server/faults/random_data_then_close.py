"""random_data_then_close: garbage instead of a response, then the end of the connection."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Size


class RandomDataThenClose(Fault):
    """The garbage has no status line. The upload is stored."""

    replaces_response: ClassVar[bool] = True
    kind: Literal["random_data_then_close"]
    size: Annotated[Size, Field(ge=1)] = 256
    """Bytes of garbage."""

    async def on_response(self, request: RequestActions, response: bytes, draw: float) -> bool:  # noqa: ARG002
        """Sends garbage and closes."""
        # Seeded with the draw: the same run sends the same garbage.
        await request.write(random.Random(draw).randbytes(self.size))
        request.close()
