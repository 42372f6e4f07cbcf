"""Ten thousand stations at once, and a hundred thousand in a plan: `python -m benchmarks.stations [--write]` (a minute and a half).

Ten thousand turn up within three seconds, log in at the mock and send a photo, which the mock holds until all of them are at it; so
each has its connection, its parser, its page and its greenlet at the same time. Then their 30,000 pages go through. Memory is
the kernel's resident figure of the generator's processes, looked at every 0.1 s, less what they had just before T0 with the plan
in memory. A hundred thousand are planned, dealt out to two workers and begun; of those only the first second's turn up. With `--write` the figures are
put into docs/explanation/measuring.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.generator import run_generator
from benchmarks.marked_blocks import replace_block
from benchmarks.peers.nginx_sink import UNREAD, running_nginx
from harness.base.model import Outcome
from harness.plan import make_plan
from harness.run_folder.layout import RunFolder
from harness.runner.generator import PAGES_PER_STATION, synthetic_scenario
from harness.runner.launch import private_folder, start_server
from harness.runner.run_spec import RunSpec
from harness.runner.subprocesses import ProcessGroup

if TYPE_CHECKING:
    import numpy.typing as npt

STATIONS = 10_000
PLANNED_STATIONS = 100_000
_ARRIVAL_S = 3.0
_HOLD_S = 12.0
"""How long the mock holds a photo that comes within the first seconds: until every station is at it."""
DOCUMENT = Path(__file__).parents[1] / "docs" / "explanation" / "measuring.md"
BEGIN, END = "<!-- stations: begin -->", "<!-- stations: end -->"


@dataclass(frozen=True)
class ConcurrencyResult:
    """What so many stations at once took."""

    stations: int
    prepared_s: float
    """From starting the generator until it was ready: interpreter, plan, photos, shard."""
    connected_s: float
    """From T0 until the last station had its connection."""
    at_once: int
    """The most attempts under way at the same moment."""
    base_bytes: int
    peak_bytes: int
    outcomes: dict[str, int]
    pages_noted: int
    """Different pages in the journal's acknowledgements."""
    pages_stored: int
    """Rows of the mock's store."""
    over_s: float

    @property
    def bytes_each(self) -> float:
        """Resident memory a station, beyond the base."""
        return (self.peak_bytes - self.base_bytes) / self.stations

    @property
    def is_exact(self) -> bool:
        """Whether every page was acknowledged once, by the journal, and is stored once."""
        pages = self.stations * PAGES_PER_STATION
        return self.outcomes == {Outcome.ACCEPTED: pages} and self.pages_noted == self.pages_stored == pages


@dataclass(frozen=True)
class LargePlanResult:
    """What so many stations in a plan took."""

    stations: int
    plan_s: float
    shard_s: float
    prepared_s: float
    """From starting master and workers until all were ready: each of them plans for itself."""
    begun_s: float
    """From T0 until the first attempt was sent."""
    base_bytes: int
    peak_bytes: int
    active: int
    """Stations that turned up."""

    @property
    def start_s(self) -> float:
        """Plan, shard and start, one after the other, as a run does them."""
        return self.plan_s + self.shard_s + self.prepared_s + self.begun_s


def measure_concurrency(stations: int = STATIONS) -> ConcurrencyResult:
    """Stations at once against the mock. Raises ChildError where the generator breaks off."""
    _raise_descriptor_limit()
    with tempfile.TemporaryDirectory(prefix="bench-") as path:
        scenario = synthetic_scenario(Path(path), stations, _holding_server(stations))
        folder = RunFolder(Path(path) / "server")
        folder.create()
        order = RunSpec(scenario, make_plan(scenario), folder, "bench", [], [])
        with ProcessGroup(folder.logs) as family, private_folder() as private:
            url, admin = start_server(family, order, private, "")
            seen = run_generator(scenario, url, watch=lambda _: family["server"].tell("t0", monotonic=time.monotonic()))
            stored = {(row["station"], row["form"], row["page"]) for row in admin.stored()}
            rows = sum(1 for _ in admin.stored())
    accepted = np.unique(seen.ends["page"])
    first = seen.ends[seen.ends["page"] % PAGES_PER_STATION == 0]
    return ConcurrencyResult(
        stations=stations,
        prepared_s=seen.prepared_s,
        connected_s=float(np.nanmax(first["connected_s"])),
        at_once=max_concurrent(seen.ends["sent_s"], seen.ends["done_s"]),
        base_bytes=seen.base_bytes,
        peak_bytes=seen.peak_bytes,
        outcomes=seen.outcomes,
        pages_noted=len(accepted),
        pages_stored=rows if rows == len(stored) else -rows,
        over_s=seen.over_s,
    )


