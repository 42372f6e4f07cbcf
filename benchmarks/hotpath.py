"""What an upload costs our generator: `python -m benchmarks.hotpath [small] [photos] [saturated] [new]` (all of them: a minute).

Against nginx as a sink, the generator on the first core and nginx on the last. `--perf FILE` records a profile besides.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.generator import run_generator
from benchmarks.peers.nginx_sink import UNREAD, running_nginx
from harness.runner.generator import PAGES_PER_STATION, GeneratorResult, synthetic_scenario
from harness.scenario.scenario import Scenario

_DURATION_S = 8.0
_PATH = "/{station}/{form}/{page}"
_SMALL = UNREAD + "{station}/{form}/{page}"


def small(folder: Path, seconds: float, rate: float = 3000.0, connection: str = "reuse") -> Scenario:
    """1 KB bodies, open loop."""
    return _scenario(folder, seconds, rate, "1KB", connection, _SMALL)


def photos(folder: Path, seconds: float, rate: float = 500.0) -> Scenario:
    """500 KB bodies, open loop."""
    return _scenario(folder, seconds, rate, "500KB", "reuse", _PATH)


def saturated(folder: Path, seconds: float, phones: int = 64, rate: float = 16_000.0) -> Scenario:
    """1 KB bodies, as fast as 64 phones can."""
    stations = int(rate * seconds / PAGES_PER_STATION)
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


def format_result(name: str, seen: GeneratorResult) -> str:
    """A line."""
    p50, p99, most = np.quantile(seen.lateness_s, [0.5, 0.99, 1.0]) * 1e3 if len(seen.lateness_s) else [np.nan] * 3
    return (
        f"{name:10} {seen.attempts:7,} attempts, {seen.per_s:8,.0f}/s, {1e6 * seen.cpu_s / max(1, seen.attempts):6.1f} us of "
        f"CPU each, {100 * seen.cpu_s / seen.over_s:3.0f} % of a core; late p50 {p50:.2f} p99 {p99:.2f} max {most:.2f} ms; "
        f"{seen.peak_bytes / 1e6:.0f} MB; {seen.outcomes}"
    )


def main() -> None:
    """Measure and say."""
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

            def watch(pids: list[int]) -> None:
                if options.perf:
                    profile = ["perf", "record", "-q", "-g", "-F", "999", "-o", str(options.perf), "-p", str(pids[-1])]
                    subprocess.Popen([*profile, "--", "sleep", f"{options.seconds}"], stderr=subprocess.DEVNULL)

            scenario = CASES[name](Path(path), options.seconds)
            seen = run_generator(scenario, sink.url, cpus=frozenset(cores[:1]), watch=watch)
            sys.stdout.write(format_result(name, seen) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
