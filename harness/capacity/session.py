"""One capacity search from its request to its figures: played in virtual time, then confirmed by runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.analysis.capacity import CapacityFigures
from harness.base.signals import SignalHandler
from harness.capacity.confirmation import RUNS_PER_LEVEL
from harness.capacity.figures import CapacityResults, confirm_searches
from harness.capacity.measured import MeasuredRuns, measure_level
from harness.capacity.planner import CapacityPlanner, FinishedSearch, describe_so_far
from harness.capacity.request import CapacityRequest
from harness.capacity.twin import Twin
from harness.runner.live_stats import RunView


@dataclass(frozen=True)
class Session:
    """Where a search writes, what it reports to, and what may interrupt it."""

    folder: Path
    command: list[str]
    view: Callable[[str], RunView]
    log: Callable[[str], None]
    """Gets a line for each thing that becomes known."""
    signals: SignalHandler
    simulate_only: bool = False

    def is_interrupted(self) -> bool:
        """Whether a signal has come."""
        return self.signals.received is not None


def run_search(request: CapacityRequest, session: Session) -> CapacityFigures:
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
        left=_runs_needed(confirmed),
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
