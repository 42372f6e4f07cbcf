"""100,000 stations in one whole `harness run`: `python -m benchmarks.many_stations [--write]` (four minutes).

Every station uploads three photos of 1 KB, one after another, and 3,000 photos a second fall due. The server is an nginx that
stores each photo as a file, because the mock, which does more for a photo, takes fewer a second on the same two cores. What it
stored is read back with a digest of every file. Times are those at which `harness run` says that a phase begins; memory is the
kernel's own peak of each process.

`--write` writes the table into docs/explanation/measuring.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

from benchmarks.peers.nginx_sink import find_nginx
from benchmarks.publish import MEASURING, write_block
from harness.base.errors import ExitCode
from harness.measure.process_monitor import PROC, cpu_seconds, peak_bytes, process_tree
from harness.run_folder.layout import RunFolder
from harness.runner.generator import PAGES_PER_STATION

STATIONS, PHOTOS_PER_S = 100_000, 3_000
_PORT = 18_098
_PER_VILLAGE = 500
_SCENARIO = Path(__file__).with_name("many-stations.toml")
_NGINX = Path(__file__).with_name("many-stations.nginx.conf")
_PHASES = (
    ("Starting the generator", "making the plan, writing it, reading the empty store"),
    ("0 s of ", "starting the generator"),
    ("Reading what the server has stored", "sending"),
    ("Analysing", "reading back what is stored, a digest of every file"),
    ("Report: ", "analysis, audit, verdict and report"),
)
"""What the line begins with that ends a phase, and the phase; in this order."""
_SAMPLE_EVERY_S = 0.5


@dataclass
class ProcessPeaks:
    """Of the processes of a run by their role: the highest resident memory and the CPU time."""

    bytes_by_role: dict[str, int] = field(default_factory=dict)
    cpu_by_role: dict[str, float] = field(default_factory=dict)

    def sample(self, pid: int) -> None:
        """Look at a process and its descendants once; those that have just exited are left out."""
        for one in process_tree(pid):
            with contextlib.suppress(OSError, ValueError):
                command = (PROC / str(one) / "cmdline").read_bytes()
                role = "harness run" if one == pid else "generator" if b"locustfile.py" in command else ""
                if role:
                    self.bytes_by_role[role] = max(peak_bytes(one), self.bytes_by_role.get(role, 0))
                    self.cpu_by_role[role] = max(cpu_seconds(one), self.cpu_by_role.get(role, 0.0))


@dataclass(frozen=True)
class LargeRunResult:
    """A whole run, and what it took."""

    exit_code: int
    output: str
    phases: dict[str, float]
    """Seconds of each phase, in their order."""
    peaks: ProcessPeaks
    summary: dict[str, Any]
    audit: dict[str, Any]
    folder_bytes: int

    @property
    def is_exact(self) -> bool:
        """Whether every page was acknowledged and is stored, once and as it was sent."""
        pages = STATIONS * PAGES_PER_STATION
        return (self.summary["pages"]["delivered"], self.audit["counts"]["ok"]) == (pages, pages)


def measure(folder: Path) -> LargeRunResult:
    """Make the run in the folder. Raises CalledProcessError if it ends without a report."""
    villages = (
        f"{3509000000 + number},Village {number},{_PER_VILLAGE}\n" for number in range(STATIONS // _PER_VILLAGE)
    )
    (folder / "stations.csv").write_text("".join(villages), "utf-8")
    (folder / _SCENARIO.name).write_bytes(_SCENARIO.read_bytes())
    with _storing_nginx(folder / "site") as url:
        command = [
            sys.executable,
            "-P",
            "-m",
            "harness",
            "run",
            _SCENARIO.name,
            "--target",
            url,
            "--allow-command",
            "--out",
            "run",
        ]
        environment = {**os.environ, "TARGET_ROOT": str(folder / "site")}
        run = subprocess.Popen(
            command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        with _sampling(run.pid) as peaks:
            phases, lines = _read_phases(run)
    if "Report" not in lines[-1]:
        raise subprocess.CalledProcessError(run.returncode, command, "\n".join(lines))
    written = RunFolder(folder / "run")
    return LargeRunResult(
        exit_code=run.returncode,
        output="\n".join(lines),
        phases=phases,
        peaks=peaks,
        summary=json.loads(written.summary.read_bytes()),
        audit=json.loads(written.audit.read_bytes()),
        folder_bytes=sum(file.stat().st_size for file in written.path.rglob("*") if file.is_file()),
    )


def _read_phases(run: subprocess.Popen[str]) -> tuple[dict[str, float], list[str]]:
    """How long each phase took, and the lines of the output."""
    assert run.stdout is not None  # noqa: S101 - it is a pipe
    phases: dict[str, float] = {}
    lines: list[str] = []
    ends, begun_s = list(_PHASES), time.monotonic()
    for line in run.stdout:
        lines.append(line.rstrip("\n"))
        # the same line is written before the run, for the empty store, which is another phase
        if ends and line.startswith(ends[0][0]):
            now_s = time.monotonic()
            phases[ends.pop(0)[1]], begun_s = now_s - begun_s, now_s
    run.wait()
    return phases, [line for line in lines if line]


@contextlib.contextmanager
def _sampling(pid: int) -> Iterator[ProcessPeaks]:
    peaks, stopped = ProcessPeaks(), Event()

    def sample() -> None:
        while not stopped.wait(_SAMPLE_EVERY_S):
            peaks.sample(pid)

    thread = Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        stopped.set()
        thread.join()


@contextlib.contextmanager
def _storing_nginx(site: Path) -> Iterator[str]:
    """Start the nginx that stores what is put below /photos; its URL."""
    (site / "photos").mkdir(parents=True)
    (site / "partial").mkdir()
    # as root it would switch to another user, who can't write the folder
    user = "" if os.geteuid() else "user root;\n"
    configuration = site / "nginx.conf"
    configuration.write_text(user + _NGINX.read_text("utf-8").replace("PORT", str(_PORT)), "utf-8")
    with (site / "nginx.out").open("wb") as out:
        server = subprocess.Popen([find_nginx(), "-p", str(site), "-c", str(configuration)], stdout=out, stderr=out)
    try:
        yield f"http://127.0.0.1:{_PORT}"
    finally:
        server.terminate()
        server.wait(10)


def table(result: LargeRunResult) -> str:
    """The figures in Markdown."""
    pages, late = result.summary["pages"], result.summary["lateness_seconds"]
    verdict = {ExitCode.PASSED: "valid and passed", ExitCode.INVALID: "INVALID"}.get(
        ExitCode(result.exit_code), f"exit code {result.exit_code}"
    )
    sent_s = result.summary["duration_s"]
    rows = [
        ("the run", verdict),
        (
            "stations: planned, completed",
            f"{result.summary['stations']['planned']:,}, {result.summary['stations']['completed']:,}",
        ),
        (
            "photos: planned, acknowledged, stored as sent",
            f"{pages['planned']:,}, {pages['delivered']:,}, {result.audit['counts']['ok']:,}",
        ),
        ("photos a second, mean until the last", f"{pages['delivered'] / sent_s:,.0f}"),
        ("lateness, p50 and p99", f"{late['p50'] * 1e3:.2f} ms, {late['p99'] * 1e3:.1f} ms"),
        *((f"time: {name}", f"{seconds:.1f} s") for name, seconds in result.phases.items()),
        *((f"memory: {role}, peak", f"{size / 1e6:,.0f} MB") for role, size in result.peaks.bytes_by_role.items()),
        *((f"CPU: {role}", f"{seconds:.1f} s") for role, seconds in result.peaks.cpu_by_role.items()),
        ("the run folder", f"{result.folder_bytes / 1e6:,.0f} MB"),
    ]
    lines = ["| what | measured |", "| --- | ---: |", *(f"| {what} | {value} |" for what, value in rows)]
    where = f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores shared with nginx"
    return "\n".join([f"Measured by `python -m benchmarks.many_stations` ({where}):", "", *lines]) + "\n"


def main() -> int:
    """Measure and print; 1 if a page is missing, or the run ended without a verdict on its lateness."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the table into docs/explanation/measuring.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as path:
        result = measure(Path(path))
    sys.stdout.write(f"{result.output}\n\n{table(result)}\n")
    if options.write:
        write_block(MEASURING, "many stations", f"\n{table(result)}\n")
    return 0 if result.is_exact and result.exit_code in {ExitCode.PASSED, ExitCode.INVALID} else 1


if __name__ == "__main__":
    sys.exit(main())
