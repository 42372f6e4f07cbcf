"""A map: where a scenario recovers from its faults and where it stays down, played in virtual time over two or three keys."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Protocol

from harness.analysis.capacity import PlayedSeed
from harness.analysis.capacity_map import CellState, MapAxis, MapCell, MapFigures, boundary_pairs
from harness.base.errors import ConfigurationError, ExitCode, UsageError
from harness.capacity.load import scale_load
from harness.capacity.map_axes import LOAD
from harness.capacity.played_seeds import PlayedAt, PlayedSeeds
from harness.capacity.request import ConditionName, judged_without_faults
from harness.capacity.search import SearchInterruptedError
from harness.judge.thresholds.evaluate import check_assertions
from harness.judge.thresholds.planned_run import planned_run
from harness.runner.simulated_run import check_simulation
from harness.scenario.scenario import Scenario

BEST_OF = 5
"""Seeds of a cell; it is decided when most of them agree."""
FIRM_SEEDS = 20
"""Seeds of a cell that is measured: only one in which all of them agree can be contradicted by a run."""
PAIRS = 2
"""Pairs of neighbours on both sides of the boundary that are measured."""
_MOST_RUNS = 3
"""Runs of a measured cell: an INVALID one is repeated."""


class Player(Protocol):
    """Plays seeds of a scenario; see `Twin.play`."""

    def play(self, scenario: Scenario, goal: Sequence[str], seeds: Sequence[int]) -> Generator[PlayedSeed]:
        """What each seed shows, in their order."""


@dataclass(frozen=True)
class MapRequest:
    """What is drawn."""

    source: str
    """Name of the scenario, for messages."""
    scenario: Scenario
    scenario_with: Callable[[Sequence[str]], Scenario]
    """The scenario with overrides. Raises ConfigurationError for a value that is not allowed."""
    axes: list[MapAxis]
    goal: tuple[str, ...]

    def check(self) -> None:
        """Raise UsageError or ConfigurationError for a map that can't be drawn, before the first seed is played."""
        if not self.scenario.faults:
            message = f"{self.source} has no faults to recover from: --map needs a scenario with [[faults]]"
            raise UsageError(message)
        check_assertions(self.goal, "--goal", planned_run(self.scenario))
        if not self.goals("bears")[0]:
            message = (
                f"every threshold of {self.source} refers to a fault: give one that also judges a run without faults, "
                "as in --goal 'stations.completed_by_deadline_ratio >= 95%'"
            )
            raise UsageError(message)
        for axis in self.axes:
            for value in axis.values:
                check_simulation(self.source, self._scenario([axis.key], [value]))
            scenarios = [self._scenario([axis.key], [value]).resolved() for value in axis.values]
            if axis.key != LOAD and all(one == scenarios[0] for one in scenarios):
                raise ConfigurationError(self.source, [f"{axis.key} does not change the scenario"])

    def goals(self, condition: ConditionName) -> tuple[list[str], list[str]]:
        """The thresholds that are judged under a condition, and those that are left out."""
        if condition == "recovers":
            return list(self.goal), []
        return judged_without_faults(self.goal, self.scenario)

    def scenario_at(self, at: Sequence[str], condition: ConditionName, folder: Path) -> Scenario:
        """The scenario of a cell; a region with more stations than the scenario's is written into `folder`."""
        keys = [axis.key for axis in self.axes]
        scenario = self._scenario(keys, at)
        if condition == "bears":
            scenario = scenario.model_copy(update={"faults": ()})
        return scale_load(scenario, self.load(at), folder)

    def load(self, at: Sequence[str]) -> float:
        """The load of a cell."""
        loads = [float(value.removesuffix("x")) for axis, value in zip(self.axes, at, strict=True) if axis.key == LOAD]
        return loads[0] if loads else 1.0

    def place(self, at: Sequence[str], condition: ConditionName) -> PlayedAt:
        """Where the seeds of a cell are kept: without faults those of all values of a fault's key are the same."""
        parts = [
            f"{axis.key}={value}"
            for axis, value in zip(self.axes, at, strict=True)
            if axis.key != LOAD and not (condition == "bears" and axis.key.startswith("faults."))
        ]
        return PlayedAt(condition, self.load(at), " ".join(parts))

    def cells(self) -> list[tuple[str, ...]]:
        """The values of every cell, the last axis fastest."""
        return list(itertools.product(*(axis.values for axis in self.axes)))

    def _scenario(self, keys: Sequence[str], at: Sequence[str]) -> Scenario:
        return self.scenario_with([f"{key}={value}" for key, value in zip(keys, at, strict=True) if key != LOAD])


