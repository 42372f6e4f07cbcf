"""A clock for greenlets that only sleep: it stands still while any of them works, and jumps to the next one's moment."""

from __future__ import annotations

import heapq
from itertools import count

import gevent
from gevent.event import Event

_TURNS = 5
"""Turns of the loop after which whatever can run without time passing has run: a wake-up takes one, a new greenlet another."""


class JumpingClock:
    """Seconds since its making, and a `sleep` to put in the place of `gevent.sleep`. What waits for sockets is not waited for."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, Event]] = []
        self._turn = gevent.sleep
        self._jumps: gevent.Greenlet | None = None

    def __call__(self) -> float:
        """What it shows."""
        return self._now_s

    def sleep(self, seconds: float = 0.0) -> None:
        """Let the others run until the clock shows so many seconds more."""
        woken = Event()
        heapq.heappush(self._sleepers, (self._now_s + max(0.0, seconds), next(self._order), woken))
        if self._jumps is None or self._jumps.dead:
            self._jumps = gevent.spawn(self._jump)
        woken.wait()

    def _jump(self) -> None:
        while self._sleepers:
            for _ in range(_TURNS):
                self._turn(0)
            self._now_s, _, woken = heapq.heappop(self._sleepers)
            woken.set()
            self._turn(0)
