"""Tests whose limits are times (`@pytest.mark.timed`): one that fails while the machine was busy with other things is made again.

The same that the harness does with a run whose generator was late: such a measurement says nothing. What is too slow is so every
time, and on a machine that had nothing else to do the first failure stands.
"""

from __future__ import annotations

import threading
import time
from typing import Self

import psutil
import pytest
from _pytest.runner import runtestprotocol

MOST = 3
"""How often a test is made at the most."""
BUSY_RATIO = 0.5
"""A machine whose cores were busy above this share of the time is busy with other things: these tests mostly wait."""
HELD_UP_S = 0.05
"""A thread that is woken later than this was held up: by other processes, or by other guests of the machine's host."""
AGAIN = "measured again"
_LOOK_S = 0.005


class Watch:
    """How busy the machine was while the block lasted, and by how much a thread of ours was woken too late."""

    def __enter__(self) -> Self:
        self.latest_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="timed", daemon=True)
        self._before = psutil.cpu_times()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        after = psutil.cpu_times()
        spent = sum(after) - sum(self._before)
        self.busy_ratio = max(0.0, 1 - (after.idle - self._before.idle) / spent) if spent else 0.0

    @property
    def was_busy(self) -> bool:
        """Whether a time that was measured meanwhile says nothing."""
        return self.busy_ratio > BUSY_RATIO or self.latest_s > HELD_UP_S

    def _look(self) -> None:
        before = time.monotonic()
        while not self._over.wait(_LOOK_S):
            now = time.monotonic()
            self.latest_s = max(self.latest_s, now - before - _LOOK_S)
            before = now


def make(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """The reports of a test, of its last time if it was made more than once. Its fixtures are made anew each time."""
    for left in reversed(range(MOST)):
        with Watch() as machine:
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
        failed = [report for report in reports if report.failed]
        if not (left and machine.was_busy and failed):
            break
        seen = f"{machine.busy_ratio:.0%} busy, {1000 * machine.latest_s:.0f} ms late"
        item.user_properties.append((AGAIN, f"{seen}: {_said(failed[0])}"))
    return reports


def _said(report: pytest.TestReport) -> str:
    """Why it failed, in a line: who reads it sees whether that is the machine's doing."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message).splitlines()[0] if crash is not None else f"in its {report.when}"
