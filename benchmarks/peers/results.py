"""What a benchmark measured, as one record: results.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from benchmarks.peers.accuracy import AccuracyRound
from benchmarks.peers.cost import CostRound
from benchmarks.results_file import read_results, write_results

FORMAT = 1


class Peer(BaseModel):
    """A tool, and whether it is installed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str | None
    """None: not installed."""
    advice: str
    """The command that installs it."""


class Results(BaseModel):
    """Every round of every tool, the machine they ran on, and the trials that failed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    at: str
    """UTC, ISO 8601."""
    host: Mapping[str, str | int]
    load_average: float
    """Over the minute before the benchmark began: near 0 on a quiet machine."""
    generator_cores: list[int]
    server_cores: list[int]
    rounds: int
    seconds: float
    """Length of a round."""
    peers: list[Peer]
    truth: list[AccuracyRound]
    cost: list[CostRound]
    failures: list[str]
    """Trials that are missing, and why."""

    @property
    def missing(self) -> list[Peer]:
        """Tools that are not installed."""
        return [peer for peer in self.peers if peer.version is None]


def write(path: Path, results: Results) -> None:
    """Write the results as JSON."""
    write_results(path, results)


def read(path: Path) -> Results:
    """Read what `write` wrote. Raises UsageError for anything else."""
    return read_results(path, Results, "a results.json of the benchmark")
