"""rate_limit: a limited number of requests per station and window, then 429."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from mock_server.faults.base import Fault, RequestActions, RequestKey
from mock_server.profile.units import Duration


class RateLimit(Fault):
    """A fixed window per station: requests above the limit get 429, with the rest of the window as Retry-After."""

    kind: Literal["rate_limit"]
    limit: Annotated[int, Field(ge=0)]
    """Requests per station that are let through in a window."""
    window: Annotated[Duration, Field(gt=0)]
    """Length of the windows, counted from the fault's start."""

    def applies(self, key: RequestKey, now_s: float, memory: dict[str, Any]) -> bool:
        """Counts the request; whether the station has exceeded its window's limit."""
        number = (now_s - self.start) // self.window  # windows are counted from the fault's start, not from a station's
        if memory.get("window") != number:
            memory["window"], memory["used"] = number, {}
        used: dict[str, int] = memory["used"]
        used[key.station] = used.get(key.station, 0) + 1
        return used[key.station] > self.limit

    def left_s(self, now_s: float) -> float:
        """Seconds until the station may send again: what is left of the window, or of the fault.

        >>> RateLimit(kind="rate_limit", start="10s", limit=1, window="60s").left_s(85.0)
        45.0
        """
        left = self.window - (now_s - self.start) % self.window
        return left if self.end is None else min(left, self.end - now_s)

    async def on_request(self, request: RequestActions, draw: float) -> None:  # noqa: ARG002
        """Answers 429 with the rest of the window as Retry-After."""
        raise request.refuse(429, "The station has used up its requests of this window", self.left_s(request.hit_at_s))
