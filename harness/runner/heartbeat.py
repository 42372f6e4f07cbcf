"""Workers of this machine that live and say nothing: stopped, starved of their core, or stuck. One that dies is told by its end.

A worker of this machine is known to live by its scrapes; those of other machines send heartbeats
(harness/drive/distributed/leader_session.py). The time limit is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from harness.drive.distributed.join import HEARTBEAT_TIMEOUT_S
from harness.run_folder.scrape_log import Scrape

_MIN_FAILED_SCRAPES = 2
"""Scrapes that must have failed by then, so that a harness which slept itself takes nobody for silent."""
_LOCAL_ERRORS = ("OSError:", "RuntimeError:")
"""Errors of a scrape that the harness's own want of descriptors, ports or threads makes; what a worker does has other names."""


class HeartbeatMonitor:
    """Of one run, from T0 on."""

    def __init__(self, targets: Iterable[str], tell: Callable[[int, str], None]) -> None:
        """`targets` are scraped by these names (`worker-0`, …); `tell` hears, once each, the rank that is silent and why."""
        self._heard_s = dict.fromkeys(targets, 0.0)
        self._failed = dict.fromkeys(self._heard_s, 0)
        self._tell = tell

    def see(self, scrape: Scrape) -> None:
        """Note whether a worker answered. A target's scrapes come one after another, each target's from a thread of its own."""
        name = scrape.target
        if name not in self._heard_s:
            return
        if scrape.error.startswith(_LOCAL_ERRORS):
            return
        if not scrape.error:
            self._heard_s[name], self._failed[name] = scrape.t_s, 0
            return
        self._failed[name] += 1
        silent_s = scrape.t_s - self._heard_s[name]
        if silent_s >= HEARTBEAT_TIMEOUT_S and self._failed[name] >= _MIN_FAILED_SCRAPES:
            del self._heard_s[name]
            self._tell(int(name.rpartition("-")[2]), f"it answered nothing for {silent_s:.1f} s ({scrape.error})")
