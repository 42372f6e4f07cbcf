"""What the live page costs a run: `python -m benchmarks.live_page [--pairs 5] [--write]` (six minutes).

Pairs of one run, without the page and with a reader of its events connected from the first to the last second, in changing order:
CPU of the process that sends and of the leader, per attempt, and lateness. No browser is started: what it draws is the
browser's own cost, and can be moved to another machine.

`--write` writes the table into docs/explanation/measuring.md.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import http.client
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import duckdb

from benchmarks.publish import MEASURING, write_block
from harness.measure.process_monitor import HARNESS
from harness.run_folder.layout import RunFolder

_SCENARIO = Path(__file__).with_name("live_page.toml")
_LATENESS = """
SELECT count(*), quantile_disc(sent_s - due_s, 0.5), quantile_disc(sent_s - due_s, 0.99) FROM read_parquet(?)
"""
_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class RunCost:
    """What one run cost; times in seconds."""

    attempts: int
    worker_s: float
    """CPU of the process that sends, from T0 to its last sample."""
    leader_s: float
    late_p50_s: float
    late_p99_s: float
    events: int
    """Events that the page's reader was sent."""


def measure_run(folder: Path, *, with_page: bool) -> RunCost:
    """Run once. Raises RuntimeError if the run left no rows, or the page sent nothing."""
    web = ["--web=127.0.0.1:0"] if with_page else []
    command = [sys.executable, "-P", "-m", "harness", "run", str(_SCENARIO), "--out", str(folder), *web]
    events = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        stop = threading.Timer(_TIMEOUT_S, process.kill)
        stop.start()
        try:
            reader = None
            for line in process.stdout or ():
                if found := re.search(r"Live page: (\S+)", line):
                    reader = EventReader(found[1])
                    reader.start()
            process.wait()
        finally:
            stop.cancel()
        if reader is not None:
            reader.join(10)
            events = reader.events
    if with_page and not events:
        message = "the live page has sent no events"
        raise RuntimeError(message)
    run = RunFolder(folder)
    attempts, p50_s, p99_s = duckdb.execute(_LATENESS, [str(run.attempts)]).fetchone() or (0, 0.0, 0.0)
    return RunCost(attempts, cpu_after_t0(run, "worker 0"), cpu_after_t0(run, HARNESS), p50_s, p99_s, events)


class EventReader(threading.Thread):
    """Reads the events of a page to their end, and then the report, as a browser does."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = urlsplit(url)
        self.events = 0

    def run(self) -> None:
        """Read everything."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._read("events")
            self._read("report/index.html")

    def _read(self, name: str) -> None:
        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=_TIMEOUT_S)
        connection.request("GET", self._url.path + name)
        for line in connection.getresponse():
            self.events += line.startswith(b"data:")
        connection.close()


def cpu_after_t0(folder: RunFolder, process: str) -> float:
    """CPU seconds of a process between T0 and its last sample, from processes.csv."""
    with folder.processes.open(newline="") as file:
        samples = [
            (float(row["t_s"]), float(row["cpu_s"])) for row in csv.DictReader(file) if row["process"] == process
        ]
    before = [cpu_s for t_s, cpu_s in samples if t_s <= 0]
    return samples[-1][1] - (before[-1] if before else samples[0][1])


def cost_table(without: Sequence[RunCost], with_page: Sequence[RunCost]) -> str:
    """The medians in Markdown, and the ratio of each pair."""

    def row(name: str, unit: str, factor: float, values: Sequence[tuple[float, float]]) -> str:
        plain, page = (median(one[side] for one in values) * factor for side in (0, 1))
        ratios = sorted(page_side / max(plain_side, 1e-9) for plain_side, page_side in values)
        spread = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        return f"| {name} | {plain:.1f} {unit} | {page:.1f} {unit} | {spread} |"

    pairs = list(zip(without, with_page, strict=True))
    lines = [
        "| median of the runs | without | with the page | with ÷ without, each pair |",
        "| --- | ---: | ---: | ---: |",
        row("the process that sends, CPU per attempt", "µs", 1e6, [(a.worker_s / a.attempts, b.worker_s / b.attempts) for a, b in pairs]),
        row("the leader, CPU per second of the run", "ms", 1e3 / 20, [(a.leader_s, b.leader_s) for a, b in pairs]),
        row("lateness, p50", "ms", 1e3, [(a.late_p50_s, b.late_p50_s) for a, b in pairs]),
        row("lateness, p99", "ms", 1e3, [(a.late_p99_s, b.late_p99_s) for a, b in pairs]),
    ]  # fmt: skip
    where = f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores shared with the mock server"
    head = f"Measured by `python -m benchmarks.live_page` ({where}; {len(pairs)} pairs of runs with {without[0].attempts:,} attempts at 300/s):"
    return "\n".join([head, "", *lines]) + "\n"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write the table into docs/explanation/measuring.md")
    options = parser.parse_args()
    found: dict[bool, list[RunCost]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(prefix="bench-") as path:
        for pair in range(options.pairs):
            for with_page in (pair % 2 == 0, pair % 2 != 0):
                cost = measure_run(Path(path) / f"{pair}-{with_page}", with_page=with_page)
                found[with_page].append(cost)
                sys.stderr.write(f"{'with   ' if with_page else 'without'} {cost}\n")
    text = cost_table(found[False], found[True])
    sys.stdout.write(text + "\n")
    if options.write:
        write_block(MEASURING, "live page", f"\n{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
