"""One round of one tool: its processes on their cores, and the CPU time and memory that they use."""

from __future__ import annotations

import bisect
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from benchmarks.peers.tools.tool import Tool, ToolJob, ToolReport, tail
from harness.base.errors import ProcessFailedError
from harness.measure.process_monitor import PROC, cpu_seconds, peak_bytes, process_tree

SAMPLE_EVERY_S = 0.1
_OVERTIME_S = 90.0
_TOOL_VARIABLES = ("LOCUST_", "K6_", "HARNESS_", "GOMAXPROCS", "GOGC")
"""Environment variables of the user that would change how a tool works."""


@dataclass(frozen=True)
class CoreSplit:
    """Which cores the generator has, and which the server and everything that watches."""

    server: frozenset[int]
    generator: frozenset[int]

    def place(self, pid: int, sends: bool) -> None:
        """Move a process with all its threads to its cores. Raises OSError if it has exited."""
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), self.generator if sends else self.server)


def split_cores() -> CoreSplit:
    """The last available core for the generator alone, the others for the rest; a single core is shared."""
    allowed = sorted(os.sched_getaffinity(0))
    return CoreSplit(frozenset(allowed[:-1] or allowed), frozenset(allowed[-1:]))


@contextlib.contextmanager
def pinned_to(cores: frozenset[int]) -> Iterator[None]:
    """Processes that this thread starts within the block run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass
class ProcessCost:
    """CPU time and memory of the processes that send, and CPU time of those that do not.

    CPU is sampled ten times a second from the scheduler's own account (/proc/PID/task/*/schedstat, nanoseconds of user and
    system time), so that the cost between any two moments can be computed afterwards. rusage has only the total: it would
    charge what a tool prepares before it sends (our plan, k6's virtual users), and what it does after.
    """

    at_s: list[float] = field(default_factory=list)
    """Times of the samples, seconds since the epoch."""
    cpu_s: list[float] = field(default_factory=list)
    """CPU used until then."""
    beside_cpu_s: list[float] = field(default_factory=list)
    """The same for processes that do not send (`harness run` itself)."""
    peak_bytes: int = 0
    """Peak resident memory (VmHWM), summed over the processes that send."""

    def cpu_between(self, begin_s: float, end_s: float, *, beside: bool = False) -> float:
        """CPU seconds used between two times, interpolated between samples. Raises ValueError outside of the samples.

        >>> ProcessCost([0.0, 1.0, 2.0], [0.0, 0.4, 0.6], [0.0, 0.0, 0.0]).cpu_between(0.5, 1.5)
        0.3
        """
        if not self.at_s or begin_s < self.at_s[0] or end_s > self.at_s[-1]:
            message = f"there are no samples from {begin_s:.1f} to {end_s:.1f}"
            raise ValueError(message)
        values = self.beside_cpu_s if beside else self.cpu_s
        return round(self._value_at(values, end_s) - self._value_at(values, begin_s), 9)

    def _value_at(self, values: list[float], moment_s: float) -> float:
        after = min(max(1, bisect.bisect_left(self.at_s, moment_s)), len(self.at_s) - 1)
        before = after - 1
        ratio = (moment_s - self.at_s[before]) / (self.at_s[after] - self.at_s[before])
        return values[before] + ratio * (values[after] - values[before])


class ProcessSampler:
    """Samples a process and all its descendants within its `with` block; the result is `cost`."""

    def __init__(
        self,
        pid: int,
        marker: bytes,
        place: Callable[[int, bool], None] = lambda _pid, _sends: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Processes with `marker` in their command line send (b"": all do); `place(pid, sends)` is called once for each."""
        self.cost = ProcessCost()
        self._place = place
        self._pid, self._marker, self._clock = pid, marker, clock
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_stopped, name="process sampler", daemon=True)
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

    def _sample_until_stopped(self) -> None:
        while not self._stopped.wait(SAMPLE_EVERY_S):
            self._sample()

    def _sample(self) -> None:
        for pid in process_tree(self._pid):
            try:
                used_s = cpu_seconds(pid)
                if not self._sends.get(pid):  # between fork and exec a child has its parent's command line: ask again
                    sends = self._marker in (PROC / str(pid) / "cmdline").read_bytes()
                    if self._sends.get(pid) is not sends:
                        self._place(pid, sends)
                    self._sends[pid] = sends
                self._peaks[pid] = max(peak_bytes(pid), self._peaks.get(pid, 0))
            except (OSError, ValueError):
                continue  # it exited while it was sampled; what it had used until the last sample stays in the sums
            account = self._cpu_s if self._sends[pid] else self._beside_cpu_s
            account[pid] = max(used_s, account.get(pid, 0.0))
        self.cost.at_s.append(self._clock())
        self.cost.cpu_s.append(sum(self._cpu_s.values()))
        self.cost.beside_cpu_s.append(sum(self._beside_cpu_s.values()))
        self.cost.peak_bytes = sum(peak for pid, peak in self._peaks.items() if self._sends.get(pid))


@dataclass(frozen=True)
class ToolRun:
    """What a tool reported about a job, and what its processes used."""

    report: ToolReport
    cost: ProcessCost


def run_tool(tool: Tool, binary: str, job: ToolJob, cores: CoreSplit) -> ToolRun:
    """Run a tool: the processes that send on the generator's core, the others beside the server.

    Raises ProcessFailedError if it fails or does not end, UnreadableOutputError if its output is not as expected.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    log = job.folder / "stderr.log"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_TOOL_VARIABLES)}
    with log.open("wb") as errors, pinned_to(cores.generator):
        process = subprocess.Popen(
            tool.command(binary, job),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**inherited, **tool.environment(job)},
            start_new_session=True,
        )
    with ProcessSampler(process.pid, tool.marker, cores.place) as sampler:
        try:
            output, _ = process.communicate(timeout=job.duration_s + _OVERTIME_S)
        except subprocess.TimeoutExpired:
            message = f"{tool.name} did not end within {job.duration_s + _OVERTIME_S:.0f} s"
            raise ProcessFailedError(message) from None
        finally:
            _kill_tree(process)
    # Locust exits with 1 when some requests failed, and its output is complete all the same
    if process.returncode not in {0, 1} or (process.returncode and not output.strip()):
        message = f"{tool.name} ended with exit code {process.returncode}: {tail(log.read_text('utf-8', 'replace'))}"
        raise ProcessFailedError(message)
    return ToolRun(tool.read_report(output, job), sampler.cost)


def _kill_tree(process: subprocess.Popen[str]) -> None:
    """Kill the process with all its descendants, if it is still running."""
    if process.poll() is None:
        for pid in reversed(process_tree(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
