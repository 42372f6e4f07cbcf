"""What a tool's processes cost: their CPU time as it goes, and the most memory that they held.

CPU is read every tenth of a second from the scheduler's own account (/proc/PID/task/*/schedstat: user and system, in
nanoseconds), over the whole tree, so that the cost between any two moments of a run can be told afterwards. That leaves out
starting and ending exactly, for every tool alike: rusage has only the sum, and to subtract a run of length zero would still
charge what a tool prepares for its length (our plan, k6's virtual users).
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from harness.measure.process_monitor import PROC, cpu_seconds, peak_bytes, process_tree

PERIOD_S = 0.1


@dataclass
class ProcessCost:
    """CPU seconds over time, and memory, of the processes that send; and of those beside them."""

    at_s: list[float] = field(default_factory=list)
    """Moments of the samples, on the epoch's clock."""
    cpu_s: list[float] = field(default_factory=list)
    """CPU that had been used by then."""
    beside_cpu_s: list[float] = field(default_factory=list)
    """The same of processes that don't send (`harness run` itself)."""
    peak_bytes: int = 0
    """Most resident memory (VmHWM), summed over the processes that send."""

    def cpu_between(self, begin_s: float, end_s: float, *, beside: bool = False) -> float:
        """CPU seconds used between two moments, in a straight line between samples. Raises ValueError outside of them.

        >>> Tally([0.0, 1.0, 2.0], [0.0, 0.4, 0.6], [0.0, 0.0, 0.0]).cpu_between(0.5, 1.5)
        0.3
        """
        if not self.at_s or begin_s < self.at_s[0] or end_s > self.at_s[-1]:
            message = f"there are no samples from {begin_s:.1f} to {end_s:.1f}"
            raise ValueError(message)
        values = self.beside_cpu_s if beside else self.cpu_s
        return round(self._at(values, end_s) - self._at(values, begin_s), 9)

    def _at(self, values: list[float], moment_s: float) -> float:
        after = min(max(1, bisect.bisect_left(self.at_s, moment_s)), len(self.at_s) - 1)
        before = after - 1
        share = (moment_s - self.at_s[before]) / (self.at_s[after] - self.at_s[before])
        return values[before] + share * (values[after] - values[before])


class ProcessSampler:
    """Samples a process and all it started, within its `with` block."""

    def __init__(
        self,
        pid: int,
        marker: bytes,
        place: Callable[[int, bool], None] = lambda _pid, _sends: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Those whose command line has `marker` send; b"": all do. `place` is told once of each whether it does."""
        self.tally = ProcessCost()
        self._place = place
        self._pid, self._marker, self._clock = pid, marker, clock
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample_all, name="tally", daemon=True)
        self._cpu_s: dict[int, float] = {}
        self._beside_cpu_s: dict[int, float] = {}
        self._sends: dict[int, bool] = {}
        self._peaks: dict[int, int] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _sample_all(self) -> None:
        while not self._stopped.wait(PERIOD_S):
            self._sample()

    def _sample(self) -> None:
        """A process that has gone keeps what it had used."""
        for pid in process_tree(self._pid):
            try:
                used_s = cpu_seconds(pid)
                if not self._sends.get(pid):  # a child is its parent's image until it has exec'd
                    sends = self._marker in (PROC / str(pid) / "cmdline").read_bytes()
                    if self._sends.get(pid) is not sends:
                        self._place(pid, sends)
                    self._sends[pid] = sends
                self._peaks[pid] = max(peak_bytes(pid), self._peaks.get(pid, 0))
            except (OSError, ValueError):
                continue
            account = self._cpu_s if self._sends[pid] else self._beside_cpu_s
            account[pid] = max(used_s, account.get(pid, 0.0))
        self.tally.at_s.append(self._clock())
        self.tally.cpu_s.append(sum(self._cpu_s.values()))
        self.tally.beside_cpu_s.append(sum(self._beside_cpu_s.values()))
        self.tally.peak_bytes = sum(peak for pid, peak in self._peaks.items() if self._sends.get(pid))
