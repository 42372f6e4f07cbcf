"""What a bench has measured, as one record: results.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.peers.accuracy_figures import AccuracyRound
from benchmarks.peers.cost_figures import CostRound
from harness.base.errors import UsageError

FORMAT = 1


class Peer(BaseModel):
    """A tool, and whether it was there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str | None
    """None: not installed."""
    advice: str
    """How to get it."""


class Results(BaseModel):
    """Every round of every tool, the machine they ran on, and what went wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    at: str
    """UTC, ISO 8601."""
    host: Mapping[str, str | int]
    load_average: float
    """Of the minute before it began, what else the machine was doing: on a quiet one it is near 0."""
    generator_cores: list[int]
    server_cores: list[int]
    rounds: int
    seconds: float
    """Length of a round."""
    peers: list[Peer]
    truth: list[AccuracyRound]
    cost: list[CostRound]
    failures: list[str]
    """Rounds that are missing, and why."""

    @property
    def missing(self) -> list[Peer]:
        """Tools that were not there."""
        return [peer for peer in self.peers if peer.version is None]


def write(path: Path, results: Results) -> None:
    """As JSON."""
    path.write_text(results.model_dump_json(indent=1) + "\n", "utf-8")


def read(path: Path) -> Results:
    """What `write` wrote. Raises UsageError for anything else."""
    try:
        return Results.model_validate_json(path.read_bytes())
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise UsageError(message) from None
    except ValidationError as error:
        message = f"{path}: not the results of a bench: {error.errors()[0]['msg']}"
        raise UsageError(message) from None
