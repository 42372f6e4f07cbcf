"""Virtual time: a heap of events that are called in order, and coroutines that wait for them.

The clock is the one that mock_server.overload.worker_pool expects. Nothing here waits for real time, and two events of
the same moment are called in the order in which they were scheduled, so that a seed always gives the same run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator
from heapq import heappop, heappush
from types import coroutine
from typing import Any

_NEVER = float("inf")
_MOMENT, _CALLBACK, _ARGS = 0, 2, 3


class VirtualTimer(list[Any]):
    """An event that can be cancelled: its moment, its number, its callback and the callback's arguments.

    A list, because a heap compares lists without calling Python, and creating one takes half the time of an object
    beside a tuple. Numbers differ, so callbacks are never compared.
    """

    __slots__ = ()

    def cancel(self) -> None:
        """Make sure that the callback is not called."""
        self[_CALLBACK] = None
        self[_ARGS] = ()


class VirtualClock:
    """Seconds since T0, which jump from event to event.

    Two queues, because most events of a simulation are the time limits of attempts that end long before: all attempts
    have the same limit, so these come in order and need no heap.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.is_stopped = False
        """Set it to let `run` return after the present event."""
        self._events: list[list[Any]] = []
        """`VirtualTimer`s, and plain lists for what is never cancelled."""
        self._in_order: deque[VirtualTimer] = deque()
        self._scheduled = 0

    def now(self) -> float:
        """Seconds since T0."""
        return self.now_s

    def call_at(self, time_s: float, callback: Callable[..., object], *args: Any) -> VirtualTimer:
        """Call back at a moment; at once, behind what is due already, if it has passed."""
        if time_s < self.now_s:  # noqa: PLR1730 - max() is a call, and this is called for every event
            time_s = self.now_s
        self._scheduled += 1
        timer = VirtualTimer((time_s, self._scheduled, callback, args))
        heappush(self._events, timer)
        return timer

    def schedule(self, time_s: float, callback: Callable[..., object], *args: Any) -> None:
        """As `call_at`, for a moment that has not passed and a call that nobody cancels: half of its cost."""
        self._scheduled = number = self._scheduled + 1
        heappush(self._events, [time_s, number, callback, args])

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> VirtualTimer:
        """Call back after a delay."""
        self._scheduled += 1
        timer = VirtualTimer((self.now_s + delay_s, self._scheduled, callback, args))
        heappush(self._events, timer)
        return timer

    def call_in_order(self, time_s: float, callback: Callable[..., object], *args: Any) -> VirtualTimer:
        """As `call_at`, for moments that never decrease from one call to the next."""
        queue = self._in_order
        while queue and queue[0][_CALLBACK] is None:
            queue.popleft()
        self._scheduled = number = self._scheduled + 1
        timer = VirtualTimer((time_s, number, callback, args))
        queue.append(timer)
        return timer

    def run(self, until_s: float = _NEVER) -> None:
        """Call every event up to and including `until_s`, or until `is_stopped`; the clock then shows the last one's moment."""
        self.is_stopped = False
        events, in_order, pop = self._events, self._in_order, heappop
        event: list[Any]
        while not self.is_stopped:
            if in_order and (not events or in_order[0] < events[0]):
                event = in_order[0]
                if event[_CALLBACK] is None:
                    in_order.popleft()
                    continue
                if event[_MOMENT] > until_s:
                    return
                in_order.popleft()
            elif events:
                if events[0][_MOMENT] > until_s:
                    return
                event = pop(events)
            else:
                return
            time_s, _, callback, args = event
            if callback is not None:
                self.now_s = time_s
                callback(*args)

    def advance(self, to_s: float) -> None:
        """Call every event up to `to_s`; the clock then shows `to_s`."""
        self.run(to_s)
        self.now_s = max(self.now_s, to_s)


@coroutine
def suspend() -> Generator[None, Any, Any]:
    """Wait until `VirtualTask.resume`; returns what it was called with."""
    return (yield)


class VirtualTask:
    """A coroutine that runs in virtual time: it waits in `sleep_until`, or in `suspend` until somebody resumes it."""

    __slots__ = ("_coroutine", "_wake", "clock")

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self._coroutine: Coroutine[Any, Any, object] | None = None
        self._wake: VirtualTimer | None = None

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine to its first wait."""
        self._coroutine = work
        self.resume()

    @property
    def is_over(self) -> bool:
        """Whether the coroutine has ended, or was never started."""
        return self._coroutine is None

    def resume(self, value: Any = None) -> None:
        """Go on with the coroutine; nothing happens if it is over."""
        work = self._coroutine
        if work is None:
            return
        try:
            work.send(value)
        except StopIteration:
            self._coroutine = None
            self.ended()

    def throw(self, error: BaseException) -> None:
        """Raise an error where the coroutine waits; what it slept for does not wake it any more."""
        work = self._coroutine
        if work is None:
            return
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        try:
            work.throw(error)
        except StopIteration:
            self._coroutine = None
            self.ended()

    def ended(self) -> None:
        """Called when the coroutine has come to its end."""

    def abandon(self) -> None:
        """End the coroutine where it waits; `ended` is not called."""
        work, self._coroutine = self._coroutine, None
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if work is not None:
            work.close()

    async def sleep_until(self, time_s: float) -> None:
        """Wait until a moment; not at all if it has come."""
        if time_s <= self.clock.now_s:
            return
        self._wake = self.clock.call_at(time_s, self.resume)
        await suspend()
        self._wake = None
