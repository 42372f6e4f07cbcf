"""Watches the clock while a run goes on: wall clock and monotonic clock must not drift apart."""

from __future__ import annotations

from collections.abc import Callable


class ClockMonitor:
    """Compares two clocks, e.g. time.time and time.monotonic."""

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()
        self.step_s = 0.0
        """The greatest step between two looks, seconds, with its sign."""

    def look(self) -> None:
        """Compare now; call it every second or so. A slow drift (NTP slewing) is no step."""
        offset = self._wall() - self._monotonic()
        step = offset - self._offset
        self._offset = offset
        if abs(step) > abs(self.step_s):
            self.step_s = step
