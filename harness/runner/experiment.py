"""Run the cells of an experiment one after another, with the time left; an interrupted experiment resumes where it stopped."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.analysis.experiment import CellFigures, ExperimentFigures, compute_cell_figures, compute_variant_figures
from harness.base.address import parse_origin
from harness.base.errors import RunFolderError, UsageError
from harness.base.host import available_cores
from harness.base.safe_files import write_json
from harness.base.signals import Interruption, SignalHandler
from harness.judge.thresholds.evaluate import limits_s
from harness.judge.verdict import load_verdict
from harness.plan import Plan, make_plan
from harness.plan.demand import choose_worker_count
from harness.run_folder.layout import STOPPED_BY_SIGNAL, RunFolder, RunRecord
from harness.runner.between import BetweenCommand
from harness.runner.finish import judge_and_report
from harness.runner.live_stats import RunView
from harness.runner.run import Run
from harness.runner.run_spec import RunSpec
from harness.scenario.experiment import Cell, Experiment
from harness.scenario.scenario import Scenario
from harness.target.external import ExternalTarget

RUN_OVERHEAD_S = 12.0
"""Starting, draining, judging and reporting a run takes up to this long (measured: 4 to 12 s; less for a small run)."""
_COMPARISON_S = 2.0
"""Comparing the cells and drawing the charts takes about this long (measured with 30 cells)."""
_FINISHED = {"completed", "deadline"}


@dataclass
class TimeLeftEstimator:
    """Estimates how long the cells still to run will take, from those that are finished."""

    finished_s: dict[str, list[float]] = field(default_factory=dict)
    """Variant -> how long each finished cell took, in seconds."""
    ratios: list[float] = field(default_factory=list)
    """How long each finished cell took ÷ the longest it could have taken."""

    @property
    def is_known(self) -> bool:
        """Whether any cell has finished; until then the estimate is an upper bound."""
        return bool(self.ratios)

    def add(self, cell: Cell, seconds: float) -> None:
        """Learn from a finished cell."""
        self.finished_s.setdefault(cell.variant.name, []).append(seconds)
        self.ratios.append(seconds / max_cell_s(cell))

    def expected_s(self, cell: Cell) -> float:
        """Seconds that a cell will take."""
        # Cells of one variant differ only in their seed, so they take about as long as each other.
        known = self.finished_s.get(cell.variant.name)
        if known:
            return sum(known) / len(known)
        ratio = sum(self.ratios) / len(self.ratios) if self.ratios else 1.0
        return max_cell_s(cell) * ratio

    def left_s(self, cells: Sequence[Cell]) -> float:
        """Seconds that all these cells will take, on a machine that stays as fast as it was."""
        return sum(self.expected_s(cell) for cell in cells)


def max_cell_s(cell: Cell) -> float:
    """Seconds that a cell takes if it runs to its deadline and every attempt then times out."""
    return cell.scenario.longest_s + RUN_OVERHEAD_S


class ExperimentRunner:
    """Runs the cells of one experiment; each has a run folder below `folder`, by which a finished one is known."""

    def __init__(
        self,
        experiment: Experiment,
        cells: Sequence[Cell],
        folder: Path,
        command: list[str],
        admit: Callable[[Scenario, Plan], ExternalTarget | None] = lambda *_: None,
        between: BetweenCommand | None = None,
        *,
        report: bool = True,
    ) -> None:
        """`admit` gives the server under test for a cell, None for the mock; `between` runs before each cell.

        With `report` each run's charts and page are drawn.
        """
        self._experiment = experiment
        self._cells = cells
        self._folder = folder
        self._command = command
        self._estimator = TimeLeftEstimator()
        self._admit = admit
        self._between = between
        self._report = report

    def check_folder(self, *, simulated: bool = False, target: str | None = None) -> None:
        """Raise UsageError if the folder holds runs of another experiment or server, or measured ones beside `simulated` ones.

        `target` is the URL of the server under test, None for the mock.
        """
        for cell in self._cells:
            record, path = _record(self._run_folder(cell)), self._run_folder(cell).path
            if record is not None and record.simulated != simulated:
                message = f"{path} is a {'simulated' if record.simulated else 'measured'} run: choose another --out"
                raise UsageError(message)
            if record is not None and _is_of_another_server(record, target) and not simulated:
                message = f"{path} is a run against {'the mock' if record.own_server else record.target}: choose another --out"
                raise UsageError(message)
            if record is not None and record.scenario != cell.scenario.resolved() and not simulated:
                message = f"{path} is a run of another scenario: choose another --out"
                raise UsageError(message)

    def run(self, view: Callable[[str], RunView], log: Callable[[str], None], signals: SignalHandler) -> bool:
        """Run every cell that is not finished; False if interrupted. `view` makes the view for a cell's title."""
        waiting = [cell for cell in self._cells if not self._is_finished(cell)]
        done = len(self._cells) - len(waiting)
        if done:
            log(f"{done} of {len(self._cells)} cells are already finished")
        while waiting:
            cell = waiting[0]
            left = _minutes_and_seconds(self._estimator.left_s(waiting) + _COMPARISON_S)
            bound = "about" if self._estimator.is_known else "at most"
            log(f"cell {done + 1} of {len(self._cells)}: {cell.variant.name}, seed {cell.seed}; {bound} {left} left")
            began = time.monotonic()
            if not self._run_cell(cell, view(f"{cell.variant.name}, seed {cell.seed}"), signals):
                return False
            self._estimator.add(cell, time.monotonic() - began)
            waiting.pop(0)
            done += 1
        return True

    def figures(self) -> ExperimentFigures:
        """The figures of the finished cells, compared; also written to experiment.json."""
        by_variant = {variant.name: self._cells_of(variant.name) for variant in self._experiment.variants}
        found = compare_variants(self._experiment, self._cells, by_variant)
        write_json(self._folder / "experiment.json", found.model_dump(mode="json"))
        return found

    def _run_cell(self, cell: Cell, view: RunView, signals: SignalHandler) -> bool:
        folder = self._run_folder(cell)
        if folder.path.exists():
            shutil.rmtree(folder.path)  # an unfinished run of this very cell: check_folder made sure of that
        assertions, plan = assertions_of(cell), make_plan(cell.scenario)
        if self._between is not None:
            self._between.run(cell.name, view.log)
        spec = RunSpec(
            scenario=cell.scenario,
            plan=plan,
            folder=folder,
            run_id=f"{self._experiment.name}/{cell.name}",
            command=self._command,
            limits_s=limits_s(assertions),
            external=self._admit(cell.scenario, plan),
            workers=choose_worker_count(cell.scenario, plan, available_cores()).workers,
        )
        try:
            Run(spec, view, signals).execute()
        except Interruption:
            return False
        ended = folder.read_run().ended
        if ended is not None and ended.how in STOPPED_BY_SIGNAL:
            return False
        judge_and_report(folder, assertions, report=self._report)
        return signals.received is None

    def _cells_of(self, variant: str) -> list[CellFigures]:
        found = []
        for cell in self._cells:
            if cell.variant.name == variant and self._is_finished(cell):
                folder = self._run_folder(cell)
                # A cell whose run ended may not have been judged or reported before an interruption.
                last = folder.page if self._report else folder.verdict
                verdict = (
                    load_verdict(folder)
                    if last.exists()
                    else judge_and_report(folder, assertions_of(cell), report=self._report)
                )
                valid, safety = verdict.validity.valid, None if verdict.safety == "unknown" else verdict.safety
                at_s = self._experiment.at
                found.append(compute_cell_figures(folder, variant, cell.seed, at_s, valid=valid, safety=safety))
        return found

    def _run_folder(self, cell: Cell) -> RunFolder:
        return RunFolder(self._folder / "runs" / cell.name)

    def _is_finished(self, cell: Cell) -> bool:
        record = _record(self._run_folder(cell))
        return record is not None and record.ended is not None and record.ended.how in _FINISHED


