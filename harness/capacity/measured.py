"""Runs for real of one level of a capacity search, each in a run folder of its own by which a finished one is known."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.analysis.capacity import PlayedSeed
from harness.base.errors import RunFolderError
from harness.base.signals import Interruption, SignalHandler
from harness.capacity.request import CapacityRequest, RequestedLoad
from harness.capacity.search import SearchInterruptedError
from harness.capacity.twin import describe_played
from harness.judge.thresholds.evaluate import limits_s
from harness.judge.verdict import evaluate_run
from harness.plan import make_plan
from harness.run_folder.layout import RunFolder
from harness.runner.experiment import RUN_OVERHEAD_S
from harness.runner.finish import judge_and_report
from harness.runner.live_stats import RunView
from harness.runner.run import Run
from harness.runner.run_spec import RunSpec
from harness.scenario.scenario import Scenario, Threshold

_FINISHED = {"completed", "deadline"}


@dataclass
class Measurer:
    """Measures levels of one request."""

    request: CapacityRequest
    folder: Path
    """The search's folder; the runs go into `runs` below it."""
    command: list[str]
    view: Callable[[str], RunView]
    """Makes the view for a run's title."""
    log: Callable[[str], None]
    signals: SignalHandler
    check_time: Callable[[], None]
    """Raises SearchInterruptedError if no further run is to start."""
    left: int
    """Runs that are still to be made if none is INVALID and none contradicts the twin."""

    def measure(self, one: RequestedLoad, level: int) -> Iterator[PlayedSeed]:
        """Runs of a level, one after the other, with seeds that follow those of the search. Raises SearchInterruptedError."""
        rule, value = self.request.rule, self.request.vary.text(level)
        number, seed = 0, self.request.scenario.seed + 2 * rule.most + 1
        while True:
            number += 1
            scenario = _with_goal(one.scenario_at(level), seed + number, one.goal)
            folder = self._run_folder(one, value, scenario.seed)
            if not _is_finished(folder):
                self.check_time()
                most_s = scenario.longest_s + RUN_OVERHEAD_S
                left = (
                    "" if self.left < 1 else f"; {self.left} measured runs left, at most {_minutes(self.left * most_s)}"
                )
                self.log(f"{one.condition}, {one.load:g}x: measuring {value}, run {number}{left}")
                self._run(scenario, folder, f"{one.condition} {value}, seed {scenario.seed}")
            self.left -= 1
            yield describe_played(evaluate_run(folder, one.goal))

    def _run(self, scenario: Scenario, folder: RunFolder, title: str) -> None:
        if folder.path.exists():
            shutil.rmtree(folder.path)  # an unfinished run of this very level and seed
        goal = [threshold.assertion for threshold in scenario.thresholds]
        spec = RunSpec(
            scenario=scenario,
            plan=make_plan(scenario),
            folder=folder,
            run_id=folder.path.name,
            command=self.command,
            limits_s=limits_s(goal),
        )
        try:
            Run(spec, self.view(title), self.signals).execute()
        except Interruption as interruption:
            raise SearchInterruptedError from interruption
        if not _is_finished(folder) and self.signals.received is not None:
            raise SearchInterruptedError
        judge_and_report(folder, goal)

    def _run_folder(self, one: RequestedLoad, value: str, seed: int) -> RunFolder:
        name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{one.condition}-{one.load:g}x-{value}-{seed}")
        return RunFolder(self.folder / "runs" / name)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _with_goal(scenario: Scenario, seed: int, goal: list[str]) -> Scenario:
    """The scenario with the goal as its thresholds, so that its run is judged by nothing else."""
    thresholds = tuple(Threshold.model_validate({"assert": assertion}) for assertion in goal)
    return scenario.model_copy(update={"seed": seed, "thresholds": thresholds})


def _is_finished(folder: RunFolder) -> bool:
    try:
        ended = folder.read_run().ended
    except RunFolderError:
        return False
    return ended is not None and ended.how in _FINISHED
