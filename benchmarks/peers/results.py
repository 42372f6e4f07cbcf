"""What a benchmark measured, as one record: results.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.peers.accuracy import AccuracyRound
from benchmarks.peers.cost import CostRound
from harness.base.errors import UsageError

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
    path.write_text(results.model_dump_json(indent=1, by_alias=True) + "\n", "utf-8")


def read(path: Path) -> Results:
    """Read what `write` wrote. Raises UsageError for anything else."""
    try:
        return Results.model_validate_json(path.read_bytes())
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise UsageError(message) from None
    # the first error is enough: results of another format fail in every field
    except ValidationError as error:
        message = f"{path}: not a results.json of the benchmark: {error.errors()[0]['msg']}"
        raise UsageError(message) from None