def _holding_server(stations: int) -> dict[str, Any]:
    """A server with a place for everybody, which is slow as long as they come."""
    return {
        "deadline": "90s",
        "photos": {"size": {"distribution": "fixed", "value": "4KB"}, "bank": 4},
        "arrivals": {"kind": "constant", "over": f"{_ARRIVAL_S:g}s"},
        "client": {"timeout": "60s", "retry": {"strategy": "none"}},
        "server": {
            "workers": stations,
            "queue_capacity": stations,
            "service_time": {"distribution": "fixed", "value": "1ms"},
            "max_connections": 2 * stations,
        },
        "faults": [
            {
                "name": "hold",
                "kind": "latency",
                "start": "0s",
                "duration": f"{_HOLD_S:g}s",
                "delay": {"distribution": "fixed", "value": f"{_HOLD_S:g}s"},
            }
        ],
    }


def measure_large_plan(stations: int = PLANNED_STATIONS, workers: int = 2) -> LargePlanResult:
    """Stations in a plan of which few have their turn, against nginx as a sink."""
    content = {
        "deadline": "3s",
        "photos": {"size": {"distribution": "fixed", "value": "4KB"}, "bank": 4},
        "arrivals": {"kind": "constant", "over": f"{stations / 100:g}s"},
        "target": {"path": UNREAD + "{station}/{form}/{page}"},
    }
    cores = frozenset(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="bench-") as path, running_nginx(Path(path) / "nginx", cores) as sink:
        scenario = synthetic_scenario(Path(path), stations, content)
        began = time.monotonic()
        plan = make_plan(scenario)
        made = time.monotonic()
        for rank in range(workers):
            plan.shard(rank, workers)
        dealt = time.monotonic()
        seen = run_generator(scenario, sink.url, workers)
    return LargePlanResult(
        stations=stations,
        plan_s=made - began,
        shard_s=dealt - made,
        prepared_s=seen.prepared_s,
        begun_s=float(np.nanmin(seen.ends["sent_s"])),
        base_bytes=seen.base_bytes,
        peak_bytes=seen.peak_bytes,
        active=len(np.unique(seen.ends["page"] // PAGES_PER_STATION)),
    )


def max_concurrent(begun_s: npt.NDArray[np.float64], ended_s: npt.NDArray[np.float64]) -> int:
    """The most intervals that have a moment in common.

    >>> most_at_once(np.array([0.0, 1.0, 2.0]), np.array([1.5, 3.0, 2.5]))
    2
    """
    moments = np.concatenate([begun_s, ended_s])
    steps = np.concatenate([np.ones(len(begun_s)), -np.ones(len(ended_s))])
    return int(np.cumsum(steps[np.lexsort((steps, moments))]).max(initial=0))


def _raise_descriptor_limit() -> None:
    """For the mock, which inherits ours."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def stations_table(many: ConcurrencyResult, most: LargePlanResult) -> str:
    """The figures in Markdown."""
    pages = many.stations * PAGES_PER_STATION
    exact = f"{pages:,} planned, {many.pages_noted:,} acknowledged, {many.pages_stored:,} stored"
    lines = [
        "| what | measured | wanted |",
        "| --- | ---: | ---: |",
        f"| {many.stations:,} stations turn up within {_ARRIVAL_S:g} s: at it at the same moment | {many.at_once:,} | {many.stations:,} |",
        f"| resident memory of a station beyond the base, one page under way | {many.bytes_each / 1000:.1f} KB | 20 KB |",
        f"| the base: the generator with its plan, before T0 | {many.base_bytes / 1e6:.0f} MB | |",
        f"| generator ready after | {many.prepared_s:.1f} s | 3 s |",
        f"| the last of them connected after T0 | {many.connected_s:.1f} s | |",
        f"| pages | {exact} | exact |",
        f"| {most.stations:,} stations in a plan, 2 workers: plan, shard and start | {most.start_s:.1f} s | 10 s |",
        f"| of that planning, once | {most.plan_s:.1f} s | |",
        f"| memory of master and workers before T0 | {most.base_bytes / 1e6:.0f} MB | |",
        f"| what {most.active:,} stations' evenings add to it | {(most.peak_bytes - most.base_bytes) / 1e6:.1f} MB | |",
    ]
    where = f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores"
    return "\n".join([f"Measured by `python -m benchmarks.stations` ({where}):", "", *lines]) + "\n"


def main() -> int:
    """Measure, say, write where that is asked for; 1 where totals are not exact."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    many, most = measure_concurrency(), measure_large_plan()
    sys.stdout.write(stations_table(many, most))
    if options.write:
        DOCUMENT.write_text(
            replace_block(DOCUMENT.read_text("utf-8"), f"\n{stations_table(many, most)}\n", BEGIN, END), "utf-8"
        )
    return 0 if many.is_exact else 1


if __name__ == "__main__":
    sys.exit(main())
