"""The generator's own ceiling: the real one, a Locust process as in a run, against a sink that does nothing.

Three loads: paced (how punctual it is), small bodies as fast as it can, photos as fast as it can.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.children import Child, Family
from harness.errors import ChildError
from harness.measure.journal import Kind, read
from harness.model import OUTCOMES, Outcome
from harness.order import Order, describe
from harness.plan import make_plan
from harness.processes import private_folder, start_generator
from harness.runfolder import RunFolder, WorkerRecord
from harness.scenario import from_resolved

if TYPE_CHECKING:
    import numpy.typing as npt

PACED_PER_S = 1_000
SMALL_BYTES, PHOTO_BYTES = 1_000, 500_000
PHONES = 64
_FOR_S = 1.5
_HEAD_START_S = 0.2
_FINISHES_WITHIN_S = 20.0
_PAGES = 3
_CLOSED = {"kind": "closed", "phones": PHONES, "think": {"distribution": "fixed", "value": "0s"}}
_PACED = {"kind": "constant", "over": f"{_FOR_S:g}s"}


@dataclass(frozen=True)
class Load:
    """What one generator is told to do."""

    name: str
    photo_bytes: int
    arrivals: Mapping[str, Any]
    stations: int


LOADS = (
    Load("paced", SMALL_BYTES, _PACED, int(PACED_PER_S * _FOR_S / _PAGES)),
    Load("small", SMALL_BYTES, _CLOSED, 20_000),  # more than it can in that time
    Load("photos", PHOTO_BYTES, _CLOSED, 5_000),
)


@dataclass(frozen=True)
class Driven:
    """What a generator did, from T0 on."""

    attempts: int
    accepted: int
    over_s: float
    """Until the last attempt's end."""
    cpu_s: float
    """User and system, of its process."""
    lateness_s: npt.NDArray[np.float64]
    """Of each attempt that was sent."""
    photo_bytes: int = SMALL_BYTES

    @property
    def per_s(self) -> float:
        """Attempts a second that it reached, sharing the machine with the sink."""
        return self.attempts / max(self.over_s, 1e-9)

    @property
    def per_cpu_s(self) -> float:
        """Attempts for each second of a core: its ceiling where it has one to itself."""
        return self.attempts / max(self.cpu_s, 1e-9)


@contextmanager
def generators(folder: Path, port: int) -> Iterator[dict[str, Generator]]:
    """A generator for each load, all prepared side by side; they wait until they are told to begin.

    Raises ChildError if one doesn't come up.
    """
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(LOADS)))
        starting: dict[str, tuple[Family, RunFolder, Future[dict[str, Any]]]] = {}
        for load in LOADS:
            own = RunFolder(folder / load.name)
            own.create()
            family = stack.enter_context(Family(own.logs))
            private = stack.enter_context(private_folder())
            starting[load.name] = family, own, pool.submit(_start, family, own, private, load, port)
        yield {
            load.name: Generator(load, family, own, ready.result()["workers"][0]["pid"])
            for load, (family, own, ready) in zip(LOADS, starting.values(), strict=True)
        }


def _start(family: Family, folder: RunFolder, private: Path, load: Load, port: int) -> dict[str, Any]:
    region = private / "stations.csv"
    shares = [min(500, load.stations - first) for first in range(0, load.stations, 500)]
    region.write_text("".join(f"{3509000000 + number},Sink,{share}\n" for number, share in enumerate(shares)), "utf-8")
    scenario = from_resolved(
        {
            "name": "doctor",
            "deadline": f"{_FOR_S:g}s",
            "stations": {"region": str(region), "forms": ["ppwp"]},
            "photos": {"size": {"distribution": "fixed", "value": f"{load.photo_bytes}B"}, "bank": 2},
            "arrivals": load.arrivals,
            "client": {"connection": "reuse", "timeout": "3s"},
            "target": {"path": "/{station}/{form}/{page}"},
        }
    )
    order = Order(scenario, make_plan(scenario), folder, f"doctor-{load.name}", [], [])
    folder.write_run(describe(order, f"http://127.0.0.1:{port}", [WorkerRecord(rank=0)]))
    return start_generator(family, order, private, "", lambda _: None)


class Generator:
    """One generator, prepared."""

    def __init__(self, load: Load, family: Family, folder: RunFolder, pid: int) -> None:
        self._load = load
        self._family = family
        self._folder = folder
        self._pid = pid

    def drive(self) -> Driven:
        """Let it do its load, once. Raises ChildError if it breaks off or doesn't finish."""
        generator = self._family["generator"]
        t0 = time.monotonic() + _HEAD_START_S
        generator.tell("t0", monotonic=t0)
        time.sleep(_HEAD_START_S)
        before_s = cpu_s(self._pid)
        self._await(generator, t0)
        spent_s = cpu_s(self._pid) - before_s
        rows = np.concatenate([read(file) for file in sorted(self._folder.journal.iterdir())])
        return replace(driven_of(rows, spent_s), photo_bytes=self._load.photo_bytes)

    def _await(self, generator: Child, t0: float) -> None:
        while (left_s := t0 + _FOR_S + _FINISHES_WITHIN_S - time.monotonic()) > 0:
            message = self._family.next(left_s)
            if message is not None and message.event == "finished":
                return
            if generator.exit_code is not None:
                break
        raise ChildError(self._family.explained("generator", "the generator did not finish"))


def driven_of(rows: npt.NDArray[np.void], cpu_s: float) -> Driven:
    """What a journal says, with the CPU seconds that it took."""
    ends = rows[rows["kind"] == Kind.END]
    lateness = ends["sent_s"] - ends["due_s"]
    return Driven(
        attempts=len(ends),
        accepted=int((ends["outcome"] == OUTCOMES.index(Outcome.ACCEPTED)).sum()),
        over_s=float(np.nanmax(ends["done_s"], initial=0.0)),
        cpu_s=cpu_s,
        lateness_s=lateness[np.isfinite(lateness)],
    )


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