def compare_variants(
    experiment: Experiment, cells: Sequence[Cell], by_variant: Mapping[str, Sequence[CellFigures]], *, simulated: bool = False
) -> ExperimentFigures:  # fmt: skip
    """The figures of an experiment from those of its finished cells, by variant."""
    first, base = by_variant[experiment.variants[0].name], cells[0].scenario
    return ExperimentFigures(
        name=experiment.name,
        title=experiment.title,
        base=experiment.base,
        seeds=list(experiment.seeds),
        at_s=list(experiment.at),
        deadline_s=base.deadline,
        time_scale=base.time_scale,
        variants=[
            compute_variant_figures(variant.name, variant.set, by_variant[variant.name], first)
            for variant in experiment.variants
        ],
        planned_cells=len(cells),
        simulated=simulated,
    )


def assertions_of(cell: Cell) -> list[str]:
    """The assertions of a cell's scenario."""
    return [threshold.assertion for threshold in cell.scenario.thresholds]


def _is_of_another_server(record: RunRecord, target: str | None) -> bool:
    if target is None or record.own_server:
        return record.own_server != (target is None)
    return bool(record.target) and parse_origin(record.target) != parse_origin(target)


def _record(folder: RunFolder) -> RunRecord | None:
    try:
        return folder.read_run()
    except RunFolderError:
        return None


def _minutes_and_seconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
