"""Adaptive limits on concurrency: how many uploads may be in the server at once, found from how long they take.

Both follow Netflix's concurrency-limits, without its smoothing and probing options where methods name none.
"""

from __future__ import annotations

import math
from typing import Protocol

INITIAL_LIMIT = 20
_PROBE_EVERY = 30


class ConcurrencyLimit(Protocol):
    """A limit that learns."""

    @property
    def value(self) -> int:
        """Uploads that may be in the server now."""

    def sample(self, rtt_s: float, in_flight: int) -> None:
        """Learns from an upload that took `rtt_s` while so many were in the server."""


class VegasLimit:
    """TCP Vegas' rule: the queue that there must be is guessed from the time above the shortest time ever seen.

    q = ceil(L * (1 - rtt0 / rtt)); L grows while q is below alpha = 3 log10 L and shrinks above beta = 6 log10 L.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(min(INITIAL_LIMIT, most))
        self._shortest_s = math.inf
        self._samples = 0

    @property
    def value(self) -> int:
        """Uploads that may be in the server now."""
        return max(1, int(self._limit))

    def sample(self, rtt_s: float, in_flight: int) -> None:
        """Learns; an upload from a server less than half full says nothing about its limit."""
        self._samples += 1
        if self._samples >= _PROBE_EVERY * self.value:
            self._samples, self._shortest_s = 0, math.inf  # the path may have become longer: look again
        if rtt_s < self._shortest_s:
            self._shortest_s = rtt_s
            return
        if in_flight * 2 < self._limit:
            return
        step = max(1.0, math.log10(self._limit))
        queue = math.ceil(self._limit * (1 - self._shortest_s / rtt_s))
        if queue <= step:
            self._limit += 6 * step
        elif queue < 3 * step:
            self._limit += step
        elif queue > 6 * step:
            self._limit -= step
        self._limit = min(float(self._most), max(1.0, self._limit))


class Gradient2Limit:
    """The limit shrinks by the ratio of the long-term to the latest time, and always tries four more.

    g = clamp(long / short, 0.5, 1); L = 0.8 L + 0.2 (g L + 4).
    """

    _WINDOW = 600

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(min(INITIAL_LIMIT, most))
        self._long_s = 0.0
        self._samples = 0

    @property
    def value(self) -> int:
        """Uploads that may be in the server now."""
        return max(1, int(self._limit))

    def sample(self, rtt_s: float, in_flight: int) -> None:
        """Learns; an upload from a server less than half full moves the long-term time only."""
        self._samples += 1
        share = 1 / min(self._samples, self._WINDOW)
        self._long_s += share * (rtt_s - self._long_s)
        if rtt_s > 0 and self._long_s / rtt_s > 2:
            self._long_s *= 0.95  # the load has gone: forget it faster
        if in_flight < self._limit / 2 or rtt_s <= 0:
            return
        gradient = min(1.0, max(0.5, self._long_s / rtt_s))
        self._limit = 0.8 * self._limit + 0.2 * (gradient * self._limit + 4)
        self._limit = min(float(self._most), max(1.0, self._limit))
