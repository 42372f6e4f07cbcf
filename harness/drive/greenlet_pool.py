"""Greenlets that do one job after another.

A new greenlet costs a job some 15 µs: Python maps a stack for it and unmaps it again, the kernel fills the pages with zeros. A
station's evening is over in a few milliseconds, so the greenlet that did one takes the next.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import gevent
from gevent import get_hub, getcurrent
from gevent.event import Event

_MAX_IDLE = 256
"""Greenlets kept for the next jobs; more of them end, so that a crowd's memory is given back."""


class GreenletPool:
    """Does jobs side by side, each in a greenlet of its own."""

    def __init__(self, on_error: Callable[[], None]) -> None:
        """`on_error` is called when an error that nobody thought of has ended a job; gevent has logged it then."""
        self._on_error = on_error
        self._hub = get_hub()
        self._busy: dict[Any, Callable[[], object]] = {}
        """Each greenlet's job."""
        self._idle: list[Any] = []
        self._ending = False
        """All jobs are being ended: one that has not begun doesn't begin any more."""
        self._none_busy = Event()
        self._none_busy.set()

    def __len__(self) -> int:
        """How many jobs are begun and not over."""
        return len(self._busy)

    def begin(self, job: Callable[[], object]) -> None:
        """Do a job, from the loop's next turn on."""
        if self._idle:
            hand = self._idle.pop()
            self._hub.loop.run_callback(hand.switch, job)
        else:
            hand = gevent.spawn_raw(self._work, job)
        self._busy[hand] = job
        if len(self._busy) == 1:
            self._none_busy.clear()

    def join(self) -> None:
        """Wait until no job is under way."""
        self._none_busy.wait()

    def kill(self) -> None:
        """Raise GreenletExit in every job that is under way, begin none that is not, and wait until they are over."""
        self._ending = True
        for hand, job in self._busy.items():
            self._hub.loop.run_callback(self._end, hand, job)
        self.join()
        self._ending = False

    def _end(self, hand: Any, job: Callable[[], object]) -> None:
        """Unless the job is over by now."""
        if self._busy.get(hand) is job:
            hand.throw(gevent.GreenletExit)

    def _work(self, job: Callable[[], object]) -> None:
        me, hub = getcurrent(), self._hub
        while True:
            try:
                if not self._ending:
                    job()
            except gevent.GreenletExit:
                pass
            except BaseException:  # noqa: BLE001 - whatever it is, the next job is not to suffer for it
                hub.handle_error(job, *sys.exc_info())
                self._on_error()
            del job, self._busy[me]
            if not self._busy:
                self._none_busy.set()
            if len(self._idle) >= _MAX_IDLE:
                return
            self._idle.append(me)
            job = hub.switch()
