"""A bare gevent socket: one request made beforehand, sent and answered again and again; no plan, no journal, no metrics.

Not a tool that anybody would use: what is left when a generator in Python does nothing. How far ours is from it is what it
spends on knowing what it sends and on keeping what it saw.
"""

from __future__ import annotations

import json
from importlib.metadata import version as installed_version

from benchmarks.peers.tools.tool import Tool, ToolJob, ToolReport


def _command(binary: str, job: ToolJob) -> list[str]:
    rate = f"{job.rate_per_s or 0:g}"
    module = "benchmarks.peers.tools.bare_sender"
    return [binary, "-P", "-m", module, job.url, str(job.body), str(job.connections), rate, f"{job.duration_s:g}"]


def _told(output: str, _: ToolJob) -> ToolReport:
    counts = json.loads(output)
    return ToolReport(counts["requests"], counts["errors"])


TOOL = Tool(
    name="bare gevent socket",
    advice="pip install gevent",  # ours is built on it: it is always there
    keeps_rate=True,
    version=lambda _: installed_version("gevent"),
    command=_command,
    told=_told,
    is_floor=True,
)
