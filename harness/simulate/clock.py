"""Virtual time: a heap of events that are called in order, and coroutines that wait for them.

The clock is the one that mock_server.overload.worker_pool expects. Nothing here waits for real time, and two events of
the same moment are called in the order in which they were scheduled, so that a seed always gives the same run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from heapq import heappop, heappush
from itertools import count
from types import coroutine
from typing import Any

_NEVER = float("inf")
_CALLBACK = 2


VirtualEvent = list[Any]
"""Its moment, its number, and its callback, which takes no arguments; without a callback it is cancelled.

A list, because a heap compares lists without calling Python, and creating one takes half the time of an object
beside a tuple. Numbers differ, so callbacks are never compared.
"""


def cancel(event: VirtualEvent) -> None:
    """Make sure that the event's callback is not called."""
    event[_CALLBACK] = None


class VirtualTimer(VirtualEvent):
    """An event with a method to cancel it: creating one takes five times as long as a plain event."""

    __slots__ = ()
    cancel = cancel


class VirtualClock:
    """Seconds since T0, which jump from event to event.

    Two queues, because most events of a simulation are the time limits of attempts that end long before: all attempts
    have the same limit, so these come in order, and only the first of them is in the heap.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.is_stopped = False
        """Set it to let `run` return after the present event."""
        self._events: list[VirtualEvent] = []
        self._in_order: deque[VirtualEvent] = deque()
        self._next_number = count(1).__next__

    def now(self) -> float:
        """Seconds since T0."""
        return self.now_s

    def call_at(self, time_s: float, callback: Callable[..., object], *args: Any) -> VirtualTimer:
        """Call back at a moment; at once, behind what is due already, if it has passed."""
        return self._push_timer(max(time_s, self.now_s), callback, args)

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> VirtualTimer:
        """Call back after a delay."""
        return self._push_timer(self.now_s + delay_s, callback, args)

    def _push_timer(self, time_s: float, callback: Callable[..., object], args: tuple[Any, ...]) -> VirtualTimer:
        timer = VirtualTimer((time_s, self._next_number(), partial(callback, *args) if args else callback))
        heappush(self._events, timer)
        return timer

    def schedule(self, time_s: float, callback: Callable[[], object]) -> VirtualEvent:
        """As `call_at`, for a moment that has not passed: a third of its cost. `cancel` cancels the event."""
        event = [time_s, self._next_number(), callback]
        heappush(self._events, event)
        return event

    def schedule_in_order(self, time_s: float, callback: Callable[[], object]) -> VirtualEvent:
        """As `schedule`, for moments that never decrease from one call to the next."""
        event = [time_s, self._next_number(), callback]
        in_order = self._in_order
        in_order.append(event)
        if in_order[0] is event:
            self._await_first()
        return event

    def _await_first(self) -> None:
        """Let the heap have an event in the place of the first one of those that come in order."""
        time_s, number, _ = self._in_order[0]
        heappush(self._events, [time_s, number, self._call_first])

    def _call_first(self) -> None:
        in_order = self._in_order
        callback = in_order.popleft()[_CALLBACK]
        while in_order and in_order[0][_CALLBACK] is None:
            in_order.popleft()
        if in_order:
            self._await_first()
        if callback is not None:
            callback()

    def run(self, until_s: float = _NEVER) -> None:
        """Call every event up to and including `until_s`, or until `is_stopped`; the clock then shows the last one's moment."""
        self.is_stopped = False
        events, pop = self._events, heappop
        end: VirtualEvent = [until_s, _NEVER, None]
        heappush(events, end)
        while not self.is_stopped:
            event = pop(events)
            time_s, _, callback = event
            if callback is not None:
                self.now_s = time_s
                callback()
            elif event is end:
                return

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
