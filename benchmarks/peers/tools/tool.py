"""What a load generator is to the bench: a command line for a job, and what its own output says afterwards."""

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
    """One round's work, the same for every tool: PUT this body to this URL."""

    url: str
    """An origin; what path is taken doesn't matter to the servers of the bench."""
    body: Path
    duration_s: float
    connections: int
    """Connections (users, workers) that a tool with a fixed number of them gets."""
    folder: Path
    """Where a tool may put its files."""
    rate_per_s: float | None = None
    """Attempts that fall due a second; None: as fast as its connections can."""

    @property
    def rate_of_one(self) -> float:
        """What one of the connections has to do a second to keep the rate. Raises ValueError at saturation."""
        if self.rate_per_s is None:
            message = "at saturation there is no rate"
            raise ValueError(message)
        return self.rate_per_s / self.connections


@dataclass(frozen=True)
class ToolReport:
    """What a tool says of its round. Seconds; what it doesn't tell is missing."""

    count: int
    """Requests that it made, whatever became of them."""
    errors: int
    """Answers that were no success, connections that failed, and iterations that were dropped."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Response times by the names of `PERCENTILES`, and `max`."""


class UnreadableOutputError(ValueError):
    """A tool's output is not what its version should print; the text is its tail."""


@dataclass(frozen=True)
class Tool:
    """A load generator: what is its own stands here as data, how it is found, asked and understood is the same for all."""

    name: str
    """What tables call it."""
    advice: str
    """How to get it."""
    keeps_rate: bool
    """Whether it can be told a rate; one that can't is always run at saturation."""
    command: Callable[[str, ToolJob], list[str]]
    """Of its binary: the command line for a job; may write files into the job's folder."""
    told: Callable[[str, ToolJob], ToolReport]
    """What its stdout, or the job's folder, says of a job that is over; may raise what reading something else raises."""
    version: Callable[[str], str]
    """Of its binary."""
    program: str = ""
    """Its binary's name; "": it is a package of this environment, and its binary is Python."""
    environment: Callable[[ToolJob], dict[str, str]] = lambda _: {}
    """Variables that the command needs beside our own."""
    is_floor: bool = False
    """It measures nothing itself: only what it costs can be compared."""
    marker: bytes = b""
    """What stands in the command line of those of its processes that send; b"": all of them do."""

    def find(self) -> str | None:
        """Path of its binary, in this environment or on the path; None if it isn't installed."""
        if not self.program:
            return sys.executable
        own = Path(sys.executable).with_name(self.program)
        return str(own) if own.exists() else shutil.which(self.program)

    def read(self, output: str, job: ToolJob) -> ToolReport:
        """What it says of a job that is over, from its stdout or the job's folder. Raises UnreadableOutputError."""
        try:
            return self.told(output, job)
        except (LookupError, ValueError, TypeError, AttributeError, OSError):
            raise UnreadableOutputError(tail(output)) from None


def first_match(pattern: str, text: str) -> str:
    """The first group of a pattern that has to be there. Raises UnreadableOutputError."""
    found = re.search(pattern, text)
    if found is None:
        raise UnreadableOutputError(tail(text))
    return found[1]


def tail(text: str) -> str:
    """The end of an output, for a message."""
    return text[-600:].strip() or "it printed nothing"


def capture_output(*command: str) -> str:
    """What a tool prints when it is asked who it is, on either stream."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout + done.stderr
