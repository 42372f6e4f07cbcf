"""Starts the generator alone, as `harness run` does, against a server of the caller's, and measures what it costs.

No report is drawn and no stock taken. The processes' CPU is read at T0 and when they say that they have finished, so that
starting up is not in it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.children import Family
from harness.measure.journal import Kind, read
from harness.model import OUTCOMES
from harness.order import Order, describe
from harness.plan import make_plan
from harness.processes import private_folder, start_generator
from harness.runfolder import RunFolder, WorkerRecord
from harness.scenario import Scenario, from_resolved

if TYPE_CHECKING:
    import numpy.typing as npt

_HEAD_START_S = 0.3
_MARGIN_S = 30.0
_SMALLEST_SHARE = 500


@dataclass(frozen=True)
class Measured:
    """What a run of the generator cost, and how punctual it was."""

    attempts: int
    over_s: float
    """From T0 to the last attempt's end."""
    cpu_s: float
    """User and system, of all its processes, from T0 on."""
    lateness_s: npt.NDArray[np.float64]
    """Of each attempt that was sent, rising."""
    outcomes: dict[str, int]
    resident_bytes: dict[str, int]
    """Of all its processes together: `base` before T0, and `peak` as they were looked at."""
    prepared_s: float
    """From starting the processes until they were ready."""
    ends: npt.NDArray[np.void]
    """The journals' END records, dtype harness.measure.journal.RECORD."""

    @property
    def cpu_us(self) -> float:
        """CPU microseconds an attempt."""
        return self.cpu_s / max(1, self.attempts) * 1e6

    @property
    def rate(self) -> float:
        """Attempts a second."""
        return self.attempts / max(self.over_s, 1e-9)

    def late_ms(self, quantile: float) -> float:
        """Lateness at a quantile, milliseconds."""
        return float(np.quantile(self.lateness_s, quantile)) * 1e3 if len(self.lateness_s) else float("nan")


def scenario_of(folder: Path, stations: int, content: Mapping[str, Any]) -> Scenario:
    """A scenario over so many made-up stations; `content` is what a file would hold beside them."""
    region = folder / "stations.csv"
    shares = [min(_SMALLEST_SHARE, stations - first) for first in range(0, stations, _SMALLEST_SHARE)]
    region.write_text("".join(f"{3509000000 + number},Bench,{share}\n" for number, share in enumerate(shares)), "utf-8")
    more = {"name": "bench", "stations": {"region": str(region), "forms": ["ppwp"]}}
    return from_resolved({**more, **content})


def drive(
    scenario: Scenario, target: str, workers: int = 1, cpus: set[int] | None = None,
    watch: Callable[[list[int]], None] = lambda _: None,
) -> Measured:  # fmt: skip
    """Run the generator from start to end. `cpus`: the cores that it may use. `watch` is called with the processes' ids at T0.

    Raises RuntimeError where it breaks off or doesn't end.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as path:
        folder = RunFolder(Path(path) / "run")
        folder.create()
        order = Order(scenario, make_plan(scenario), folder, "bench", [], [0.5, 2.0], workers=workers)
        folder.write_run(describe(order, target, [WorkerRecord(rank=rank) for rank in range(workers)]))
        own = os.sched_getaffinity(0)
        with Family(folder.logs) as family, private_folder() as private:
            began = time.monotonic()
            os.sched_setaffinity(0, cpus or own)
            ready = start_generator(family, order, private, "", lambda _: None)
            prepared_s = time.monotonic() - began
            os.sched_setaffinity(0, own)
            pids = sorted({family["generator"].pid, *(worker["pid"] for worker in ready["workers"])})
            base = sum(map(resident_bytes, pids))
            t0 = time.monotonic() + _HEAD_START_S
            family["generator"].tell("t0", monotonic=t0)
            time.sleep(_HEAD_START_S)
            before = sum(map(cpu_s, pids))
            watch(pids)
            peak = base
            limit_s = scenario.longest_s + _MARGIN_S
            while True:
                message = family.next(0.1)
                peak = max(peak, sum(map(resident_bytes, pids)))
                if message is not None and message.event == "finished":
                    break
                if (message is not None and message.event == "ended") or time.monotonic() - t0 > limit_s:
                    raise RuntimeError(family.explained("generator", f"it broke off: {message}"))
            spent = sum(map(cpu_s, pids)) - before
            family["generator"].tell("scraped")
            family["generator"].wait(10)
        rows = np.concatenate([read(file) for file in sorted(folder.journal.iterdir())])
    ends = rows[rows["kind"] == Kind.END]
    lateness = np.sort(ends["sent_s"] - ends["due_s"])
    counts = np.bincount(ends["outcome"], minlength=len(OUTCOMES))
    return Measured(
        attempts=len(ends),
        over_s=float(np.nanmax(ends["done_s"])) if len(ends) else 0.0,
        cpu_s=spent,
        lateness_s=lateness[np.isfinite(lateness)],
        outcomes={str(OUTCOMES[number]): int(count) for number, count in enumerate(counts) if count},
        resident_bytes={"base": base, "peak": peak},
        prepared_s=prepared_s,
        ends=ends,
    )


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used so far, all threads, user and system: the scheduler's own count."""
    return (
        sum(int((task / "schedstat").read_text("ascii").split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())
        / 1e9
    )


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
