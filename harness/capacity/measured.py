"""Runs for real of a capacity search or map, each in a run folder of its own by which a finished one is known."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.analysis.capacity import PlayedSeed
from harness.base.errors import RunFolderError
from harness.base.host import available_cores
from harness.base.signals import Interruption, SignalHandler
from harness.capacity.request import CapacityRequest, RequestedLoad
from harness.capacity.search import SearchInterruptedError
from harness.capacity.twin import describe_played
from harness.judge.thresholds.evaluate import limits_s
from harness.judge.verdict import evaluate_run
from harness.plan import make_plan
from harness.plan.demand import choose_worker_count
from harness.run_folder.layout import RunFolder
from harness.runner.experiment import RUN_OVERHEAD_S
from harness.runner.finish import judge_and_report
from harness.runner.live_stats import RunView
from harness.runner.run import Run
from harness.runner.run_spec import RunSpec
from harness.scenario.scenario import Scenario, Threshold
from reports.number_format import format_duration, plural

_FINISHED = {"completed", "deadline"}


@dataclass
class MeasuredRuns:
    """Makes runs that are judged by a goal alone, says what remains, and finds those of an interrupted search again."""

    folder: Path
    """The search's folder; the runs go into `runs` below it."""
    command: list[str]
    view: Callable[[str], RunView]
    """Makes the view for a run's title."""
    log: Callable[[str], None]
    signals: SignalHandler
    check_time: Callable[[], None]
    """Raises SearchInterruptedError if no further run is to start."""
    report: bool = True
    """Draw each run's charts and page."""
    left: int = 0
    """Runs that are still to be made if none is INVALID and none contradicts the twin."""
    _shares: list[float] = field(default_factory=list)
    """How long each run took ÷ the longest that it could have taken."""

    def run(self, name: str, what: str, scenario: Scenario, goal: Sequence[str]) -> PlayedSeed:
        """Run a scenario, unless it has been; `name` is the folder's, `what` is logged. Raises SearchInterruptedError."""
        folder = RunFolder(self.folder / "runs" / re.sub(r"[^A-Za-z0-9.]+", "-", name))
        if not is_finished(folder):
            self.check_time()
            self.log(f"{what}{describe_left(self.left, _most_s(scenario), self._shares)}")
            began_s = time.monotonic()
            self._execute(with_goal(scenario, goal), folder, what)
            self._shares.append((time.monotonic() - began_s) / _most_s(scenario))
        self.left -= 1
        return describe_played(evaluate_run(folder, list(goal)))

    def _execute(self, scenario: Scenario, folder: RunFolder, title: str) -> None:
        if folder.path.exists():
            shutil.rmtree(folder.path)  # an unfinished run of this very scenario and seed
        goal, plan = [threshold.assertion for threshold in scenario.thresholds], make_plan(scenario)
        spec = RunSpec(
            scenario=scenario,
            plan=plan,
            folder=folder,
            run_id=folder.path.name,
            command=self.command,
            limits_s=limits_s(goal),
            workers=choose_worker_count(scenario, plan, available_cores()).workers,
        )
        try:
            Run(spec, self.view(title), self.signals).execute()
        except Interruption as interruption:
            raise SearchInterruptedError from interruption
        if not is_finished(folder) and self.signals.received is not None:
            raise SearchInterruptedError
        judge_and_report(folder, goal, report=self.report)


def measure_level(
    runs: MeasuredRuns, request: CapacityRequest, so_far: Callable[[RequestedLoad], str], one: RequestedLoad, level: int
) -> Iterator[PlayedSeed]:
    """Runs of a level, one after the other, with seeds that follow those of the search. Raises SearchInterruptedError.

    `so_far` says between which levels the demand lies, for the line that is logged.
    """
    value, seed = request.vary.text(level), request.scenario.seed + 2 * request.rule.most + 1
    number = 0
    while True:
        number += 1
        scenario = one.scenario_at(level).model_copy(update={"seed": seed + number})
        name = f"{one.condition}-{one.load:g}x-{value}-{scenario.seed}"
        what = f"{one.condition}, {one.load:g}x: {so_far(one)}; measuring {value}, run {number}"
        yield runs.run(name, what, scenario, one.goal)


def describe_left(runs: int, most_s: float, shares: Sequence[float]) -> str:
    """How many runs are left and how long they take: at most, until it is known how long such runs take.

    `most_s` is the longest that a run can take, `shares` the parts of it that earlier ones took.

    >>> describe_left(6, 84.0, []), describe_left(3, 84.0, [0.5, 1.0]), describe_left(0, 84.0, [1.0])
    ('; 6 measured runs left, at most 8 min', '; 3 measured runs left, about 3 min', '')
    """
    if runs < 1:
        return ""
    expected_s = most_s * (sum(shares) / len(shares) if shares else 1.0)
    return f"; {plural(runs, 'measured run')} left, {'about' if shares else 'at most'} {_minutes(runs * expected_s)}"


def with_goal(scenario: Scenario, goal: Sequence[str]) -> Scenario:
    """The scenario with the goal as its thresholds, so that its run is judged by nothing else."""
    thresholds = tuple(Threshold.model_validate({"assert": assertion}) for assertion in goal)
    return scenario.model_copy(update={"thresholds": thresholds})


def _most_s(scenario: Scenario) -> float:
    return scenario.longest_s + RUN_OVERHEAD_S


def _minutes(seconds: float) -> str:
    return format_duration(seconds if seconds < 120 else 60 * round(seconds / 60))


def is_finished(folder: RunFolder) -> bool:
    """Whether a run folder has a run that came to its end."""
    try:
        ended = folder.read_run().ended
    except RunFolderError:
        return False
    return ended is not None and ended.how in _FINISHED
