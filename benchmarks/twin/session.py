"""Makes a run of every cell, then simulates it with the same seed. An interrupted session goes on where it stopped."""

from __future__ import annotations

import os
import shutil
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks.twin.fidelity import GOALS, FidelityCell, FidelityResults, Group
from harness.analysis.against import RunPair
from harness.analysis.run_figures import RunFigures
from harness.base.errors import RunFolderError, UsageError
from harness.base.host import describe_host
from harness.base.signals import SignalHandler
from harness.base.toml_text import toml_value
from harness.judge.thresholds.evaluate import limits_s
from harness.judge.verdict import judge_run
from harness.plan import make_plan
from harness.run_folder.layout import RunFolder
from harness.runner.fit import fit_runs
from harness.runner.run import Run
from harness.runner.run_spec import RunSpec
from harness.runner.simulated_cells import SimulatedCell, figures_of, play_cells
from harness.scenario.experiment import load_experiment
from harness.scenario.scenario import Scenario
from harness.scenario.simulation import SimulationCosts
from reports.live_view import QuietView

FOLDER = Path(__file__).parent
GROUPS: Mapping[Group, Path] = {"open": FOLDER / "open.toml", "held out": FOLDER / "held-out.toml"}
MAX_TRIES = 3
"""An INVALID run is repeated twice."""
CALIBRATION_SEED = 7
"""Of the run that [simulate] is fitted to: the base scenario with a seed that no cell has."""
VARIATIONS = (0.67, 0.8, 0.9, 1.1, 1.25, 1.5)
"""Factors of the constants that show how far chance carries a cell."""
_FINISHED = {"completed", "deadline"}
_NO_DUE: dict[str, float] = {}
_WITHOUT_CURVE: dict[str, list[float]] = {"curve": [], "curve_t_s": []}


class StoppedError(Exception):
    """The session was interrupted; what is finished stays."""


@dataclass(frozen=True)
class PlannedCell:
    """A cell to be run."""

    name: str
    slug: str
    group: Group
    scenario: Scenario


def load_cells() -> list[PlannedCell]:
    """All cells, those first that may be looked at. Raises ConfigurationError if a file is wrong."""
    return [
        PlannedCell(cell.variant.name, cell.variant.slug, group, cell.scenario)
        for group, path in GROUPS.items()
        for cell in load_experiment(str(path), lambda _: _NO_DUE)[1]
    ]


Drive = Callable[[RunFolder, Scenario], None]
"""Makes the run of a scenario in a folder, for real. Raises StoppedError if it is interrupted."""


def drive_for_real(signals: SignalHandler) -> Drive:
    """Runs with the mock server and one worker, as `harness run` does, without a report."""

    def drive(folder: RunFolder, scenario: Scenario) -> None:
        spec = RunSpec(
            scenario=scenario,
            plan=make_plan(scenario),
            folder=folder,
            run_id=f"twin/{folder.path.parent.name}",
            command=["python", "-m", "benchmarks", "twin"],
            limits_s=limits_s(assertions_of(scenario)),
        )
        Run(spec, QuietView(folder.path.parent.name), signals).execute()
        if signals.received is not None:
            raise StoppedError

    return drive


def fit_to(folder: RunFolder) -> SimulationCosts:
    """[simulate] as `harness fit` takes it from the run."""
    return fit_runs([folder]).scenario.simulate


