"""rate_limit: so many requests of a station in a window, then 429."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions, RequestKey
from mock_server.profile.units import Duration


class RateLimit(Fault):
    """A fixed window a station: what is above the limit is answered 429, to be tried again when the window is over."""

    kind: Literal["rate_limit"]
    limit: Annotated[int, Field(ge=0)]
    """Requests of a station that are let through in a window."""
    window: Annotated[Duration, Field(gt=0)]
    """Length of the windows, counted from the fault's start."""

    def applies(self, target: RequestKey, now_s: float, memory: dict[str, Any]) -> bool:
        """Whether the station's window is used up."""
        number = (now_s - self.start) // self.window
        if memory.get("window") != number:
            memory["window"], memory["used"] = number, {}
        used: dict[str, int] = memory["used"]
        used[target.station] = used.get(target.station, 0) + 1
        return used[target.station] > self.limit

    def left_s(self, now_s: float) -> float:
        """Seconds until the limit is fresh: what is left of the window, or of the fault.

        >>> RateLimit(kind="rate_limit", start="10s", limit=1, window="60s").left_s(85.0)
        45.0
        """
        left = self.window - (now_s - self.start) % self.window
        return left if self.end is None else min(left, self.end - now_s)

    async def on_request(self, exchange: RequestActions, draw: float) -> None:  # noqa: ARG002
        """Answers 429 with the rest of the window as Retry-After."""
        raise exchange.refuse(429, "The station's requests of this window are used up", self.left_s(exchange.struck_s))
