"""How long `harness report` takes and how much memory it needs, for runs of 10,000 to 10,000,000 attempts.

Run by `make bench`, up to a million; `--attempts 10000000` for the largest. Each run folder is made up by `benchmarks.report.synthetic_run`; then the command is
started twice as a process of its own: on a folder as a run leaves it when it is killed (attempts.parquet has to be made from
the journals), and again. Wall and CPU time and the peak of resident memory are the kernel's own, from wait4. Whole: figures,
judgement, audit, charts, page. With `--write` the table is put into docs/reference/charts.md.
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

from benchmarks.marked_blocks import replace_block

SIZES = (10_000, 100_000, 1_000_000)
LIMITS = {1_000_000: (10.0, 1_000.0), 10_000_000: (60.0, 2_000.0)}
"""Attempts: at most so many seconds and MB."""
DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "charts.md"
BEGIN, END = "<!-- report speed: begin -->", "<!-- report speed: end -->"
_JUDGED_EXIT_CODES = (0, 3, 99)
"""Exit codes of a run that was judged, whatever the verdict; `harness report` itself gives 0."""


@dataclass(frozen=True)
class ReportCost:
    """One run of the command."""

    attempts: int
    pages: int
    first: bool
    """attempts.parquet had to be made."""
    wall_s: float
    cpu_s: float
    peak_mb: float
    page_mb: float

    @property
    def is_good(self) -> bool:
        """Whether it is as quick and as small as it should be; sizes without a limit are."""
        near = [limits for size, limits in LIMITS.items() if abs(self.attempts / size - 1) < 0.1]
        return all(self.wall_s < seconds and self.peak_mb < megabytes for seconds, megabytes in near)


def measure(folder: Path, attempts: int, pages: int) -> ReportCost:
    """Draw the folder once. Raises RuntimeError where that fails."""
    first = not (folder / "attempts.parquet").exists()
    command = [sys.executable, "-m", "harness", "report", str(folder)]
    begun = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in _JUDGED_EXIT_CODES:
            said.seek(0)
            raise RuntimeError(said.read().decode())
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
    """Both ways for each size; the folders go below `keep`, if they are to stay."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for size in sizes:
            folder = (keep or Path(name)) / str(size)
            if not folder.exists():
                make = [sys.executable, "-m", "benchmarks.report.synthetic_run", str(folder), "--attempts", str(size)]
                subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
            (folder / "attempts.parquet").unlink(missing_ok=True)
            attempts, pages = _count_rows(folder)
            rows += [measure(folder, attempts, pages) for _ in range(2)]
    return rows


def _count_rows(folder: Path) -> tuple[int, int]:
    """How many attempts and pages a folder has."""
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
    """Prints the table (or JSON); 1 if a run of a million, or of ten, takes longer or more memory than it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--attempts", type=int, nargs="+", default=list(SIZES), metavar="N", help="sizes (default: %(default)s)")
    add("--keep", type=Path, metavar="DIR", help="keep the run folders there, and use those that are there already")
    add("--write", action="store_true", help=f"put the table into {DOCUMENT.name}")
    add("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows = measure_sizes(options.attempts, options.keep)
    text = format_table(rows)
    if options.write:
        DOCUMENT.write_text(replace_block(DOCUMENT.read_text("utf-8"), text, BEGIN, END), encoding="utf-8")
    sys.stdout.write(json.dumps([asdict(row) for row in rows], indent=1) + "\n" if options.json else text)
    return 0 if all(row.is_good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
