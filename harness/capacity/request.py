"""What a capacity search is asked for, and the scenarios that it plays for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.base.errors import ConfigurationError, UsageError
from harness.capacity.levels import VariedKey
from harness.capacity.load import scale_load
from harness.capacity.played_seeds import PlayedAt
from harness.capacity.sampling import SamplingRule
from harness.judge.thresholds.condition import parse_condition
from harness.judge.thresholds.evaluate import check_assertions, find_problems
from harness.judge.thresholds.planned_run import PlannedRun, planned_run
from harness.plan.server_demand import ResourceName, estimate_server_demand
from harness.runner.simulated_run import check_simulation, make_simulated_plan
from harness.scenario.scenario import Scenario

ConditionName = Literal["bears", "recovers"]

BOUNDED_KEYS: dict[str, ResourceName] = {
    "server.workers": "workers",
    "server.ingress": "ingress",
    "server.max_connections": "connections",
}
"""Keys of which arithmetic knows the least value that can complete every station."""


@dataclass(frozen=True)
class CapacityRequest:
    """What is searched for."""

    source: str
    """Name of the scenario, for messages."""
    scenario: Scenario
    """As it is, before the key is varied."""
    scenario_at: Callable[[int], Scenario]
    """The scenario at a level of the key. Raises ConfigurationError for a value that is not allowed."""
    vary: VariedKey
    goal: tuple[str, ...]
    loads: tuple[float, ...] = (1.0,)
    rule: SamplingRule = field(default_factory=SamplingRule)
    budget_s: float | None = None

    @property
    def main_load(self) -> float:
        """The load that is measured: the scenario's own if it is among the loads, else the greatest."""
        return 1.0 if 1.0 in self.loads else max(self.loads)

    def check(self) -> None:
        """Raise UsageError or ConfigurationError for a search that can't be made, before the first seed is played."""
        if not self.goal:
            message = f"{self.source} has no thresholds: give the goal with --goal, as in --goal 'stations.completed_by_deadline_ratio >= 100%'"
            raise UsageError(message)
        check_assertions(self.goal, "--goal", planned_run(self.scenario))
        for level in (0, len(self.vary.values) - 1):
            scenario = self.scenario_at(level)
            check_simulation(self.source, scenario)
        if self.scenario_at(0).resolved() == self.scenario_at(len(self.vary.values) - 1).resolved():
            raise ConfigurationError(self.source, [f"{self.vary.key} does not change the scenario"])

    def goal_of(self, condition: ConditionName) -> tuple[list[str], list[str]]:
        """The thresholds that can be judged under a condition, and those that refer to a fault that does not act there."""
        if condition == "recovers":
            return list(self.goal), []
        return judged_without_faults(self.goal, self.scenario)

    @property
    def conditions(self) -> tuple[ConditionName, ...]:
        """Bears; and recovers, if the scenario has faults to recover from."""
        return ("bears", "recovers") if self.scenario.faults else ("bears",)


class RequestedLoad:
    """One load under one condition: its scenarios, and what arithmetic says of them."""

    def __init__(
        self, request: CapacityRequest, condition: ConditionName, goal: Sequence[str], load: float, folder: Path
    ) -> None:
        """A region with more stations than the scenario's is written into `folder`."""
        self.goal = list(goal)
        self.load = load
        self.condition = condition
        self._request = request
        self._folder = folder
        base = self.scenario_at(len(request.vary.values) - 1)
        plan = make_simulated_plan(base)
        self.size = len(plan.stations), plan.pages
        resource = BOUNDED_KEYS.get(request.vary.key)
        self.least_by_arithmetic = None if resource is None else estimate_server_demand(base, plan).of(resource).needed

    def place(self, level: int) -> PlayedAt:
        """Where the seeds of a level are kept."""
        return PlayedAt(self.condition, self.load, self._request.vary.text(level))

    def scenario_at(self, level: int) -> Scenario:
        """The scenario at a level, with this load, and without faults if that is the condition."""
        scenario = self._request.scenario_at(level)
        if self.condition == "bears":
            scenario = scenario.model_copy(update={"faults": ()})
        return scale_load(scenario, self.load, self._folder)

    def used_at(self, level: int) -> dict[str, float]:
        """The share of each resource that the plan needs at least, of those that the scenario limits."""
        scenario = self.scenario_at(level)
        demand = estimate_server_demand(scenario, make_simulated_plan(scenario))
        return {one.resource: one.used_ratio for one in demand.resources if one.used_ratio is not None}


def judged_without_faults(goal: Sequence[str], scenario: Scenario) -> tuple[list[str], list[str]]:
    """The assertions that can be judged in a run without the scenario's faults, and those that refer to one."""
    bare = planned_run(scenario.model_copy(update={"faults": ()}))
    left_out = [one for one in goal if scenario.faults and _refers_to_fault(one, bare)]
    return [one for one in goal if one not in left_out], left_out


def _refers_to_fault(assertion: str, bare: PlannedRun) -> bool:
    """Whether an assertion that the scenario's faults make sense of has none in the run without them."""
    return bool(find_problems([assertion], bare)) or parse_condition(assertion).metric.startswith("recovery.")
