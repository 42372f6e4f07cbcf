"""Run one scenario again and again, to learn how much its figures vary from run to run on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from harness.analysis.comparable import COMPARABLE_FIGURES, MissingFigure
from harness.base.errors import UsageError
from harness.base.signals import Interruption, SignalHandler
from harness.judge.compare.noise import Noise, compute_noise
from harness.judge.compare.run import ComparedRun, load_compared_run
from harness.judge.verdict import judge_run
from harness.run_folder.layout import RunFolder
from harness.runner.between import BetweenCommand
from harness.runner.live_stats import RunView
from harness.runner.run import Run
from harness.runner.run_spec import RunSpec


@dataclass(frozen=True)
class Calibration:
    """`runs` runs of one scenario, each in a folder of its own below `folder`."""

    spec: RunSpec
    """Folder and id are replaced for each run."""
    assertions: Sequence[str]
    folder: Path
    runs: int
    between: BetweenCommand | None = None
    """Runs before each run."""

    def check_folder(self) -> None:
        """Raise UsageError if the folder exists and is not empty."""
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            message = f"{self.folder} is not an empty folder, and nothing is overwritten: choose another --out"
            raise UsageError(message)

    def execute(
        self, view: Callable[[str], RunView], log: Callable[[str], None], signals: SignalHandler
    ) -> list[ComparedRun]:
        """Run them all; the finished runs, fewer than planned if interrupted. `view` makes the view for a run's title."""
        finished: list[ComparedRun] = []
        for number in range(1, self.runs + 1):
            title = f"run {number} of {self.runs}"
            log(title)
            folder = RunFolder(self.folder / f"{number:02d}")
            spec = replace(self.spec, folder=folder, run_id=f"{self.spec.run_id}/{folder.path.name}")
            if self.between is not None:
                self.between.run(folder.path.name, log)
            try:
                Run(spec, view(title), signals).execute()
            except Interruption:
                return finished
            if signals.received is not None:
                return finished
            judge_run(folder, self.assertions)
            finished.append(load_compared_run(folder, self.assertions, list(COMPARABLE_FIGURES)))
            for reason in finished[-1].reasons:
                log(f"  not used, INVALID: {reason}")
        return finished


def noise_from(finished: Sequence[ComparedRun], now: datetime) -> Noise:
    """The run-to-run noise of the valid runs among these, of which there must be at least one; `now` becomes its date."""
    valid = [run for run in finished if not run.reasons]
    values: dict[str, list[float]] = {}
    for key in COMPARABLE_FIGURES:
        found = [run.figures[key] for run in valid]
        known = [statistic.value() for statistic in found if not isinstance(statistic, MissingFigure)]
        # A figure that one of the runs does not have can't be compared later either.
        if len(known) == len(found):
            values[key] = known
    return compute_noise(valid[0].record, values, f"{now:%Y-%m-%d %H:%M:%S} UTC")
