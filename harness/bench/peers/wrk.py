"""wrk: C, one epoll loop a thread, a fixed number of connections, each asking again as soon as it is answered."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.bench.peers.tool import Job, Reading, UnreadableOutputError, asked, first_match, tail

_SCRIPT = Path(__file__).with_name("wrk.lua")
_NAMES = {"50": "p50", "90": "p90", "95": "p95", "99": "p99", "99.9": "p99_9", "max": "max"}


@dataclass(frozen=True)
class Wrk:
    """One thread; knows no rate."""

    name: str = "wrk"
    advice: str = "apt-get install wrk"
    keeps_rate: bool = False
    marker: bytes = b""

    def find(self) -> str | None:
        """On the path."""
        return shutil.which("wrk")

    def version(self, binary: str) -> str:
        """`wrk -v` ends with an error, having said it."""
        return first_match(r"wrk (?:debian/)?(\S+)", asked(binary, "-v"))

    def command(self, binary: str, job: Job) -> list[str]:
        """Whole seconds: it takes no others."""
        length = [f"-c{job.connections}", f"-d{math.ceil(job.duration_s)}s", "--timeout", "10s"]
        return [binary, "-t1", *length, "-s", str(_SCRIPT), f"{job.url}/"]

    def environment(self, job: Job) -> dict[str, str]:
        """Where our script finds the body."""
        return {"BENCH_BODY": str(job.body)}

    def read(self, output: str, job: Job) -> Reading:  # noqa: ARG002 - the interface's
        """Our script's last line; microseconds."""
        try:
            said = json.loads(output.strip().splitlines()[-1])
            seconds = {name: said[key] / 1e6 for key, name in _NAMES.items()}
            return Reading(said["requests"], said["errors"], seconds)
        except (IndexError, ValueError, KeyError, TypeError):
            raise UnreadableOutputError(tail(output)) from None


TOOL = Wrk()
