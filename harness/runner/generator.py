"""The load generator alone: the processes of a run that send, against a server the caller provides, and what they cost.

Started exactly as `harness run` starts them, with journal, histograms and metrics server on, but no store is read and no report
written. CPU time is counted from T0 until they report that they have finished, so that starting up is not part of it.
`harness doctor` and the benchmarks use it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from harness.base.errors import ProcessFailedError
from harness.base.model import OUTCOMES, Outcome
from harness.base.temporary import temporary_folder
from harness.measure.process_monitor import cpu_seconds, resident_bytes
from harness.plan import make_plan
from harness.run_folder.journal import RecordKind, read_journal
from harness.run_folder.layout import RunFolder, WorkerRecord
from harness.runner.launch import start_generator
from harness.runner.run_record import initial_record
from harness.runner.run_spec import RunSpec
from harness.runner.subprocesses import ProcessGroup
from harness.scenario.scenario import Scenario, parse_resolved

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

PAGES_PER_STATION = 3
"""Uploads per station, one after another: the pages of the form ppwp."""
_T0_DELAY_S = 0.3
_FINISH_GRACE_S = 30.0
_POLL_S = 0.1
_LIMITS_S = [0.5, 2.0]
"""Bucket bounds as a scenario's thresholds would add them: they cost time, so a benchmark has to have some."""
_MAX_STATIONS_PER_VILLAGE = 500


@dataclass(frozen=True)
class GeneratorResult:
    """What a generator did, and what it cost. Times are seconds since T0."""

    ends: npt.NDArray[np.void]
    """The journals' END records, dtype harness.run_folder.journal.RECORD."""
    cpu_s: float
    """User and system, of all its processes, from T0 on."""
    prepared_s: float = 0.0
    """From starting the processes until all were ready."""
    resident_before_bytes: int = 0
    """Resident memory of all its processes together just before T0."""
    resident_peak_bytes: int = 0
    """The highest resident memory that was sampled from T0 on."""

    @property
    def attempts(self) -> int:
        """How many attempts ended."""
        return len(self.ends)

    @property
    def over_s(self) -> float:
        """From T0 to the end of the last attempt."""
        return float(np.nanmax(self.ends["done_s"], initial=0.0))

    @property
    def lateness_s(self) -> FloatArray:
        """How late each attempt was sent, in seconds; attempts that were never sent are left out."""
        lateness: FloatArray = self.ends["sent_s"] - self.ends["due_s"]
        return lateness[np.isfinite(lateness)]

    @property
    def outcomes(self) -> dict[str, int]:
        """Number of attempts by outcome; outcomes that did not occur are left out."""
        counts = np.bincount(self.ends["outcome"], minlength=len(OUTCOMES))
        return {str(OUTCOMES[number]): int(count) for number, count in enumerate(counts) if count}

    @property
    def accepted(self) -> int:
        """How many attempts the server accepted."""
        return self.outcomes.get(Outcome.ACCEPTED, 0)

    @property
    def per_s(self) -> float:
        """Attempts per second that it reached."""
        return self.attempts / max(self.over_s, 1e-9)

    @property
    def per_cpu_s(self) -> float:
        """Attempts per CPU second: the highest rate of one worker that has a core to itself."""
        return self.attempts / max(self.cpu_s, 1e-9)


def synthetic_scenario(folder: Path, stations: int, content: Mapping[str, Any]) -> Scenario:
    """A scenario with this many made-up stations; `content` is what a scenario file would hold besides.

    The list of stations is written into `folder`.
    """
    region = folder / "stations.csv"
    # a region file may give a village only so many stations
    sizes = [
        min(_MAX_STATIONS_PER_VILLAGE, stations - first) for first in range(0, stations, _MAX_STATIONS_PER_VILLAGE)
    ]
    region.write_text("".join(f"{3509000000 + number},Made Up,{size}\n" for number, size in enumerate(sizes)), "utf-8")
    more = {"name": "alone", "stations": {"region": str(region), "forms": ["ppwp"]}}
    return parse_resolved({**more, **content})


class LoadGenerator:
    """The load generator of one scenario. Leaving its `with` block stops its processes."""

    def __init__(self, scenario: Scenario, target: str, folder: RunFolder, workers: int = 1) -> None:
        """`target` is the server's base URL; `folder` is created and keeps journal and logs."""
        self._scenario, self._target, self._folder, self._workers = scenario, target, folder, workers
        self._stack = ExitStack()
        self._pids: list[int] = []
        self._prepared_s = 0.0

    def __enter__(self) -> Self:
        self._folder.create()
        self._processes = self._stack.enter_context(ProcessGroup(self._folder.logs))
        self._private = self._stack.enter_context(temporary_folder("generator"))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start its processes and wait until they are ready for T0. Raises ProcessFailedError if one does not become ready."""
        spec = RunSpec(
            self._scenario, make_plan(self._scenario), self._folder, self._scenario.name, [], _LIMITS_S,
            workers=self._workers,
        )  # fmt: skip
        self._folder.write_run(
            initial_record(spec, self._target, [WorkerRecord(rank=rank) for rank in range(self._workers)])
        )
        began = time.monotonic()
        ready = start_generator(self._processes, spec, self._private, "", lambda _: None)
        self._prepared_s = time.monotonic() - began
        self._pids = sorted({self._processes["generator"].pid, *(worker["pid"] for worker in ready["workers"])})

    def drive(self, on_t0: Callable[[list[int]], None] = lambda _: None) -> GeneratorResult:
        """Run the load once and return its attempts and cost; `on_t0` is called with the process ids at T0.

        Raises ProcessFailedError if a process ends early or the load does not finish.
        """
        generator, before_bytes = self._processes["generator"], self._resident_bytes()
        t0 = time.monotonic() + _T0_DELAY_S
        generator.send("t0", monotonic=t0)
        time.sleep(_T0_DELAY_S)
        before_s = self._cpu_s()
        on_t0(self._pids)
        peak_bytes = max(before_bytes, self._await_finished(t0 + self._scenario.longest_s + _FINISH_GRACE_S))
        spent_s = self._cpu_s() - before_s
        generator.send("scraped")
        generator.wait(10)
        rows = np.concatenate([read_journal(file) for file in sorted(self._folder.journal.iterdir())])
        return GeneratorResult(
            rows[rows["kind"] == RecordKind.END], spent_s, self._prepared_s, before_bytes, peak_bytes
        )

    def _await_finished(self, until: float) -> int:
        """Wait until it has finished; the highest resident memory sampled meanwhile."""
        peak_bytes = 0
        while time.monotonic() < until:
            message = self._processes.next(_POLL_S)
            if message is not None and message.event == "finished":
                return max(peak_bytes, self._resident_bytes())
            if message is not None and message.event == "ended":
                break
            peak_bytes = max(peak_bytes, self._resident_bytes())
        raise ProcessFailedError(self._processes.with_log_tail("generator", "the generator did not finish"))

    def _cpu_s(self) -> float:
        return self._sum_over_processes(cpu_seconds)

    def _resident_bytes(self) -> int:
        return int(self._sum_over_processes(resident_bytes))

    def _sum_over_processes(self, measure: Callable[[int], float]) -> float:
        try:
            return sum(map(measure, self._pids))
        except (OSError, ValueError):
            raise ProcessFailedError(
                self._processes.with_log_tail("generator", "a process of the generator has ended")
            ) from None
