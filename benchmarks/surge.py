"""Five thousand stations within one second: `python -m benchmarks.surge [--write]` (half a minute).

A whole `harness run` against the mock, as a user starts it: each station turns up at a random moment of one second, opens a connection
of its own, logs in and sends three photos. How late the generator was is told whatever it is: a run that was too late is INVALID, and
that is a result too. With `--write` the figures are put into docs/explanation/measuring.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.marked_blocks import replace_block
from harness.base.errors import ExitCode
from harness.run_folder.layout import RunFolder

STATIONS = 5_000
DOCUMENT = Path(__file__).parents[1] / "docs" / "explanation" / "measuring.md"
BEGIN, END = "<!-- surge: begin -->", "<!-- surge: end -->"
_KELURAHAN = 10
_PAGES = 3
_TIMEOUT_S = 240.0
_LATE = """
SELECT quantile_disc(sent_s - due_s, 0.5), quantile_disc(sent_s - due_s, 0.99), max(sent_s - due_s), max(due_s), max(connected_s)
FROM read_parquet(?) WHERE page <= ?
"""
_SCENARIO = """\
name = "surge"
seed = 7
deadline = "60s"
[stations]
region = "stations.csv"
forms = ["ppwp"]
[photos]
size = "4KB"
bank = 2
[arrivals]
kind = "surge"
over = "1s"
[client]
timeout = "50s"
retry = {{ strategy = "none" }}
[server]
workers = {stations}
queue_capacity = {stations}
service_time = {{ distribution = "fixed", value = "1ms" }}
[[thresholds]]
assert = "stations.completed_by_deadline_ratio >= 100%"
"""


@dataclass(frozen=True)
class SurgeResult:
    """What became of it. Times in seconds from T0, lateness in seconds."""

    stations: int
    exit_code: int
    said: str
    """What the command printed."""
    turned_up_s: float
    """When the last station was due."""
    connected_s: float
    """When the last station had its connection."""
    first: tuple[float, ...]
    """Lateness of the stations' first attempts, which open the connections: p50, p99, the greatest."""
    all: tuple[float, ...]
    """Lateness of all attempts."""


def measure_surge(folder: Path, stations: int = STATIONS) -> SurgeResult:
    """Let them come; the run is in `folder`/run. Raises OSError where it left no rows."""
    shares = (f"{3509000000 + number},Village,{stations // _KELURAHAN}\n" for number in range(_KELURAHAN))
    (folder / "stations.csv").write_text("".join(shares), "utf-8")
    (folder / "surge.toml").write_text(_SCENARIO.format(stations=stations), "utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness", "run", "surge.toml", "--out", "run"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S,
    )  # fmt: skip
    rows = str(RunFolder(folder / "run").attempts)
    if not Path(rows).exists():
        raise FileNotFoundError(rows, done.stdout + done.stderr)
    first, every = _lateness(rows, upto_page=1), _lateness(rows, upto_page=_PAGES)
    return SurgeResult(
        stations=stations,
        exit_code=done.returncode,
        said=done.stdout + done.stderr,
        turned_up_s=first[3],
        connected_s=first[4],
        first=first[:3],
        all=every[:3],
    )


def _lateness(rows: str, upto_page: int) -> tuple[float, ...]:
    """Lateness of attempts at the first pages of every station (p50, p99, the greatest), the last due time, the last connection."""
    found = duckdb.execute(_LATE, [rows, upto_page]).fetchone()
    return found or ()


def surge_table(seen: SurgeResult) -> str:
    """The figures in Markdown."""
    judged = {ExitCode.PASSED: "valid, passed", ExitCode.INVALID: "INVALID, with the reason on its report"}
    lines = [
        "| lateness of | p50 | p99 | at most |",
        "| --- | ---: | ---: | ---: |",
        "| the stations' first attempts | " + " | ".join(f"{late_s * 1e3:,.1f} ms" for late_s in seen.first) + " |",
        "| all attempts | " + " | ".join(f"{late_s * 1e3:,.1f} ms" for late_s in seen.all) + " |",
    ]
    where = f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores, which the mock server shares"
    text = (
        f"{seen.stations:,} stations turned up within {seen.turned_up_s:.1f} s, and the last of their connections stood {seen.connected_s:.1f} s "
        f"after T0. The run was {judged.get(ExitCode(seen.exit_code), f'ended with exit code {seen.exit_code}')}."
    )
    return "\n".join([f"Measured by `python -m benchmarks.surge` ({where}):", "", *lines, "", text]) + "\n"


def main() -> int:
    """Measure, say, write where that is asked for; 1 where it ended otherwise than with a verdict on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as path:
        seen = measure_surge(Path(path))
    sys.stdout.write(surge_table(seen))
    if options.write:
        DOCUMENT.write_text(replace_block(DOCUMENT.read_text("utf-8"), f"\n{surge_table(seen)}\n", BEGIN, END), "utf-8")
    return int(seen.exit_code not in {ExitCode.PASSED, ExitCode.INVALID})


if __name__ == "__main__":
    sys.exit(main())
