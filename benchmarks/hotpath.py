"""CPU per upload of our generator: `python -m benchmarks.hotpath [small] [new] [saturated] [photos]` (all: a minute).

Against nginx, the generator on the first core and nginx on the last. `--perf FILE` records a profile as well.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.nginx_sink import UNREAD, running_nginx
from benchmarks.peers.round import pinned_to
from harness.run_folder.layout import RunFolder
from harness.runner.generator import PAGES_PER_STATION, GeneratorResult, LoadGenerator, synthetic_scenario
from harness.scenario.scenario import Scenario

_DURATION_S = 8.0
_PATH = "/{station}/{form}/{page}"
_SMALL = UNREAD + "{station}/{form}/{page}"


def run_generator(
    scenario: Scenario, target: str, workers: int = 1, cpus: frozenset[int] | None = None,
    on_t0: Callable[[list[int]], None] = lambda _: None,
) -> GeneratorResult:  # fmt: skip
    """Run the generator alone from start to end, in a temporary folder, on the cores `cpus` (None: any).

    `on_t0` is called at T0 with the ids of the generator's processes. Raises ProcessFailedError if it does not start, fails or
    does not end.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as path,
        LoadGenerator(scenario, target, RunFolder(Path(path) / "run"), workers) as generator,
    ):
        with pinned_to(cpus) if cpus else contextlib.nullcontext():
            generator.start()
        return generator.drive(on_t0)


def small(folder: Path, seconds: float, rate: float = 3000.0, connection: str = "reuse") -> Scenario:
    """1 KB bodies at a constant rate (open loop)."""
    return _scenario(folder, seconds, rate, "1KB", connection, _SMALL)


def photos(folder: Path, seconds: float, rate: float = 500.0) -> Scenario:
    """500 KB bodies at a constant rate (open loop)."""
    return _scenario(folder, seconds, rate, "500KB", "reuse", _PATH)


def saturated(folder: Path, seconds: float, phones: int = 64, rate: float = 16_000.0) -> Scenario:
    """1 KB bodies, as fast as 64 connections can (closed loop)."""
    # more stations than can be served, so that the phones never run out of work
    stations = int(rate * seconds / PAGES_PER_STATION)
    # without thinking time a closed loop is as fast as the server and the generator together
    closed = {"kind": "closed", "phones": phones, "think": {"distribution": "fixed", "value": "0s"}}
    return synthetic_scenario(folder, stations, {**_content(seconds, "1KB", "reuse", _SMALL), "arrivals": closed})


def _scenario(folder: Path, seconds: float, rate: float, size: str, connection: str, path: str) -> Scenario:
    arrivals = {"kind": "constant", "over": f"{seconds:g}s"}
    stations = int(rate * seconds / PAGES_PER_STATION)
    return synthetic_scenario(folder, stations, {**_content(seconds, size, connection, path), "arrivals": arrivals})


def _content(seconds: float, size: str, connection: str, path: str) -> dict[str, Any]:
    return {
        "deadline": f"{seconds + 4:g}s",
        "photos": {"size": {"distribution": "fixed", "value": size}, "bank": 4},
        "client": {"connection": connection, "timeout": "10s", "source_addresses": 4},
        "target": {"path": path},
    }


CASES = {
    "small": small,
    "new": lambda folder, seconds: small(folder, seconds, connection="new"),
    "saturated": saturated,
    "photos": photos,
}


def format_result(name: str, result: GeneratorResult) -> str:
    """The result as a line of text."""
    p50, p99, most = np.quantile(result.lateness_s, [0.5, 0.99, 1.0]) * 1e3 if len(result.lateness_s) else [np.nan] * 3
    return (
        f"{name:10} {result.attempts:7,} attempts, {result.per_s:8,.0f}/s, {1e6 * result.cpu_s / max(1, result.attempts):6.1f} us of "
        f"CPU each, {100 * result.cpu_s / result.over_s:3.0f} % of a core; late p50 {p50:.2f} p99 {p99:.2f} max {most:.2f} ms; "
        f"{result.resident_peak_bytes / 1e6:.0f} MB; {result.outcomes}"
    )


def main() -> None:
    """Measure and print a line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=[])
    parser.add_argument("--seconds", type=float, default=_DURATION_S)
    parser.add_argument("--perf", type=Path)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as path,
        running_nginx(Path(path) / "nginx", frozenset(cores[-1:])) as sink,
    ):
        for name in options.cases or CASES:

            def profile_worker(pids: list[int]) -> None:
                if options.perf:
                    # with one worker the last process is the one that sends; 999 Hz, because 1000 would sample in step with timers
                    profile = ["perf", "record", "-q", "-g", "-F", "999", "-o", str(options.perf), "-p", str(pids[-1])]
                    subprocess.Popen([*profile, "--", "sleep", f"{options.seconds}"], stderr=subprocess.DEVNULL)

            # the generator and nginx on different cores: sharing one would measure the scheduler
            scenario = CASES[name](Path(path), options.seconds)
            result = run_generator(scenario, sink.url, cpus=frozenset(cores[:1]), on_t0=profile_worker)
            sys.stdout.write(format_result(name, result) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
