"""hey: Go, a number of workers, each held to a rate by a ticker whose missed ticks are dropped.

Tells no p99.9, and a tenth of a millisecond at best.
"""

from __future__ import annotations

import re
import shutil

from benchmarks.peers.tools.tool import Tool, ToolJob, ToolReport, capture_output, first_match

_QUANTILE = re.compile(r"^\s*(50|90|95|99)% in ([\d.]+) secs", re.MULTILINE)
_SLOWEST = r"(?m)^\s*Slowest:\s+([\d.]+) secs"
_STATUS = re.compile(r"^\s*\[(\d{3})\]\s+(\d+) responses", re.MULTILINE)
_ERROR = re.compile(r"^\s*\[(\d+)\]\s+\S+ \S*https?:", re.MULTILINE)


def _version(binary: str) -> str:
    """It tells none itself: its Debian package does."""
    found = re.search(
        r"^Version: (\S+)", capture_output("dpkg", "-s", "hey") if shutil.which("dpkg") else "", re.MULTILINE
    )
    return found[1] if found and binary == "/usr/bin/hey" else "unknown"


def _command(binary: str, job: ToolJob) -> list[str]:
    """`-q` is the rate of one worker."""
    rate = [] if job.rate_per_s is None else ["-q", f"{job.rate_of_one:g}"]
    length = ["-z", f"{job.duration_s:g}s", "-c", str(job.connections), *rate]
    return [binary, *length, "-m", "PUT", "-D", str(job.body), f"{job.url}/"]


def _told(output: str, _: ToolJob) -> ToolReport:
    """Its summary."""
    statuses = [(int(status), int(count)) for status, count in _STATUS.findall(output)]
    broken = sum(int(count) for count in _ERROR.findall(output))
    slowest_s = float(first_match(_SLOWEST, output))
    if not (statuses or broken):
        message = "neither an answer nor an error"
        raise ValueError(message)
    failed = broken + sum(count for status, count in statuses if status >= 300)
    seconds = {f"p{percent}": float(value) for percent, value in _QUANTILE.findall(output)}
    if statuses:  # else its greatest is a zero that nobody has measured
        seconds["max"] = slowest_s
    return ToolReport(broken + sum(count for _, count in statuses), failed, seconds)


TOOL = Tool(
    name="hey",
    advice="apt-get install hey",
    keeps_rate=True,
    program="hey",
    version=_version,
    command=_command,
    told=_told,
)
