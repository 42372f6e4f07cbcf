"""The machine during a run: CPU, memory and descriptors of each process, once a second, and steps of the clock.

The kernel's view, beside what the exporters report themselves: a process that hangs or is starved of CPU answers no scrape,
but is still measured. One CSV file, one row per process and second, flushed at once, so that a killed harness leaves what it
measured until then.
"""

from __future__ import annotations

import csv
import io
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

INTERVAL_S = 1.0
COLUMNS = ("t_s", "process", "pid", "cpu_s", "resident_bytes", "descriptors", "lag_s")
HARNESS = "harness"
"""Name of the harness's own process in the file."""
PROC = Path("/proc")


class ClockMonitor:
    """Detects steps of the wall clock against the monotonic clock. Takes two clocks: time.time and time.monotonic."""

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()
        self.step_s = 0.0
        """The greatest step between two checks, seconds, with its sign."""

    def check(self) -> None:
        """Compare the clocks. Call it every second or so: NTP's slewing, at most 0.5 ms a second, is not a step then."""
        offset = self._wall() - self._monotonic()
        step = offset - self._offset
        self._offset = offset
        if abs(step) > abs(self.step_s):
            self.step_s = step


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """A process at one moment; all but the harness include the processes that they started."""

    t_s: float
    """Seconds since T0."""
    process: str
    pid: int
    cpu_s: float
    """User and system time since it started."""
    resident_bytes: int
    descriptors: int
    lag_s: float | None
    """How late this sample was taken; only for the harness: other processes export the lag of their own loops."""


class ProcessMonitor:
    """Samples processes by their ids, once a second from `start` to `stop`, in a thread of its own."""

    def __init__(self, path: Path, processes: Mapping[str, int], clock: Callable[[], float]) -> None:
        """`processes` maps a name to a process id; `clock` gives seconds since T0."""
        self._path = path
        self._processes = dict(processes)
        self._clock = clock
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="process-monitor", daemon=True)
        self.unwritten = ""
        """Why a sample could not be written; "" if all could."""

    def start(self) -> None:
        """Start sampling."""
        self._write(",".join(COLUMNS) + "\n")
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and end the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(2 * INTERVAL_S)

    def _run(self) -> None:
        due = self._clock()
        while True:
            over = self._stopped.wait(max(0.0, due - self._clock()))
            now = self._clock()
            try:
                # The last sample is taken when asked for, so it has no lag.
                self._sample(None if over else max(0.0, now - due))
            except OSError as error:  # the run goes on, and reports in the end what is missing
                self.unwritten = f"resource usage of the processes could not be measured: {error.strerror}"
            if over:
                return
            due = max(due + INTERVAL_S, now)

    def _sample(self, lag_s: float | None) -> None:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        for name, pid in self._processes.items():
            sample = sample_process(name, pid, self._clock(), lag_s if name == HARNESS else None)
            if sample is not None:
                lag = "" if sample.lag_s is None else f"{sample.lag_s:.6f}"
                rows.writerow(
                    [f"{sample.t_s:.3f}", name, pid, f"{sample.cpu_s:.3f}", sample.resident_bytes, sample.descriptors, lag]
                )  # fmt: skip
        self._write(text.getvalue())

    def _write(self, text: str) -> None:
        try:
            with self._path.open("a", encoding="ascii") as file:
                file.write(text)
        except OSError as error:  # the run goes on, and reports in the end what is missing
            self.unwritten = f"resource usage of the processes could not be written: {error.strerror}"


def sample_process(name: str, pid: int, t_s: float, lag_s: float | None = None) -> ProcessSample | None:
    """A process now, with those that it started (but for the harness); None if it has ended."""
    try:
        process = psutil.Process(pid)
        # Everything in a run is started by the harness: it alone is counted without its children.
        tree = [process, *([] if name == HARNESS else process.children(recursive=True))]
        measured = [found for one in tree if (found := _measure(one)) is not None]
    except psutil.Error:
        return None
    if not measured:
        return None
    cpu_s, resident, descriptors = (sum(column) for column in zip(*measured, strict=True))
    return ProcessSample(t_s, name, pid, float(cpu_s), int(resident), int(descriptors), lag_s)


def _measure(process: psutil.Process) -> tuple[float, int, int] | None:
    """CPU seconds, resident bytes, descriptors; None if it has just ended."""
    try:
        with process.oneshot():
            times = process.cpu_times()
            return times.user + times.system, process.memory_info().rss, process.num_fds()
    except psutil.Error:
        return None


def read_samples(path: Path) -> list[ProcessSample]:
    """All samples of a run, in the order of time; [] if there is no such file. A row that is cut off is skipped."""
    if not path.exists():
        return []
    found = []
    with path.open(encoding="ascii", errors="replace", newline="") as file:
        for row in csv.DictReader(file):
            try:
                lag_s = float(row["lag_s"]) if row["lag_s"] else None
                found.append(
                    ProcessSample(
                        float(row["t_s"]), row["process"], int(row["pid"]), float(row["cpu_s"]),
                        int(row["resident_bytes"]), int(row["descriptors"]), lag_s,
                    )
                )  # fmt: skip
            except (ValueError, TypeError, KeyError):
                continue
    return found


# --- straight from /proc: cheap enough to call ten times a second


def process_tree(pid: int) -> list[int]:
    """Process ids of a process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in (PROC / str(parent) / "task").glob("*/children"):
            try:
                found += map(int, task.read_text("ascii").split())
            except OSError:
                continue
    return found


def cpu_seconds(pid: int, proc: Path = PROC) -> float:
    """User and system CPU time of a process's living threads. Raises OSError or ValueError if it has ended.

    From the scheduler's count in nanoseconds. On a kernel without it, from /proc/PID/stat: hundredths of a second, ended
    threads included (proc(5)).
    """
    folder = proc / str(pid)
    used = [int(task.read_text("ascii").split()[0]) for task in (folder / "task").glob("*/schedstat")]
    if used:
        return sum(used) / 1e9
    # A process name may contain spaces and parentheses: count fields from the last one.
    fields = (folder / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process now. Raises OSError if it has ended."""
    return int((PROC / str(pid) / "statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes(pid: int) -> int:
    """Greatest resident memory that a process has had. Raises OSError or ValueError if it has ended."""
    status = (PROC / str(pid) / "status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 if "VmHWM:" in status else 0
