"""wrk: C, one epoll loop a thread, a fixed number of connections, each asking again as soon as it is answered.

One thread; knows no rate.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from benchmarks.peers.tools.tool import Tool, ToolJob, ToolReport, capture_output, first_match

_SCRIPT = Path(__file__).with_name("wrk.lua")
_NAMES = {"50": "p50", "90": "p90", "95": "p95", "99": "p99", "99.9": "p99_9", "max": "max"}


def _command(binary: str, job: ToolJob) -> list[str]:
    """Whole seconds: it takes no others."""
    length = [f"-c{job.connections}", f"-d{math.ceil(job.duration_s)}s", "--timeout", "10s"]
    return [binary, "-t1", *length, "-s", str(_SCRIPT), f"{job.url}/"]


def _told(output: str, _: ToolJob) -> ToolReport:
    """Our script's last line; microseconds."""
    said = json.loads(output.strip().splitlines()[-1])
    return ToolReport(said["requests"], said["errors"], {name: said[key] / 1e6 for key, name in _NAMES.items()})


TOOL = Tool(
    name="wrk",
    advice="apt-get install wrk",
    keeps_rate=False,
    program="wrk",
    version=lambda binary: first_match(
        r"wrk (?:debian/)?(\S+)", capture_output(binary, "-v")
    ),  # an error follows what it says
    command=_command,
    environment=lambda job: {"BENCH_BODY": str(job.body)},
    told=_told,
)
