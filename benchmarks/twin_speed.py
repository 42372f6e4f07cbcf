"""How fast a simulation is: `python -m benchmarks.twin_speed [--quick] [--write]` (a part of `make bench`; about six minutes).

First `kaliwates` alone, without analysis and page, in a process that has started. Each further case is a whole `harness simulate` in a process of its own, from plan to page: `kaliwates`, then `nation` with a
hundredth, a tenth and all of its stations. Time is CPU time of all threads together, because that is what a core needs;
memory is the process's greatest resident memory. What a case needs besides its attempts (starting, 7,200 scrapes, charts)
is subtracted for the time per attempt, so that its growth shows: it should not grow.

`--quick` leaves the whole nation out. `--write` writes the table into docs/explanation/simulation.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.publish import ROOT, write_block
from harness.run_folder.layout import RunFolder
from harness.runner.simulated_cells import run_scenario
from harness.scenario.loader import load_scenario

PAGE = ROOT / "docs" / "explanation" / "simulation.md"
STATIONS = 823_332
CASES: tuple[tuple[str, str, int | None], ...] = (
    ("`kaliwates`", "kaliwates", None),
    ("a hundredth of `nation`", "nation", STATIONS // 100),
    ("a tenth of `nation`", "nation", STATIONS // 10),
    ("`nation`", "nation", None),
)
ALONE = "`kaliwates` alone, without its page"
GOALS_S = {ALONE: 0.5, "`kaliwates`": 5.0, "`nation`": 120.0}
GOAL_BYTES = 1.5e9
_TIMEOUT_S = 1800


@dataclass(frozen=True)
class SimulationCost:
    """What one `harness simulate` needed."""

    title: str
    attempts: int
    cpu_s: float
    wall_s: float
    peak_bytes: int
    exit_code: int


def measure(title: str, scenario: str, stations: int | None) -> SimulationCost:
    """Simulate a scenario with its page, in a process of its own: a parent's greatest child is kept for good."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure_here, (title, scenario, stations))


def _measure_here(title: str, scenario: str, stations: int | None) -> SimulationCost:
    with tempfile.TemporaryDirectory(prefix="bench-") as path:
        folder = RunFolder(Path(path) / "run")
        chosen = [] if stations is None else ["--set", f"stations.count={stations}"]
        begin_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-P", "-m", "harness", "simulate", scenario, *chosen, "--out", str(folder.path)],
            check=False, stdout=subprocess.DEVNULL, timeout=_TIMEOUT_S,
        )  # fmt: skip
        wall_s, used = time.monotonic() - begin_s, resource.getrusage(resource.RUSAGE_CHILDREN)
        attempts = json.loads(folder.summary.read_text("utf-8"))["attempts"]["total"]
    cpu_s = used.ru_utime + used.ru_stime
    return SimulationCost(title, attempts, cpu_s, wall_s, used.ru_maxrss * 1024, done.returncode)


def measure_alone() -> SimulationCost:
    """Plan and play `kaliwates` into a run folder, the second time in a process: the first one imports and opens DuckDB."""
    with get_context("spawn").Pool(1) as pool:
        pool.apply(_play_here)
        return pool.apply(_play_here)


def _play_here() -> SimulationCost:
    scenario = load_scenario("kaliwates")
    with tempfile.TemporaryDirectory(prefix="bench-") as path:
        folder = RunFolder(Path(path) / "run")
        begin_s, before_s = time.monotonic(), time.process_time()
        run_scenario(folder, scenario, [])
        cpu_s, wall_s = time.process_time() - before_s, time.monotonic() - begin_s
        attempts = folder.read_run().workers[0].attempts
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return SimulationCost(ALONE, attempts, cpu_s, wall_s, peak_bytes, 0)


def speed_table(costs: list[SimulationCost]) -> str:
    """The figures in Markdown; time per further attempt is between a case of `nation` and the smaller one before it."""
    lines = ["| simulated | attempts | CPU | goal | per further attempt | memory |", "| --- | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for number, cost in enumerate(costs):
        before = costs[number - 1] if number > 2 else None
        further = (
            "" if before is None else f"{(cost.cpu_s - before.cpu_s) / (cost.attempts - before.attempts) * 1e6:.0f} µs"
        )
        goal_s = GOALS_S.get(cost.title)
        goal = "" if goal_s is None else f"{goal_s:g} s"
        lines.append(
            f"| {cost.title} | {cost.attempts:,} | {cost.cpu_s:.1f} s | {goal} | {further} | {cost.peak_bytes / 1e6:,.0f} MB |"
        )
    where = f"Python {platform.python_version()}, one core of {os.cpu_count()}"
    return "\n".join([f"Measured by `python -m benchmarks.twin_speed` ({where}):", "", *lines]) + "\n"


def main() -> int:
    """Measure and print; 1 if a simulation failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the table into docs/explanation/simulation.md")
    parser.add_argument("--quick", action="store_true", help="leave out the whole nation: a minute")
    options = parser.parse_args()
    costs = [measure_alone()]
    costs += [measure(*case) for case in (CASES[:-1] if options.quick else CASES)]
    table = speed_table(costs)
    sys.stdout.write(table)
    if options.write:
        write_block(PAGE, "twin speed", f"\n{table}\n")
    return 1 if any(cost.exit_code for cost in costs) else 0


if __name__ == "__main__":
    sys.exit(main())