@dataclass
class MapPlayer:
    """Plays the cells of a map; what was played is kept in the folder, so that the same command goes on from there."""

    request: MapRequest
    folder: Path
    player: Player
    log: Callable[[str], None]
    check_time: Callable[[], None]
    """Raises SearchInterruptedError if nothing more is to be played."""
    is_complete: bool = True
    _seeds: PlayedSeeds = field(init=False)

    def __post_init__(self) -> None:
        request = self.request
        key = "map " + ",".join(axis.key for axis in request.axes)
        self._seeds = PlayedSeeds(self.folder, request.scenario, request.goal, key)

    def play(self) -> list[MapCell]:
        """Every cell, as far as the time allows."""
        cells: list[MapCell] = []
        places = self.request.cells()
        for number, at in enumerate(places, 1):
            if self.is_complete:
                try:
                    self._play_cell(at)
                except SearchInterruptedError:
                    self.is_complete = False
            cells.append(self.cell(at))
            if self.is_complete and number % len(self.request.axes[-1].values) == 0:
                self.log(self._describe_line(cells, number, len(places)))
        return cells

    def firm_up(self, at: Sequence[str]) -> None:
        """Play a cell more often: a few seeds say too little to be held against a run."""
        try:
            for condition in self._needed(at):
                self._fill(at, condition, FIRM_SEEDS)
        except SearchInterruptedError:
            pass  # then it says less

    def cell(self, at: Sequence[str], measured: Sequence[PlayedSeed] = ()) -> MapCell:
        """What is known of a cell."""
        bears, recovers = self._known(at, "bears"), self._known(at, "recovers")
        judged = recovers or bears
        ratios = [seed.completed_ratio for seed in judged if seed.completed_ratio is not None]
        return MapCell(
            at=list(at),
            state=_state(bears, recovers),
            bears_met=_met(bears),
            bears_seeds=len(bears),
            recovers_met=_met(recovers),
            recovers_seeds=len(recovers),
            completed_ratio=median(ratios) if ratios else None,
            measured=list(measured),
        )

    def _play_cell(self, at: Sequence[str]) -> None:
        self._fill(at, "bears", BEST_OF)
        if _state(self._known(at, "bears"), []) != "overloaded":
            self._fill(at, "recovers", BEST_OF)

    def _fill(self, at: Sequence[str], condition: ConditionName, most: int) -> None:
        """Play seeds until there are `most`, or until most of them must agree."""
        request = self.request
        goal, _ = request.goals(condition)
        first = request.scenario.seed
        for begin, end in ((0, BEST_OF // 2 + 1), (BEST_OF // 2 + 1, BEST_OF), (BEST_OF, most)):
            known = self._known(at, condition)
            if len(known) >= most or (most == BEST_OF and _is_decided(known)):
                return
            there = {seed.seed for seed in known}
            waiting = [seed for seed in range(first + begin, first + end) if seed not in there]
            if not waiting:
                continue
            self.check_time()
            scenario = request.scenario_at(at, condition, self.folder)
            with closing(self.player.play(scenario, goal, waiting)) as played:
                for one in played:
                    self._seeds.add(request.place(at, condition), one)
                    self.check_time()

    def _known(self, at: Sequence[str], condition: ConditionName) -> list[PlayedSeed]:
        known = self._seeds.at(self.request.place(at, condition))
        return [known[seed] for seed in sorted(known)]

    def _needed(self, at: Sequence[str]) -> tuple[ConditionName, ...]:
        return ("recovers",) if self._known(at, "recovers") else ("bears",)

    def _describe_line(self, cells: Sequence[MapCell], number: int, total: int) -> str:
        line = cells[-len(self.request.axes[-1].values) :]
        counts = ", ".join(
            f"{sum(cell.state == state for cell in line)} {name}"
            for state, name in (("recovers", "recover"), ("stays_down", "stay down"), ("overloaded", "overloaded"))
        )
        where = ", ".join(line[0].at[:-1])
        return f"{number} of {total} cells; {where}: {counts}"


def _met(seeds: Sequence[PlayedSeed]) -> int:
    return sum(seed.met is True for seed in seeds)


def _is_decided(seeds: Sequence[PlayedSeed]) -> bool:
    most = BEST_OF // 2 + 1
    return _met(seeds) >= most or sum(seed.met is False for seed in seeds) >= most


def _state(bears: Sequence[PlayedSeed], recovers: Sequence[PlayedSeed]) -> CellState:
    """What most of the seeds show."""
    if 2 * _met(bears) <= sum(seed.met is not None for seed in bears) and bears:
        return "overloaded" if any(seed.met is not None for seed in bears) else "unknown"
    votes = [seed.met for seed in recovers if seed.met is not None]
    if not votes:
        return "unknown"
    return "recovers" if 2 * sum(votes) > len(votes) else "stays_down"


def choose_measured(cells: Sequence[MapCell], axes: Sequence[MapAxis], column: int) -> list[MapCell]:
    """A few cells on both sides of the boundary, of lines as far from each other as possible."""
    pairs = list(boundary_pairs(cells, axes, column))
    # where it stays down although the load could be borne is what the map is about
    down = [pair for pair in pairs if any(cell.state == "stays_down" for cell in pair)] or pairs
    places = sorted({round(place * (len(down) - 1) / max(PAIRS - 1, 1)) for place in range(PAIRS)}) if down else []
    chosen = {tuple(cell.at): cell for place in places for cell in down[place]}
    return list(chosen.values())


def column_of(axes: Sequence[MapAxis]) -> int:
    """The axis that runs to the right: the load if it is on the map, else the second one."""
    keys = [axis.key for axis in axes]
    return keys.index(LOAD) if LOAD in keys else 1


def measure_cell(run: Callable[[int], PlayedSeed]) -> list[PlayedSeed]:
    """One valid run of a cell; `run` gets the number of the try. An INVALID run is repeated."""
    runs: list[PlayedSeed] = []
    while len(runs) < _MOST_RUNS and not any(one.met is not None for one in runs):
        runs.append(run(len(runs) + 1))
    return runs


def map_figures(request: MapRequest, cells: list[MapCell], *, is_complete: bool) -> MapFigures:
    """The content of map.json. Exit code 3 if a run contradicts a cell in which all seeds agreed, none is valid, or cells are missing."""
    contradicted = [cell for cell in cells if cell.agrees is False and _is_unanimous(cell)]
    why = ""
    if contradicted:
        why = f"a measured run at {', '.join(contradicted[0].at)} came out otherwise than all simulated ones"
    elif not is_complete:
        why = "the map was interrupted, or its budget spent, before every cell was played"
    elif any(cell.measured for cell in cells) and not any(cell.agrees is not None for cell in cells):
        why = "every measured run was INVALID"
    elif all(cell.state == "unknown" for cell in cells):
        why = "no seed of any cell could be judged"
    return MapFigures(
        name=request.scenario.name,
        title=request.scenario.title,
        axes=request.axes,
        faults=[fault.name for fault in request.scenario.faults],
        goal=list(request.goal),
        left_out=request.goals("bears")[1],
        first_seed=request.scenario.seed,
        cells=cells,
        is_complete=is_complete,
        exit_code=ExitCode.INVALID if why else ExitCode.PASSED,
        why_unknown=why,
    )


def _is_unanimous(cell: MapCell) -> bool:
    met, seeds = (cell.recovers_met, cell.recovers_seeds) if cell.recovers_seeds else (cell.bears_met, cell.bears_seeds)
    return seeds >= FIRM_SEEDS and met in {0, seeds}
