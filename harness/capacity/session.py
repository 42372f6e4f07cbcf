"""One capacity search or map from its request to its figures: played in virtual time, then confirmed by runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.analysis.capacity import CapacityFigures, PlayedSeed
from harness.analysis.capacity_map import MapCell, MapFigures
from harness.analysis.sustained import SustainedFigures
from harness.base.signals import SignalHandler
from harness.capacity.confirmation import RUNS_PER_LEVEL
from harness.capacity.figures import CapacityResults, confirm_searches
from harness.capacity.map import (
    FIRM_SEEDS,
    MapPlayer,
    MapRequest,
    choose_measured,
    column_of,
    map_figures,
    measure_cell,
)
from harness.capacity.measured import MeasuredRuns, measure_level
from harness.capacity.planner import CapacityPlanner, FinishedSearch, describe_so_far
from harness.capacity.request import CapacityRequest, ConditionName
from harness.capacity.search import SearchInterruptedError
from harness.capacity.target_capacity import TargetProber, TargetRequest, check_target_folder, run_target
from harness.capacity.twin import Twin
from harness.runner.live_stats import RunView
from reports.capacity_map import STATES


@dataclass(frozen=True)
class SearchSession:
    """Where a search writes, what it reports to, and what may interrupt it."""

    folder: Path
    command: list[str]
    view: Callable[[str], RunView]
    log: Callable[[str], None]
    """Gets a line for each thing that becomes known."""
    signals: SignalHandler
    simulate_only: bool = False
    report: bool = True
    """Draw the charts and the page of each measured run."""

    def is_interrupted(self) -> bool:
        """Whether a signal has come."""
        return self.signals.received is not None


def run_search(request: CapacityRequest, session: SearchSession) -> CapacityFigures:
    """Search in virtual time, then confirm by runs what was found for the scenario's own load."""
    with Twin() as twin:
        planner = CapacityPlanner(
            request, session.folder, twin, log=session.log, is_interrupted=session.is_interrupted
        )  # fmt: skip
        searches = planner.search()
        confirmed = [] if session.simulate_only else [one for one in searches if one.load.load == request.main_load]
        for found in confirmed:
            planner.firm_up(found)
    # the processes of the twin have ended: what is measured has the machine for itself
    runs = MeasuredRuns(
        session.folder, session.command, session.view, session.log, session.signals, planner.check_time,
        report=session.report, left=_runs_needed(confirmed),
    )  # fmt: skip
    brackets = {
        (found.load.condition, found.load.load): describe_so_far(request.vary, found.decisions) for found in confirmed
    }
    measure = partial(measure_level, runs, request, lambda one: brackets[one.condition, one.load])
    confirmations = confirm_searches(confirmed, request, measure, planner.known)
    return CapacityResults(request, searches, planner.known, confirmations).figures()


def _runs_needed(searches: list[FinishedSearch]) -> int:
    """Runs if none is INVALID and none contradicts the twin: of the level that passes and of the one below, if there is one."""
    passing = [found.bracket.passes for found in searches if found.bracket.passes is not None]
    return RUNS_PER_LEVEL * sum(min(2, passes + 1) for passes in passing)


def run_against(request: TargetRequest, session: SearchSession, budget_s: float | None) -> SustainedFigures:
    """Find by real runs what a target sustains. Raises UsageError if it may not be loaded."""
    prober = TargetProber(
        request, session.folder, session.command, session.view, session.log, session.signals,
        deadline_check(budget_s, session.is_interrupted),
    )  # fmt: skip
    check_target_folder(session.folder, request)
    return run_target(request, prober)


def run_map(request: MapRequest, session: SearchSession, budget_s: float | None) -> MapFigures:
    """Play every cell in virtual time, then run a few on both sides of the boundary for real."""
    check_time = deadline_check(budget_s, session.is_interrupted)
    with Twin() as twin:
        player = MapPlayer(request, session.folder, twin, session.log, check_time)
        cells = player.play()
        chosen = [] if session.simulate_only else choose_measured(cells, request.axes, column_of(request.axes))
        for cell in chosen:
            player.firm_up(cell.at)
    runs = MeasuredRuns(
        session.folder, session.command, session.view, session.log, session.signals, check_time,
        report=session.report, left=len(chosen),
    )  # fmt: skip
    measured: dict[tuple[str, ...], list[PlayedSeed]] = {}
    try:
        for cell in chosen:
            measured[tuple(cell.at)] = measure_cell(partial(_run_cell, request, runs, cell, session.folder))
    except SearchInterruptedError:
        player.is_complete = False
    found = [player.cell(cell.at, measured.get(tuple(cell.at), [])) for cell in cells]
    return map_figures(request, found, is_complete=player.is_complete)


def _run_cell(request: MapRequest, runs: MeasuredRuns, cell: MapCell, folder: Path, number: int) -> PlayedSeed:
    condition: ConditionName = "bears" if cell.state == "overloaded" else "recovers"
    seed = request.scenario.seed + FIRM_SEEDS + number
    scenario = request.scenario_at(cell.at, condition, folder).model_copy(update={"seed": seed})
    what = f"measuring {', '.join(cell.at)}, which {STATES[cell.state]}"
    return runs.run(f"{condition}-{'-'.join(cell.at)}-{seed}", what, scenario, request.goals(condition)[0])


def deadline_check(
    budget_s: float | None, is_interrupted: Callable[[], bool], now: Callable[[], float] = time.monotonic
) -> Callable[[], None]:
    """Raises SearchInterruptedError when called after the budget is spent, or after an interruption."""
    ends_s = math.inf if budget_s is None else now() + budget_s

    def check() -> None:
        if is_interrupted() or now() >= ends_s:
            raise SearchInterruptedError

    return check
