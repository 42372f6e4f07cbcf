"""Greenlets that run one job after another.

A new greenlet costs a job some 15 µs: Python maps a stack for it and unmaps it again, and the kernel fills the pages with
zeros. A station is over in a few milliseconds, so the greenlet that played one takes the next.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import gevent
from gevent import get_hub, getcurrent
from gevent.event import Event

_MAX_IDLE = 256
"""Greenlets kept for the next jobs; more of them end, so that the memory of a peak is given back."""


class GreenletPool:
    """Runs jobs side by side, each in a greenlet of its own, without a limit of their number."""

    def __init__(self, on_error: Callable[[], None]) -> None:
        """`on_error` is called when an unexpected error has ended a job; gevent has logged it then."""
        self._on_error = on_error
        self._hub = get_hub()
        self._busy: dict[Any, Callable[[], object]] = {}
        """The job of each greenlet."""
        self._idle: list[Any] = []
        self._killing = False
        """`kill` is under way: a job that has not begun does not begin any more."""
        self._none_busy = Event()
        self._none_busy.set()

    def __len__(self) -> int:
        """How many jobs have been started and are not over."""
        return len(self._busy)

    def start(self, job: Callable[[], object]) -> None:
        """Run a job, from the event loop's next iteration on."""
        if self._idle:
            greenlet = self._idle.pop()
            # Switching to it here would run the job inside its starter, before this method has noted it.
            self._hub.loop.run_callback(greenlet.switch, job)
        else:
            greenlet = gevent.spawn_raw(self._work, job)
        self._busy[greenlet] = job
        if len(self._busy) == 1:
            self._none_busy.clear()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until no job is under way, at most `timeout_s`; whether none is."""
        return bool(self._none_busy.wait(timeout_s))

    def kill(self) -> None:
        """Raise GreenletExit in every job that is under way, start none that waits, and wait until all are over."""
        self._killing = True
        for greenlet, job in self._busy.items():
            self._hub.loop.run_callback(self._throw, greenlet, job)
        self.join()
        self._killing = False

    def _throw(self, greenlet: Any, job: Callable[[], object]) -> None:
        """End the job, unless it is over by now: the greenlet may have another one already, which must not suffer."""
        if self._busy.get(greenlet) is job:
            greenlet.throw(gevent.GreenletExit)

    def _work(self, job: Callable[[], object]) -> None:
        me, hub = getcurrent(), self._hub
        while True:
            try:
                if not self._killing:
                    job()
            except gevent.GreenletExit:
                pass
            except BaseException:  # noqa: BLE001 - whatever it is, the next job must not suffer for it
                hub.handle_error(job, *sys.exc_info())
                self._on_error()
            # `job` too, or the greenlet would keep its last station alive while it is idle.
            del job, self._busy[me]
            if not self._busy:
                self._none_busy.set()
            if len(self._idle) >= _MAX_IDLE:
                return
            self._idle.append(me)
            job = hub.switch()
