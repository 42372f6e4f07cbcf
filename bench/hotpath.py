"""What an upload costs our generator: `python -m bench.hotpath [small] [photos] [saturated] [new]` (all of them: a minute).

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

from bench.generator import Measured, drive, scenario_of
from bench.sink import nginx
from harness.scenario import Scenario

_PAGES = 3
_SECONDS = 8.0


def small(folder: Path, seconds: float, rate: float = 3000.0, connection: str = "reuse") -> Scenario:
    """1 KB bodies, open loop."""
    return _scenario(folder, seconds, rate, "1KB", connection, "/small/{station}/{form}/{page}")


def photos(folder: Path, seconds: float, rate: float = 500.0) -> Scenario:
    """500 KB bodies, open loop."""
    return _scenario(folder, seconds, rate, "500KB", "reuse", "/whole/{station}/{form}/{page}")


def saturated(folder: Path, seconds: float, phones: int = 64, rate: float = 16_000.0) -> Scenario:
    """1 KB bodies, as fast as 64 phones can."""
    stations = int(rate * seconds / _PAGES)
    closed = {"kind": "closed", "phones": phones, "think": {"distribution": "fixed", "value": "0s"}}
    return scenario_of(
        folder, stations, {**_content(seconds, "1KB", "reuse", "/small/{station}/{form}/{page}"), "arrivals": closed}
    )


def _scenario(folder: Path, seconds: float, rate: float, size: str, connection: str, path: str) -> Scenario:
    arrivals = {"kind": "constant", "over": f"{seconds:g}s"}
    stations = int(rate * seconds / _PAGES)
    return scenario_of(folder, stations, {**_content(seconds, size, connection, path), "arrivals": arrivals})


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


def said(name: str, seen: Measured) -> str:
    """A line."""
    return (
        f"{name:10} {seen.attempts:7,} attempts, {seen.rate:8,.0f}/s, {seen.cpu_us:6.1f} us of CPU each, "
        f"{100 * seen.cpu_s / seen.over_s:3.0f} % of a core; late p50 {seen.late_ms(0.5):.2f} p99 {seen.late_ms(0.99):.2f} "
        f"max {seen.late_ms(1.0):.2f} ms; {seen.resident_bytes['peak'] / 1e6:.0f} MB; {seen.outcomes}"
    )


def main() -> None:
    """Measure and say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=[])
    parser.add_argument("--seconds", type=float, default=_SECONDS)
    parser.add_argument("--perf", type=Path)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with nginx(cores[-1]) as url, tempfile.TemporaryDirectory(prefix="bench-") as path:
        for name in options.cases or CASES:

            def watch(pids: list[int]) -> None:
                if options.perf:
                    command = [
                        "perf",
                        "record",
                        "-q",
                        "-g",
                        "-F",
                        "999",
                        "-o",
                        str(options.perf),
                        "-p",
                        str(pids[-1]),
                        "--",
                        "sleep",
                        f"{options.seconds}",
                    ]
                    subprocess.Popen(command, stderr=subprocess.DEVNULL)

            sys.stdout.write(
                said(name, drive(CASES[name](Path(path), options.seconds), url, cpus={cores[0]}, watch=watch)) + "\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
