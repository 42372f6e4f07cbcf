"""How much two runs of the same differ on this machine: the same scenario, run again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from harness.analysis.comparable import COMPARABLE_FIGURES, MissingFigure
from harness.base.errors import UsageError
from harness.base.signals import SignalHandler
from harness.judge.compare.noise import Noise, compute_noise
from harness.judge.compare.run import ComparedRun, load_compared_run
from harness.judge.verdict import judge_verdict
from harness.run_folder.layout import RunFolder
from harness.runner.live_stats import RunView
from harness.runner.run import Run
from harness.runner.run_spec import RunSpec
from harness.runner.subprocesses import Interruption


@dataclass(frozen=True)
class Calibration:
    """Runs of one order, each in a folder of its own below `folder`."""

    order: RunSpec
    """Its folder and id are replaced by each run's."""
    assertions: Sequence[str]
    folder: Path
    runs: int

    def check_folder(self) -> None:
        """Raise UsageError for a folder that holds anything."""
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            message = f"{self.folder} is not an empty folder: nothing is overwritten"
            raise UsageError(message)

    def execute(
        self, view: Callable[[str], RunView], say: Callable[[str], None], signals: SignalHandler
    ) -> list[ComparedRun]:
        """The runs that were made; fewer than planned where it was interrupted. `view` makes a view of a run's title."""
        made: list[ComparedRun] = []
        for number in range(1, self.runs + 1):
            title = f"run {number} of {self.runs}"
            say(title)
            folder = RunFolder(self.folder / f"{number:02d}")
            order = replace(self.order, folder=folder, run_id=f"{self.order.run_id}/{folder.path.name}")
            try:
                Run(order, view(title), signals).execute()
            except Interruption:
                return made
            if signals.heard is not None:
                return made
            judge_verdict(folder, self.assertions)
            made.append(load_compared_run(folder, self.assertions, list(COMPARABLE_FIGURES)))
            for reason in made[-1].reasons:
                say(f"  left out, INVALID: {reason}")
        return made


def noise_from(made: Sequence[ComparedRun], now: datetime) -> Noise:
    """The noise of the valid runs among those that were made; at least one."""
    valid = [run for run in made if not run.reasons]
    values: dict[str, list[float]] = {}
    for key in COMPARABLE_FIGURES:
        found = [run.figures[key] for run in valid]
        known = [statistic.value() for statistic in found if not isinstance(statistic, MissingFigure)]
        if len(known) == len(found):
            values[key] = known
    return compute_noise(valid[0].record, values, f"{now:%Y-%m-%d %H:%M:%S} UTC")
