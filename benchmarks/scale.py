"""How many stations one generator can serve: `python -m benchmarks.scale [stations] [surge] [--write]` (two minutes).

`stations`: 10,000 stations arrive at the mock server within 3 s, log in and send a photo, which the mock holds until all of
them have sent theirs, so that each has its connection, parser, page and greenlet at the same time; then their 30,000 pages go
through. Besides, 100,000 are planned and sharded to two workers, of which only those of the first seconds arrive. Memory is
the resident memory of the generator's processes, sampled every 0.1 s, minus what they had before T0 with the plan in memory.

`surge`: a whole `harness run` in which 5,000 stations arrive within one second, each with a new connection. Its lateness is
reported whatever it is: a run that was too late is INVALID, and that is a result, too.

`--write` writes the tables into docs/explanation/measuring.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from benchmarks.hotpath import run_generator
from benchmarks.peers.nginx_sink import UNREAD, running_nginx
from benchmarks.publish import MEASURING, write_block
from harness.base.errors import ExitCode
from harness.base.model import Outcome
from harness.base.temporary import temporary_folder
from harness.plan import make_plan
from harness.run_folder.layout import RunFolder
from harness.runner.generator import PAGES_PER_STATION, synthetic_scenario
from harness.runner.run_spec import RunSpec
from harness.runner.server import start_server
from harness.runner.subprocesses import ProcessGroup

if TYPE_CHECKING:
    import numpy.typing as npt

STATIONS, PLANNED_STATIONS, SURGE_STATIONS = 10_000, 100_000, 5_000
_ARRIVAL_S = 3.0
_HOLD_S = 12.0
"""How long the mock holds a photo that arrives in the first seconds: until every station has sent its own."""
_SURGE = Path(__file__).with_name("surge.toml")
_LATENESS = """
SELECT quantile_disc(sent_s - due_s, 0.5), quantile_disc(sent_s - due_s, 0.99), max(sent_s - due_s), max(due_s), max(connected_s)
FROM read_parquet(?) WHERE page <= ?
"""


@dataclass(frozen=True)
class ConcurrencyResult:
    """What it took to serve many stations at once."""

    stations: int
    prepared_s: float
    """From starting the generator until it was ready: interpreter, plan, photos, shard."""
    connected_s: float
    """From T0 until the last station had its connection."""
    at_once: int
    """The most attempts in flight at one moment."""
    base_bytes: int
    peak_bytes: int
    outcomes: dict[str, int]
    pages_noted: int
    """Distinct pages acknowledged in the journal."""
    pages_stored: int
    """Rows of the mock's store; negative if pages are stored twice."""

    @property
    def bytes_each(self) -> float:
        """Resident memory per station, beyond the base."""
        return (self.peak_bytes - self.base_bytes) / self.stations

    @property
    def is_exact(self) -> bool:
        """Whether every page was acknowledged once, by the journal, and is stored once."""
        pages = self.stations * PAGES_PER_STATION
        return self.outcomes == {Outcome.ACCEPTED: pages} and self.pages_noted == self.pages_stored == pages


@dataclass(frozen=True)
class LargePlanResult:
    """What it took to start with many stations in the plan."""

    stations: int
    plan_s: float
    shard_s: float
    prepared_s: float
    """From starting master and workers until all were ready; each of them makes the plan itself."""
    begun_s: float
    """From T0 until the first attempt was sent."""
    base_bytes: int
    peak_bytes: int
    active: int
    """Stations that arrived."""

    @property
    def start_s(self) -> float:
        """Plan, shard and start, one after the other, as in a run."""
        return self.plan_s + self.shard_s + self.prepared_s + self.begun_s


@dataclass(frozen=True)
class SurgeResult:
    """The lateness of a surge. Times in seconds from T0, lateness in seconds."""

    stations: int
    exit_code: int
    output: str
    arrived_s: float
    """When the last station was due; `connected_s`: when the last one had its connection."""
    connected_s: float
    first: tuple[float, ...]
    """Lateness of the stations' first attempts, which open the connections: p50, p99, maximum."""
    all: tuple[float, ...]
    """Lateness of all attempts: p50, p99, maximum."""


