"""Who plays when: in every round every load, and in every load every tool that is there, one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from benchmarks.peers.round import CoreSplit, ToolRun, run_tool
from benchmarks.peers.tools import TOOLS, Tool
from benchmarks.peers.tools.tool import ToolJob, UnreadableOutputError
from harness.base.errors import ProcessFailedError


class LoadCase(Protocol):
    """What tools are held against each other by."""

    @property
    def name(self) -> str:
        """Short."""

    @property
    def title(self) -> str:
        """As it is told."""

    @property
    def rate_per_s(self) -> float | None:
        """Attempts that fall due a second; None: as fast as a tool can."""


CaseT = TypeVar("CaseT", bound=LoadCase)
MeasuredT = TypeVar("MeasuredT")


@dataclass(frozen=True)
class Trial:
    """One tool's turn in a round."""

    tool: Tool
    binary: str
    number: int
    """Of the round, from 0."""
    seconds: float
    folder: Path
    """Its own."""
    cores: CoreSplit

    def play(
        self, url: str, load: LoadCase, size_bytes: int, seconds: float, connections: int
    ) -> tuple[ToolJob, ToolRun]:
        """Let the tool send that load to a server, in bodies of random bytes. Raises as `benchmarks.peers.round.play` does."""
        body = self.folder / "body"
        body.write_bytes(os.urandom(size_bytes))
        rate = load.rate_per_s if self.tool.keeps_rate else None
        job = ToolJob(url, body, seconds, connections, self.folder, rate)
        return job, run_tool(self.tool, self.binary, job, self.cores)


@dataclass(frozen=True)
class TrialSchedule:
    """What all turns have in common."""

    binaries: Mapping[str, str]
    """Tool -> path, of those that are there."""
    rounds: int
    seconds: float
    """Length of a turn."""
    folder: Path
    cores: CoreSplit
    say: Callable[[str], None]
    fail: Callable[[str], None]
    """Hears of a tool that failed in a round."""

    def take(
        self,
        loads: Sequence[CaseT],
        plays: Callable[[Tool, CaseT, int], bool],
        one: Callable[[Trial, CaseT], MeasuredT],
    ) -> Iterator[tuple[CaseT, MeasuredT]]:
        """What `one` makes of each turn; the turn of a tool that fails is missing.

        `plays`: whether a tool has a turn at a load, in the round of that number.
        """
        for number in range(self.rounds):
            for load in loads:
                for tool in TOOLS:
                    if tool.name not in self.binaries or not plays(tool, load, number):
                        continue
                    folder = self.folder / f"{_file_name(load.name)}-{number}-{_file_name(tool.name)}"
                    folder.mkdir(parents=True)
                    turn = Trial(tool, self.binaries[tool.name], number, self.seconds, folder, self.cores)
                    try:
                        seen = one(turn, load)
                    except (ProcessFailedError, UnreadableOutputError, ValueError) as error:
                        self.fail(f"{load.title}, round {number + 1}: {tool.name}: {error}")
                        continue
                    yield load, seen


def _file_name(name: str) -> str:
    """A name as part of a file's.

    >>> _plain("3,000/s, frozen")
    '3-000-s--frozen'
    """
    return name.translate({ord(character): "-" for character in "/, "})
