"""slow_close: the answer comes, and the connection lingers before it is closed."""

from __future__ import annotations

from typing import Literal

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Duration


class SlowClose(Fault):
    """After the answer the server closes the connection, but only after a while; it serves no other request on it."""

    kind: Literal["slow_close"]
    delay: Duration
    """Time from the answer to the FIN."""

    async def on_answer(self, exchange: RequestActions, answer: bytes, draw: float) -> bool:  # noqa: ARG002
        """Answers, waits, closes."""
        await exchange.write(answer)
        await exchange.sleep(self.delay)
        exchange.close()