def measure_concurrency(stations: int = STATIONS) -> ConcurrencyResult:
    """Run stations at once against the mock. Raises ProcessFailedError if the generator fails."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # for the mock, which inherits it: a descriptor per connection
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bench-") as path:
        scenario = synthetic_scenario(Path(path), stations, _holding_server(stations))
        folder = RunFolder(Path(path) / "server")
        folder.create()
        spec = RunSpec(scenario, make_plan(scenario), folder, "bench", [], [])
        with ProcessGroup(folder.logs) as group, temporary_folder("scale") as private:
            url, admin = start_server(group, spec, private, "")()
            result = run_generator(
                scenario, url, on_t0=lambda _: group["server"].send("t0", monotonic=time.monotonic())
            )
            # a set and a count: a page stored twice shows as more rows than keys
            stored = {(row["station"], row["form"], row["page"]) for row in admin.stored()}
            rows = sum(1 for _ in admin.stored())
    ends = result.ends
    return ConcurrencyResult(
        stations=stations,
        prepared_s=result.prepared_s,
        connected_s=float(np.nanmax(ends[ends["page"] % PAGES_PER_STATION == 0]["connected_s"])),
        at_once=max_concurrent(ends["sent_s"], ends["done_s"]),
        base_bytes=result.resident_before_bytes,
        peak_bytes=result.resident_peak_bytes,
        outcomes=result.outcomes,
        pages_noted=len(np.unique(ends["page"])),
        pages_stored=rows if rows == len(stored) else -rows,
    )


def _holding_server(stations: int) -> dict[str, Any]:
    """A scenario with a server that has a worker for every station, and a latency fault while they arrive."""
    hold = {"name": "hold", "kind": "latency", "start": "0s", "duration": f"{_HOLD_S:g}s"}
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
        "faults": [{**hold, "delay": {"distribution": "fixed", "value": f"{_HOLD_S:g}s"}}],
    }


def measure_large_plan(stations: int = PLANNED_STATIONS, workers: int = 2) -> LargePlanResult:
    """Start with many stations in the plan, of which few arrive before the deadline, against nginx."""
    content = {
        "deadline": "3s",
        "photos": {"size": {"distribution": "fixed", "value": "4KB"}, "bank": 4},
        "arrivals": {"kind": "constant", "over": f"{stations / 100:g}s"},
        "target": {"path": UNREAD + "{station}/{form}/{page}"},
    }
    cores = frozenset(os.sched_getaffinity(0))  # all of them: this measures memory and start-up, not throughput
    with tempfile.TemporaryDirectory(prefix="bench-") as path, running_nginx(Path(path) / "nginx", cores) as sink:
        scenario = synthetic_scenario(Path(path), stations, content)
        begin_s = time.monotonic()
        plan = make_plan(scenario)
        planned_s = time.monotonic()
        for rank in range(workers):
            plan.shard(rank, workers)
        sharded_s = time.monotonic()
        result = run_generator(scenario, sink.url, workers)
    return LargePlanResult(
        stations=stations,
        plan_s=planned_s - begin_s,
        shard_s=sharded_s - planned_s,
        prepared_s=result.prepared_s,
        begun_s=float(np.nanmin(result.ends["sent_s"])),
        base_bytes=result.resident_before_bytes,
        peak_bytes=result.resident_peak_bytes,
        active=len(np.unique(result.ends["page"] // PAGES_PER_STATION)),
    )


def measure_surge(folder: Path) -> SurgeResult:
    """Run the surge in the folder; its run is `folder`/run. Raises FileNotFoundError if it left no rows."""
    kelurahan = (f"{3509000000 + number},Village,{SURGE_STATIONS // 10}\n" for number in range(10))
    (folder / "stations.csv").write_text("".join(kelurahan), "utf-8")
    shutil.copyfile(_SURGE, folder / _SURGE.name)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness", "run", _SURGE.name, "--out", "run"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    rows = str(RunFolder(folder / "run").attempts)
    if not Path(rows).exists():
        raise FileNotFoundError(rows, done.stdout + done.stderr)
    # first pages open the connections; a later page is due when the one before has ended, so it can hardly be late
    first, every = (duckdb.execute(_LATENESS, [rows, last]).fetchone() or () for last in (1, PAGES_PER_STATION))
    return SurgeResult(
        SURGE_STATIONS, done.returncode, done.stdout + done.stderr, first[3], first[4], first[:3], every[:3]
    )


def max_concurrent(begun_s: npt.NDArray[np.float64], ended_s: npt.NDArray[np.float64]) -> int:
    """The largest number of intervals that contain the same moment.

    >>> max_concurrent(np.array([0.0, 1.0, 2.0]), np.array([1.5, 3.0, 2.5]))
    2
    """
    moments = np.concatenate([begun_s, ended_s])
    # sort ends before begins at the same moment: an interval that ends does not overlap one that starts then
    steps = np.concatenate([np.ones(len(begun_s)), -np.ones(len(ended_s))])
    return int(np.cumsum(steps[np.lexsort((steps, moments))]).max(initial=0))


def stations_table(many: ConcurrencyResult, large: LargePlanResult) -> str:
    """The figures in Markdown."""
    pages = many.stations * PAGES_PER_STATION
    exact = f"{pages:,} planned, {many.pages_noted:,} acknowledged, {many.pages_stored:,} stored"
    lines = [
        "| what | measured | wanted |",
        "| --- | ---: | ---: |",
        f"| {many.stations:,} stations arrive within {_ARRIVAL_S:g} s: in flight at the same moment | {many.at_once:,} | {many.stations:,} |",
        f"| resident memory per station beyond the base, one page in flight | {many.bytes_each / 1000:.1f} KB | 20 KB |",
        f"| the base: the generator with its plan, before T0 | {many.base_bytes / 1e6:.0f} MB | |",
        f"| generator ready after | {many.prepared_s:.1f} s | 3 s |",
        f"| last station connected after T0 | {many.connected_s:.1f} s | |",
        f"| pages | {exact} | exact |",
        f"| {large.stations:,} stations in a plan, 2 workers: plan, shard and start | {large.start_s:.1f} s | 10 s |",
        f"| of that one planning | {large.plan_s:.1f} s | |",
        f"| memory of master and workers before T0 | {large.base_bytes / 1e6:.0f} MB | |",
        f"| added by {large.active:,} active stations | {(large.peak_bytes - large.base_bytes) / 1e6:.1f} MB | |",
    ]
    where = f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores"
    return "\n".join([f"Measured by `python -m benchmarks.scale stations` ({where}):", "", *lines]) + "\n"


def surge_table(result: SurgeResult) -> str:
    """The figures in Markdown."""
    verdicts = {ExitCode.PASSED: "valid and passed", ExitCode.INVALID: "INVALID, with the reason in its report"}
    verdict = verdicts.get(ExitCode(result.exit_code), f"ended with exit code {result.exit_code}")
    lines = [
        "| lateness of | p50 | p99 | maximum |",
        "| --- | ---: | ---: | ---: |",
        "| the stations' first attempts | " + " | ".join(f"{late_s * 1e3:,.1f} ms" for late_s in result.first) + " |",
        "| all attempts | " + " | ".join(f"{late_s * 1e3:,.1f} ms" for late_s in result.all) + " |",
    ]
    where = f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores shared with the mock server"
    text = (
        f"{result.stations:,} stations arrived within {result.arrived_s:.1f} s; the last of them was connected "
        f"{result.connected_s:.1f} s after T0. The run was {verdict}."
    )
    return "\n".join([f"Measured by `python -m benchmarks.scale surge` ({where}):", "", *lines, "", text]) + "\n"


def main() -> int:
    """Measure and print; 1 if totals are not exact, or if the surge ended without a verdict on its lateness."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=["stations", "surge", []], default=[])
    parser.add_argument("--write", action="store_true", help="write the tables into docs/explanation/measuring.md")
    options = parser.parse_args()
    is_good, tables = True, {}
    if "stations" in (options.parts or ["stations"]):
        many, large = measure_concurrency(), measure_large_plan()
        tables["stations"], is_good = stations_table(many, large), many.is_exact
    if "surge" in (options.parts or ["surge"]):
        with tempfile.TemporaryDirectory(prefix="bench-") as path:
            result = measure_surge(Path(path))
        tables["surge"] = surge_table(result)
        is_good = is_good and result.exit_code in {ExitCode.PASSED, ExitCode.INVALID}
    for name, text in tables.items():
        sys.stdout.write(text + "\n")
        if options.write:
            write_block(MEASURING, name, f"\n{text}\n")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
