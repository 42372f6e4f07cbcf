"""How the processes of a run fare on this machine: CPU, memory and descriptors of each, once a second, from the kernel.

Beside what the exporters say of themselves: a process that hangs or is starved answers no scrape, and is looked at all the same.
One file, CSV, a row a process and second, flushed at once: a killed harness leaves what it saw.
"""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

INTERVAL_S = 1.0
COLUMNS = ("t_s", "process", "pid", "cpu_s", "resident_bytes", "descriptors", "lag_s")
HARNESS = "harness"


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """A process at one moment, with all that it has started itself where it was asked so."""

    t_s: float
    """Seconds since T0."""
    process: str
    pid: int
    cpu_s: float
    """User and system, since it began."""
    resident_bytes: int
    descriptors: int
    lag_s: float | None
    """How late our own look was: of the harness alone; the others' loops are told by their exporters."""


class ProcessMonitor:
    """Looks from `start` to `stop` at processes by their ids."""

    def __init__(self, path: Path, processes: Mapping[str, int], clock: Callable[[], float]) -> None:
        """`processes` maps a name to a process id; `clock` gives seconds since T0."""
        self._path = path
        self._processes = dict(processes)
        self._clock = clock
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vitals", daemon=True)
        self.unwritten = ""
        """Why a sample could not be written down; empty if all could."""

    def start(self) -> None:
        """Begin to look, a second apart."""
        self._write(",".join(COLUMNS) + "\n")
        self._thread.start()

    def stop(self) -> None:
        """Look once more, and no more."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(2 * INTERVAL_S)

    def _run(self) -> None:
        due = self._clock()
        while True:
            over = self._stopped.wait(max(0.0, due - self._clock()))
            now = self._clock()
            try:
                self._look(None if over else max(0.0, now - due))
            except OSError as lack:  # the run goes on, and says in the end what is missing
                self.unwritten = f"what the processes use could not be looked at: {lack.strerror}"
            if over:
                return
            due = max(due + INTERVAL_S, now)

    def _look(self, lag_s: float | None) -> None:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        for name, pid in self._processes.items():
            sample = sample_process(name, pid, self._clock(), lag_s if name == HARNESS else None)
            if sample is not None:
                shown = "" if sample.lag_s is None else f"{sample.lag_s:.6f}"
                rows.writerow(
                    [f"{sample.t_s:.3f}", name, pid, f"{sample.cpu_s:.3f}", sample.resident_bytes, sample.descriptors, shown]
                )  # fmt: skip
        self._write(text.getvalue())

    def _write(self, text: str) -> None:
        try:
            with self._path.open("a", encoding="ascii") as file:
                file.write(text)
        except OSError as lack:  # the run goes on, and says in the end what is missing
            self.unwritten = f"what the processes use could not be written: {lack.strerror}"


def sample_process(name: str, pid: int, t_s: float, lag_s: float | None = None) -> ProcessSample | None:
    """A process now; None where it has gone. Of all but the harness, what they have started themselves is added."""
    try:
        process = psutil.Process(pid)
        family = [process, *([] if name == HARNESS else process.children(recursive=True))]
        seen = [found for one in family if (found := _measure(one)) is not None]
    except psutil.Error:
        return None
    if not seen:
        return None
    cpu_s, resident, descriptors = (sum(column) for column in zip(*seen, strict=True))
    return ProcessSample(t_s, name, pid, float(cpu_s), int(resident), int(descriptors), lag_s)


def _measure(process: psutil.Process) -> tuple[float, int, int] | None:
    """CPU seconds, resident bytes, descriptors; None where it has just gone."""
    try:
        with process.oneshot():
            times = process.cpu_times()
            return times.user + times.system, process.memory_info().rss, process.num_fds()
    except psutil.Error:
        return None


def read_samples(path: Path) -> list[ProcessSample]:
    """All samples of a run, in the order of their time; none where there is no such file. A torn tail is dropped."""
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
