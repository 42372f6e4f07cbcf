"""A clock that jumps from event to event, so that hours of queueing take a second."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial
from typing import Any


class SimulatedTimer:
    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class SimulatedClock:
    def __init__(self) -> None:
        self.time_s = 0.0
        self._events: list[tuple[float, int, SimulatedTimer, Callable[[], object]]] = []
        self._count = 0

    def now(self) -> float:
        return self.time_s

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> SimulatedTimer:
        timer = SimulatedTimer()
        self._count += 1
        call: Callable[[], object] = partial(callback, *args)
        heapq.heappush(self._events, (self.time_s + delay_s, self._count, timer, call))
        return timer

    def run(self, until_s: float = float("inf")) -> None:
        """Plays all events up to a time."""
        while self._events and self._events[0][0] <= until_s:
            self.time_s, _, timer, callback = heapq.heappop(self._events)
            if not timer.is_cancelled:
                callback()
        if until_s != float("inf"):
            self.time_s = max(self.time_s, until_s)
