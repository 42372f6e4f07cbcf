"""The schema of map.json: where a scenario recovers from its faults and where it stays down. harness/capacity/ fills it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict

from harness.analysis.capacity import PlayedSeed

CellState = Literal["recovers", "stays_down", "overloaded", "unknown"]


class _MapModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class MapAxis(_MapModel):
    """A key and the values that it takes on the map, in their order."""

    key: str
    """A key of the scenario, or "load"."""
    values: list[str]


class MapCell(_MapModel):
    """One point of the map."""

    at: list[str]
    """The value of each axis, in their order."""
    state: CellState
    """Recovers: the goal is met with the faults. Stays down: only without them. Overloaded: not even without. Unknown: not played."""
    bears_met: int
    bears_seeds: int
    """In how many of how many seeds the goal was met without the faults."""
    recovers_met: int
    recovers_seeds: int
    """The same with the faults; none if it is not met without them."""
    completed_ratio: float | None
    """Share of the stations that were complete by the deadline: the median of the seeds with the faults, else without."""
    measured: list[PlayedSeed] = []
    """The runs for real, INVALID ones among them."""

    @property
    def agrees(self) -> bool | None:
        """Whether the measured run came out as the simulation says; None if nothing valid was measured."""
        met = next((run.met for run in self.measured if run.met is not None), None)
        return None if met is None else met == (self.state == "recovers")


class MapFigures(_MapModel):
    """The content of map.json."""

    format: int = 1
    """Version of the file format: raised by a change that breaks readers, not by a new key."""
    name: str
    title: str
    axes: list[MapAxis]
    """Two, or three: then the first one has a panel per value."""
    faults: list[str]
    goal: list[str]
    left_out: list[str]
    """Thresholds that are not judged without the faults, because they refer to one."""
    first_seed: int
    cells: list[MapCell]
    """In the order of the axes, the last one fastest."""
    is_complete: bool
    """False if the map was interrupted or its budget spent: then some cells are unknown."""
    exit_code: int
    why_unknown: str = ""
    """Why nobody can tell (exit code 3); empty otherwise."""

    @property
    def confirmed(self) -> list[MapCell]:
        """The cells with a valid measured run."""
        return [cell for cell in self.cells if cell.agrees is not None]


def boundary_pairs(cells: Sequence[MapCell], axes: Sequence[MapAxis], column: int) -> Iterator[tuple[MapCell, MapCell]]:
    """Pairs of neighbours along the axis number `column` of which one recovers and the other does not."""
    at = {tuple(cell.at): cell for cell in cells}
    for cell in cells:
        if cell.at[column] != axes[column].values[0]:
            continue  # the first cell of each line
        line = [at[(*cell.at[:column], value, *cell.at[column + 1 :])] for value in axes[column].values]
        yield from (
            (one, other)
            for one, other in pairwise(line)
            if "unknown" not in {one.state, other.state} and (one.state == "recovers") != (other.state == "recovers")
        )
