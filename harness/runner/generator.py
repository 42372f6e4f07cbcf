"""The generator alone: the processes of a run that send, against a server of the caller's, and what they cost.

As `harness run` starts them, with journal, histograms and exporter on; but no stock is taken and no report drawn. Their CPU is
read at T0 and when they say that they have finished, so that starting up is not in it.
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
from harness.measure.process_monitor import cpu_seconds, resident_bytes
from harness.plan import make_plan
from harness.run_folder.journal import RecordKind, read_journal
from harness.run_folder.layout import RunFolder, WorkerRecord
from harness.runner.launch import private_folder, start_generator
from harness.runner.run_spec import RunSpec, initial_record
from harness.runner.subprocesses import ProcessGroup
from harness.scenario.scenario import Scenario, parse_resolved

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

PAGES_PER_STATION = 3
"""Uploads of a station, one after another: those of the form ppwp."""
_T0_DELAY_S = 0.3
_FINISH_GRACE_S = 30.0
_POLL_S = 0.1
_LIMITS_S = [0.5, 2.0]
"""Buckets as a scenario's thresholds would add them."""
_MAX_STATIONS_PER_VILLAGE = 500


@dataclass(frozen=True)
class GeneratorResult:
    """What a generator did, and what it cost."""

    ends: npt.NDArray[np.void]
    """The journals' END records, dtype harness.run_folder.journal.RECORD."""
    cpu_s: float
    """User and system, of all its processes, from T0 on."""
    prepared_s: float = 0.0
    """From starting the processes until they were ready."""
    base_bytes: int = 0
    """Resident memory of all its processes together before T0."""
    peak_bytes: int = 0
    """The most that was seen of it from T0 on."""

    @property
    def attempts(self) -> int:
        """How many have ended."""
        return len(self.ends)

    @property
    def over_s(self) -> float:
        """From T0 to the last attempt's end."""
        return float(np.nanmax(self.ends["done_s"], initial=0.0))

    @property
    def lateness_s(self) -> FloatArray:
        """Of each attempt that was sent."""
        lateness: FloatArray = self.ends["sent_s"] - self.ends["due_s"]
        return lateness[np.isfinite(lateness)]

    @property
    def outcomes(self) -> dict[str, int]:
        """Attempts by outcome, of those that occurred."""
        counts = np.bincount(self.ends["outcome"], minlength=len(OUTCOMES))
        return {str(OUTCOMES[number]): int(count) for number, count in enumerate(counts) if count}

    @property
    def accepted(self) -> int:
        """Attempts that got through."""
        return self.outcomes.get(Outcome.ACCEPTED, 0)

    @property
    def per_s(self) -> float:
        """Attempts a second that it reached."""
        return self.attempts / max(self.over_s, 1e-9)

    @property
    def per_cpu_s(self) -> float:
        """Attempts for each second of a core: its ceiling where it has one to itself."""
        return self.attempts / max(self.cpu_s, 1e-9)


def synthetic_scenario(folder: Path, stations: int, content: Mapping[str, Any]) -> Scenario:
    """A scenario over so many made-up stations; `content` is what a file would hold beside them.

    The stations' list is put into the folder.
    """
    region = folder / "stations.csv"
    sizes = [
        min(_MAX_STATIONS_PER_VILLAGE, stations - first) for first in range(0, stations, _MAX_STATIONS_PER_VILLAGE)
    ]
    region.write_text("".join(f"{3509000000 + number},Made Up,{size}\n" for number, size in enumerate(sizes)), "utf-8")
    more = {"name": "alone", "stations": {"region": str(region), "forms": ["ppwp"]}}
    return parse_resolved({**more, **content})


class LoadGenerator:
    """The generator of one scenario. Leaving its `with` block ends its processes."""

    def __init__(self, scenario: Scenario, target: str, folder: RunFolder, workers: int = 1) -> None:
        """`target` is the server's address; `folder` is made."""
        self._scenario, self._target, self._folder, self._workers = scenario, target, folder, workers
        self._stack = ExitStack()
        self._pids: list[int] = []
        self._prepared_s = 0.0

    def __enter__(self) -> Self:
        self._folder.create()
        self._family = self._stack.enter_context(ProcessGroup(self._folder.logs))
        self._private = self._stack.enter_context(private_folder())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> None:
        """Have its processes up and ready for T0. Raises ChildError if one doesn't come up."""
        order = RunSpec(
            self._scenario, make_plan(self._scenario), self._folder, self._scenario.name, [], _LIMITS_S,
            workers=self._workers,
        )  # fmt: skip
        self._folder.write_run(
            initial_record(order, self._target, [WorkerRecord(rank=rank) for rank in range(self._workers)])
        )
        began = time.monotonic()
        ready = start_generator(self._family, order, self._private, "", lambda _: None)
        self._prepared_s = time.monotonic() - began
        self._pids = sorted({self._family["generator"].pid, *(worker["pid"] for worker in ready["workers"])})

    def drive(self, watch: Callable[[list[int]], None] = lambda _: None) -> GeneratorResult:
        """Let it do its load, once. `watch` is called with its processes' ids at T0.

        Raises ChildError if it breaks off or doesn't finish.
        """
        generator, base = self._family["generator"], self._resident_bytes()
        t0 = time.monotonic() + _T0_DELAY_S
        generator.tell("t0", monotonic=t0)
        time.sleep(_T0_DELAY_S)
        before_s = self._cpu_s()
        watch(self._pids)
        peak = max(base, self._await(t0 + self._scenario.longest_s + _FINISH_GRACE_S))
        spent_s = self._cpu_s() - before_s
        generator.tell("scraped")
        generator.wait(10)
        rows = np.concatenate([read_journal(file) for file in sorted(self._folder.journal.iterdir())])
        return GeneratorResult(rows[rows["kind"] == RecordKind.END], spent_s, self._prepared_s, base, peak)

    def _await(self, until: float) -> int:
        """Wait until it has finished; the most resident memory that was seen meanwhile."""
        peak = 0
        while time.monotonic() < until:
            message = self._family.next(_POLL_S)
            if message is not None and message.event == "finished":
                return max(peak, self._resident_bytes())
            if message is not None and message.event == "ended":
                break
            peak = max(peak, self._resident_bytes())
        raise ProcessFailedError(self._family.explained("generator", "the generator did not finish"))

    def _cpu_s(self) -> float:
        return self._of_all(cpu_seconds)

    def _resident_bytes(self) -> int:
        return int(self._of_all(resident_bytes))

    def _of_all(self, look: Callable[[int], float]) -> float:
        try:
            return sum(map(look, self._pids))
        except (OSError, ValueError):
            raise ProcessFailedError(
                self._family.explained("generator", "a process of the generator has gone")
            ) from None
