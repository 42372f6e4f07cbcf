"""Time and memory of `harness report` for runs of 10,000 to 10,000,000 attempts.

Run by `make bench`, up to a million; `--attempts 10000000` for the largest. `benchmarks.report.synthetic_run` makes each run
folder; then the command runs twice in its own process: first on the folder as a killed run leaves it (attempts.parquet has
to be made from the journals), then again. Wall time, CPU time and peak resident memory are the kernel's own, from wait4, for
the whole command: figures, verdict, audit, charts and page. `--write` writes the table into docs/reference/charts.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.publish import write_block

SIZES = (10_000, 100_000, 1_000_000)
LIMITS = {1_000_000: (10.0, 1_000.0), 10_000_000: (60.0, 2_000.0)}
"""Attempts -> maximum seconds and MB."""
DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "charts.md"
BLOCK = "report speed"
"""Name of its markers in the document."""
_JUDGED_EXIT_CODES = (0, 3, 99)
"""Exit codes of a judged run, whatever the verdict."""


@dataclass(frozen=True)
class ReportCost:
    """Time and memory of one run of the command."""

    attempts: int
    pages: int
    first: bool
    """Whether attempts.parquet had to be made from the journals."""
    wall_s: float
    cpu_s: float
    peak_mb: float
    page_mb: float

    @property
    def is_good(self) -> bool:
        """Whether it is within the limits for its size; sizes without a limit always are."""
        # the synthetic run hits the wanted number of attempts only to within a few percent
        near = [limits for size, limits in LIMITS.items() if abs(self.attempts / size - 1) < 0.1]
        return all(self.wall_s < seconds and self.peak_mb < megabytes for seconds, megabytes in near)


def measure(folder: Path, attempts: int, pages: int) -> ReportCost:
    """Run `harness report` on the folder once. Raises RuntimeError with its output if it fails."""
    first = not (folder / "attempts.parquet").exists()
    command = [sys.executable, "-m", "harness", "report", str(folder)]
    begin_s = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        # wait4 has the rusage of this child alone; getrusage(RUSAGE_CHILDREN) has the maximum over all of them
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - begin_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in _JUDGED_EXIT_CODES:
            output.seek(0)
            raise RuntimeError(output.read().decode())
    return ReportCost(
        attempts=attempts,
        pages=pages,
        first=first,
        wall_s=round(wall_s, 1),
        cpu_s=round(used.ru_utime + used.ru_stime, 1),
        peak_mb=round(used.ru_maxrss * 1024 / 1e6),
        page_mb=round((folder / "report" / "index.html").stat().st_size / 1e6, 2),
    )


def measure_sizes(sizes: list[int], keep: Path | None) -> list[ReportCost]:
    """Each size from the journals and from attempts.parquet; with `keep` the folders are kept there."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for size in sizes:
            folder = (keep or Path(name)) / str(size)
            if not folder.exists():
                make = [sys.executable, "-m", "benchmarks.report.synthetic_run", str(folder), "--attempts", str(size)]
                subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
            # a run that was killed has no attempts.parquet
            (folder / "attempts.parquet").unlink(missing_ok=True)
            attempts, pages = _count_rows(folder)
            # the second time attempts.parquet is there
            rows += [measure(folder, attempts, pages) for _ in range(2)]
    return rows


def _count_rows(folder: Path) -> tuple[int, int]:
    """The number of attempts and pages of a folder."""
    record = json.loads((folder / "run.json").read_bytes())
    attempts = sum(worker["attempts"] for worker in record["workers"])
    return attempts, 3 * record["scenario"]["stations"]["count"]


def format_table(rows: list[ReportCost]) -> str:
    """The measurements in Markdown."""
    lines = [
        "| attempts | pages | attempts.parquet | seconds | CPU-seconds | peak memory | page |",
        "| ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.attempts:,} | {row.pages:,} | {'made from the journals' if row.first else 'there'} | {row.wall_s} |"
        f" {row.cpu_s} | {row.peak_mb:,.0f} MB | {row.page_mb} MB |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Print the table (or JSON); 1 if a size with limits exceeds them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--attempts", type=int, nargs="+", default=list(SIZES), metavar="N", help="sizes (default: %(default)s)")
    add("--keep", type=Path, metavar="DIR", help="keep the run folders there, and reuse existing ones")
    add("--write", action="store_true", help=f"write the table into {DOCUMENT.name}")
    add("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows = measure_sizes(options.attempts, options.keep)
    text = format_table(rows)
    if options.write:
        write_block(DOCUMENT, BLOCK, text)
    sys.stdout.write(json.dumps([asdict(row) for row in rows], indent=1) + "\n" if options.json else text)
    return 0 if all(row.is_good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
