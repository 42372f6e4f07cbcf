"""hey: Go, a number of workers, each held to a rate by a ticker whose missed ticks are dropped."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass

from harness.bench.peers.tool import Job, Reading, UnreadableOutputError, asked, tail

_QUANTILE = re.compile(r"^\s*(50|90|95|99)% in ([\d.]+) secs", re.MULTILINE)
_SLOWEST = re.compile(r"^\s*Slowest:\s+([\d.]+) secs", re.MULTILINE)
_STATUS = re.compile(r"^\s*\[(\d{3})\]\s+(\d+) responses", re.MULTILINE)
_ERROR = re.compile(r"^\s*\[(\d+)\]\s+\S+ \S*https?:", re.MULTILINE)


@dataclass(frozen=True)
class Hey:
    """Tells no p99.9, and a tenth of a millisecond at best."""

    name: str = "hey"
    advice: str = "apt-get install hey"
    keeps_rate: bool = True
    marker: bytes = b""

    def find(self) -> str | None:
        """On the path."""
        return shutil.which("hey")

    def version(self, binary: str) -> str:
        """It tells none itself: its Debian package does."""
        found = re.search(r"^Version: (\S+)", asked("dpkg", "-s", "hey") if shutil.which("dpkg") else "", re.MULTILINE)
        return found[1] if found and binary == "/usr/bin/hey" else "unknown"

    def command(self, binary: str, job: Job) -> list[str]:
        """`-q` is the rate of one worker."""
        rate = [] if job.rate_per_s is None else ["-q", f"{job.rate_of_one:g}"]
        length = ["-z", f"{job.duration_s:g}s", "-c", str(job.connections), *rate]
        return [binary, *length, "-m", "PUT", "-D", str(job.body), f"{job.url}/"]

    def environment(self, job: Job) -> dict[str, str]:  # noqa: ARG002 - the interface's
        """None."""
        return {}

    def read(self, output: str, job: Job) -> Reading:  # noqa: ARG002 - the interface's
        """Its summary."""
        statuses = [(int(status), int(count)) for status, count in _STATUS.findall(output)]
        broken = sum(int(count) for count in _ERROR.findall(output))
        slowest = _SLOWEST.search(output)
        if slowest is None or not (statuses or broken):
            raise UnreadableOutputError(tail(output))
        failed = broken + sum(count for status, count in statuses if status >= 300)
        seconds = {f"p{percent}": float(value) for percent, value in _QUANTILE.findall(output)}
        if statuses:  # else its greatest is a zero that nobody has measured
            seconds["max"] = float(slowest[1])
        return Reading(broken + sum(count for _, count in statuses), failed, seconds)


TOOL = Hey()
