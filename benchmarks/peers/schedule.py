"""The order of trials: in every round every case, and in every case every installed tool, one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from benchmarks.peers.round import CoreSplit, ToolRun, run_tool
from benchmarks.peers.tools import bare, ours
from benchmarks.peers.tools.others import HEY, K6, PLAIN_LOCUST, WRK
from benchmarks.peers.tools.tool import Tool, ToolJob, UnreadableOutputError
from harness.base.errors import ProcessFailedError

TOOLS: tuple[Tool, ...] = (ours.TOOL, K6, WRK, HEY, PLAIN_LOCUST, bare.TOOL)


class LoadCase(Protocol):
    """A load under which tools are compared."""

    @property
    def name(self) -> str:
        """Short name, the key in results.json."""

    @property
    def title(self) -> str:
        """Name for tables."""

    @property
    def rate_per_s(self) -> float | None:
        """Attempts that fall due per second; None: as fast as a tool can."""


CaseT = TypeVar("CaseT", bound=LoadCase)
MeasuredT = TypeVar("MeasuredT")


@dataclass(frozen=True)
class Trial:
    """One tool in one case of one round."""

    tool: Tool
    binary: str
    number: int
    """Of the round, from 0."""
    seconds: float
    folder: Path
    """For the files of this trial alone."""
    cores: CoreSplit

    def run(
        self, url: str, case: LoadCase, size_bytes: int, seconds: float, connections: int
    ) -> tuple[ToolJob, ToolRun]:
        """Let the tool send bodies of random bytes to a server. Raises as `run_tool` does."""
        body = self.folder / "body"
        # random bytes: nothing on the way can compress them
        body.write_bytes(os.urandom(size_bytes))
        # a tool without a rate runs as fast as it can, with a number of connections that keeps about the rate
        rate = case.rate_per_s if self.tool.keeps_rate else None
        job = ToolJob(url, body, seconds, connections, self.folder, rate)
        return job, run_tool(self.tool, self.binary, job, self.cores)


@dataclass(frozen=True)
class TrialSchedule:
    """What all trials of a benchmark have in common."""

    binaries: Mapping[str, str]
    """Tool -> path, of the installed tools."""
    rounds: int
    seconds: float
    """Length of a trial."""
    folder: Path
    cores: CoreSplit
    log: Callable[[str], None]
    report_failure: Callable[[str], None]
    """Called for each trial that failed."""

    def run_trials(
        self,
        cases: Sequence[CaseT],
        takes_part: Callable[[Tool, CaseT, int], bool],
        measure: Callable[[Trial, CaseT], MeasuredT],
    ) -> Iterator[tuple[CaseT, MeasuredT]]:
        """Yield what `measure` returns for each trial; a trial that fails is reported and left out.

        `takes_part(tool, case, number)`: whether a tool takes part in a case in the round of that number. Tools alternate
        within a round, so that a disturbance of the machine affects all of them and not one tool's rounds.
        """
        for number in range(self.rounds):
            for case in cases:
                for tool in TOOLS:
                    if tool.name not in self.binaries or not takes_part(tool, case, number):
                        continue
                    folder = self.folder / f"{_file_name(case.name)}-{number}-{_file_name(tool.name)}"
                    folder.mkdir(parents=True)
                    trial = Trial(tool, self.binaries[tool.name], number, self.seconds, folder, self.cores)
                    try:
                        measured = measure(trial, case)
                    except (ProcessFailedError, UnreadableOutputError, ValueError) as error:
                        self.report_failure(f"{case.title}, round {number + 1}: {tool.name}: {error}")
                        continue
                    yield case, measured


def _file_name(name: str) -> str:
    """The name with every character replaced that is awkward in a file name.

    >>> _file_name("3,000/s, frozen")
    '3-000-s--frozen'
    """
    return name.translate({ord(character): "-" for character in "/, "})