class FidelitySession:
    """One session in a folder: `run` makes what is missing and returns the results."""

    def __init__(
        self, folder: Path, drive: Drive, log: Callable[[str], None],
        fit: Callable[[RunFolder], SimulationCosts] = fit_to,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._drive = drive
        self._log = log
        self._fit = fit

    def run(self) -> FidelityResults:
        """Raises StoppedError if it is interrupted."""
        began_s, load = time.monotonic(), os.getloadavg()[0]
        cells = load_cells()
        calibration = cells[0].scenario.model_copy(update={"seed": CALIBRATION_SEED})
        self._log(f"calibration: the base scenario with seed {CALIBRATION_SEED}")
        calibrated, _ = self._measure("calibration", calibration)
        costs = self._fit(calibrated)
        measured = []
        for number, cell in enumerate(cells, 1):
            self._log(f"cell {number} of {len(cells)}: {cell.name}")
            measured.append(self._measure(cell.slug, cell.scenario))
        self._log("simulating every cell")
        return FidelityResults(
            at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            host={name: value for name, value in describe_host().items() if isinstance(value, str | int)},
            load_average=round(load, 2),
            seconds=round(time.monotonic() - began_s, 1),
            costs={
                name: toml_value(value)
                for name, value in costs.model_dump(mode="json", exclude_none=True).items()
            },
            cells=[
                FidelityCell(
                    name=cell.name, group=cell.group, tries=tries, default_costs=prediction.by_default, varied=prediction.varied,
                    pair=_pair(cell, folder, prediction.predicted),
                )
                for cell, (folder, tries), prediction in zip(cells, measured, predict(cells, costs), strict=True)
            ],
        )  # fmt: skip

    def _measure(self, slug: str, scenario: Scenario) -> tuple[RunFolder, int]:
        """The run of a scenario, made unless it is there, and how many were made; INVALID ones are repeated."""
        for number in range(1, MAX_TRIES + 1):
            folder = RunFolder(self._folder / slug / f"try-{number}")
            if not _is_finished(folder, scenario):
                shutil.rmtree(folder.path, ignore_errors=True)
                self._drive(folder, scenario)
            verdict = judge_run(folder, assertions_of(scenario)).verdict
            if verdict.verdict != "invalid" or number == MAX_TRIES:
                break
            self._log(f"  try {number} is INVALID: {'; '.join(verdict.validity.reasons)}")
        return folder, number


class Prediction(NamedTuple):
    """What simulations make of one cell."""

    predicted: RunFigures
    """With the fitted constants."""
    by_default: Mapping[str, float | None]
    """The figures with the defaults of [simulate]."""
    varied: Mapping[str, list[float | None]]
    """The figures with each of `VARIATIONS`."""


def predict(cells: Sequence[PlannedCell], costs: SimulationCosts) -> list[Prediction]:
    """What simulations make of every cell; `costs` are the fitted ones."""
    variants = [costs, SimulationCosts(), *(scale_costs(costs, factor) for factor in VARIATIONS)]
    predicted, by_default, *varied = _simulate([cell.scenario for cell in cells], variants)
    return [
        Prediction(figures, default.values, {key: [one.values[key] for one in variations] for key in GOALS})
        for figures, default, variations in zip(predicted, by_default, zip(*varied, strict=True), strict=True)
    ]


def predict_again(results: FidelityResults) -> FidelityResults:
    """The results with every cell simulated again: what was measured, and the constants that were fitted, stay.

    Raises UsageError if they lack a cell, or have one that is not planned (with this seed).
    """
    cells = load_cells()
    planned, recorded = [(cell.name, cell.scenario.seed) for cell in cells], [
        (cell.name, cell.pair.seed) for cell in results.cells
    ]  # fmt: skip
    if planned != recorded:
        differing = ", ".join(f"{name} (seed {seed})" for name, seed in sorted({*planned} ^ {*recorded}))
        message = (
            f"the recorded cells are not those of {' and '.join(path.name for path in GROUPS.values())}: {differing}"
        )
        raise UsageError(message)
    costs = SimulationCosts.model_validate(
        tomllib.loads("".join(f"{name} = {value}\n" for name, value in results.costs.items()))
    )
    again = [
        cell.model_copy(update={
            "default_costs": found.by_default, "varied": found.varied,
            "pair": cell.pair.model_copy(update={"predicted": found.predicted.model_copy(update=_WITHOUT_CURVE)}),
        })
        for cell, found in zip(results.cells, predict(cells, costs), strict=True)
    ]  # fmt: skip
    return results.model_copy(update={"cells": again})


def assertions_of(scenario: Scenario) -> list[str]:
    """The assertions of a scenario."""
    return [threshold.assertion for threshold in scenario.thresholds]


def _is_finished(folder: RunFolder, scenario: Scenario) -> bool:
    try:
        record = folder.read_run()
    except RunFolderError:
        return False
    return record.scenario == scenario.resolved() and record.ended is not None and record.ended.how in _FINISHED


def scale_costs(costs: SimulationCosts, factor: float) -> SimulationCosts:
    """All durations times a factor, and the rate divided by it."""
    content = costs.model_dump(mode="json", exclude_none=True)
    for name in ("connect", "login", "parse", "commit", "answer"):
        content[name] = f"{getattr(costs, name).quantile(0.5) * factor:.6f}s"
    return SimulationCosts.model_validate({**content, "send": f"{costs.send / factor:.4g}B/s"})


def _simulate(scenarios: Sequence[Scenario], variants: Sequence[SimulationCosts]) -> list[list[RunFigures]]:
    """The figures of every scenario with each of these constants: one list per constants."""
    cells = [
        SimulatedCell(scenario.model_copy(update={"simulate": costs}).resolved())
        for costs in variants
        for scenario in scenarios
    ]
    found, number = play_cells(cells), len(scenarios)
    return [found[first : first + number] for first in range(0, len(found), number)]


def _pair(cell: PlannedCell, folder: RunFolder, predicted: RunFigures) -> RunPair:
    measured = figures_of(judge_run(folder, assertions_of(cell.scenario)))
    return RunPair(
        run=cell.slug,
        name=cell.scenario.name,
        seed=cell.scenario.seed,
        deadline_s=cell.scenario.deadline,
        measured=measured.model_copy(update=_WITHOUT_CURVE),
        predicted=predicted.model_copy(update=_WITHOUT_CURVE),
    )
