"""The seeds that a search has played, on disk: the same command goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from harness import __version__
from harness.analysis.capacity import PlayedSeed
from harness.base.errors import RunFolderError, UsageError
from harness.base.safe_files import load_json, write_json
from harness.scenario.scenario import Scenario

SEARCH_FILE, SEEDS_FILE = "search.json", "seeds.jsonl"


class PlayedAt(NamedTuple):
    """Where a seed was played."""

    condition: str
    load: float
    value: str


class _SearchRecord(BaseModel):
    """What the seeds of a folder belong to."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    format: int = 1
    version: str
    scenario: dict[str, Any]
    goal: list[str]
    key: str

    @property
    def digest(self) -> str:
        """Equal for searches that may share their seeds."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()


class PlayedSeeds:
    """The seeds in a folder, by condition, load and value. What is added is on disk at once."""

    def __init__(self, folder: Path, scenario: Scenario, goal: Sequence[str], key: str) -> None:
        """Reads what an earlier search of the same scenario, goal and key has left.

        Raises UsageError if the folder belongs to another search.
        """
        self._path = folder / SEEDS_FILE
        self._seeds: dict[PlayedAt, dict[int, PlayedSeed]] = {}
        wanted = _SearchRecord(version=__version__, scenario=scenario.resolved(), goal=list(goal), key=key)
        folder.mkdir(parents=True, exist_ok=True)
        found = load_json(folder / SEARCH_FILE, _SearchRecord)
        if found is None:
            if any(folder.iterdir()):
                message = f"{folder} is not empty and is not the folder of a capacity search: choose another --out"
                raise UsageError(message)
            write_json(folder / SEARCH_FILE, wanted.model_dump(mode="json"))
        elif found.digest != wanted.digest:
            message = f"{folder} has a search of another scenario, goal, key or version: choose another --out"
            raise UsageError(message)
        self._read()

    @property
    def count(self) -> int:
        """How many seeds are known."""
        return sum(len(seeds) for seeds in self._seeds.values())

    def at(self, where: PlayedAt) -> dict[int, PlayedSeed]:
        """The seeds that were played there."""
        return self._seeds.setdefault(where, {})

    def add(self, where: PlayedAt, played: PlayedSeed) -> None:
        """Keep a seed."""
        self.at(where)[played.seed] = played
        line = {**where._asdict(), "played": played.model_dump(mode="json")}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")

    def _read(self) -> None:
        if not self._path.exists():
            return
        text = self._path.read_text("utf-8")
        whole, _, torn = text.rpartition("\n")
        if torn:  # the last line of a search that was killed while it wrote
            self._path.write_text(f"{whole}\n" if whole else "", "utf-8")
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                content = json.loads(line)
                played = PlayedSeed.model_validate(content["played"])
                where = PlayedAt(str(content["condition"]), float(content["load"]), str(content["value"]))
            except (ValueError, KeyError, TypeError, ValidationError):
                message = f"{self._path}, line {number}, can't be read: remove the file to play its seeds again"
                raise RunFolderError(message) from None
            self.at(where)[played.seed] = played
