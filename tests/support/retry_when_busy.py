"""Repeats a test that asserts times (`@pytest.mark.timed`) if it failed while the machine was busy with something else.

This is what the harness does with a run whose generator was late: such a measurement is worth nothing. Code that is too slow
fails every time, and on an idle machine the first failure counts.
"""

from __future__ import annotations

import threading
import time
from typing import Self

import psutil
import pytest
from _pytest.runner import runtestprotocol

MOST = 3
"""A test runs at most this many times."""
BUSY_RATIO = 0.5
"""Above this share of busy CPU time something else uses the machine: these tests mostly wait."""
HELD_UP_S = 0.05
"""A thread that wakes later than this was held up by other processes, or by other guests of the machine's host."""
REPEATED = "measured again"
_POLL_S = 0.005


class BusyMonitor:
    """Measures how busy the machine is while the block lasts, and how late a thread of this process wakes."""

    def __enter__(self) -> Self:
        self.latest_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="timed", daemon=True)
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
        """Whether times measured meanwhile are meaningless."""
        return self.busy_ratio > BUSY_RATIO or self.latest_s > HELD_UP_S

    def _poll(self) -> None:
        before = time.monotonic()
        while not self._over.wait(_POLL_S):
            now = time.monotonic()
            self.latest_s = max(self.latest_s, now - before - _POLL_S)
            before = now


def make(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Run a test, with new fixtures each time, until it passes or its failure counts; returns the last reports."""
    for left in reversed(range(MOST)):
        with BusyMonitor() as machine:
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
        failed = [report for report in reports if report.failed]
        if not (left and machine.was_busy and failed):
            break
        circumstances = f"{machine.busy_ratio:.0%} busy, {1000 * machine.latest_s:.0f} ms late"
        item.user_properties.append((REPEATED, f"{circumstances}: {_failure(failed[0])}"))
    return reports


def _failure(report: pytest.TestReport) -> str:
    """The first line of the failure, so that a reader can tell whether the machine was the cause."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message).splitlines()[0] if crash is not None else f"in its {report.when}"
