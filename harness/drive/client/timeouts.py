"""The deadlines of a worker's attempts: one timer for all of them, as every attempt has the same time.

A `gevent.Timeout` is an object, a timer in the loop's heap and some microseconds an attempt. Here an attempt adds itself to the end of a
queue, which is in the order of the deadlines, and the timer waits for the first of them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from gevent import get_hub, getcurrent

from harness.drive.client.outcomes import AttemptTimeoutError


class AttemptTimeout:
    """Of one attempt. Call `met` when it is over."""

    __slots__ = ("_greenlet", "moment_s")

    def __init__(self, moment_s: float, greenlet: Any) -> None:
        self.moment_s = moment_s
        self._greenlet = greenlet

    @property
    def is_met(self) -> bool:
        """Whether it can't strike any more."""
        return self._greenlet is None

    def met(self) -> None:
        """The attempt is over: it doesn't strike."""
        self._greenlet = None

    def strike(self) -> None:
        """Raise DeadlineError where the attempt waits. To be called by the hub alone, when nothing else runs."""
        greenlet, self._greenlet = self._greenlet, None
        greenlet.throw(AttemptTimeoutError)


class TimeoutQueue:
    """Ends attempts whose time is up, by a DeadlineError in their greenlet."""

    def __init__(self, lasts_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`lasts_s` is every attempt's time."""
        self._lasts_s = lasts_s
        self._clock = clock
        self._queue: deque[AttemptTimeout] = deque()
        self._timer: Any = None

    def begin(self) -> AttemptTimeout:
        """The deadline of the current greenlet, from now on."""
        queue = self._queue
        while queue and queue[0].is_met:
            queue.popleft()
        deadline = AttemptTimeout(self._clock() + self._lasts_s, getcurrent())
        queue.append(deadline)
        if self._timer is None:
            self._wait(self._lasts_s)
        return deadline

    def _wait(self, seconds: float) -> None:
        self._timer = get_hub().loop.timer(max(0.0, seconds), ref=False)
        self._timer.start(self._look)

    def _look(self) -> None:
        """Strike what is due; called by the hub."""
        queue, timer = self._queue, self._timer  # the timer stays until the end: who is struck may begin anew at once
        while queue and (queue[0].is_met or queue[0].moment_s <= self._clock()):
            deadline = queue.popleft()
            if not deadline.is_met:
                deadline.strike()
        timer.close()
        self._timer = None
        if queue:
            self._wait(queue[0].moment_s - self._clock())
