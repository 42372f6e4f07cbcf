"""An experiment in virtual time: all cells on all cores, and the best variants once more for real."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.analysis.against import Against, RunPair
from harness.analysis.experiment import CellFigures, ExperimentFigures, compute_cell_figures
from harness.base.safe_files import write_json
from harness.judge.verdict import evaluate_run
from harness.run_folder.layout import RunFolder
from harness.runner.experiment import assertions_of, compare_variants
from harness.runner.simulated_cells import SimulatedCell, figures_of, play_cell, play_on_all_cores
from harness.scenario.experiment import Cell, Experiment


@dataclass(frozen=True)
class _CellToPlay:
    """One cell for another process."""

    played: SimulatedCell
    folder: Path
    variant: str
    seed: int
    at_s: tuple[float, ...]


def play_experiment(
    experiment: Experiment, cells: Sequence[Cell], folder: Path, command: Sequence[str], is_stopped: Callable[[], bool]
) -> ExperimentFigures:
    """Play every cell into its run folder below `folder`; the figures, also written to experiment.json.

    A cell's folder of an earlier simulation is replaced. Once `is_stopped`, no more cells are begun.
    """
    to_play = [_to_play(experiment, cell, folder, command) for cell in cells]
    for cell in to_play:
        shutil.rmtree(cell.folder, ignore_errors=True)
    by_variant: dict[str, list[CellFigures]] = {variant.name: [] for variant in experiment.variants}
    for figures in play_on_all_cores(_play, to_play, is_stopped=is_stopped):
        by_variant[figures.variant].append(figures)
    found = compare_variants(experiment, cells, by_variant, simulated=True)
    write_json(folder / "experiment.json", found.model_dump(mode="json"))
    return found


def _to_play(experiment: Experiment, cell: Cell, folder: Path, command: Sequence[str]) -> _CellToPlay:
    path = cell_folder(folder, cell).path
    played = SimulatedCell(cell.scenario.resolved(), path, f"{experiment.name}/{cell.name}", tuple(command))
    return _CellToPlay(played, path, cell.variant.name, cell.seed, tuple(experiment.at))


def _play(cell: _CellToPlay) -> CellFigures:
    figures = play_cell(cell.played)
    valid, folder = figures.verdict != "invalid", RunFolder(cell.folder)
    return compute_cell_figures(folder, cell.variant, cell.seed, cell.at_s, valid=valid, safety=figures.safety)


def cell_folder(folder: Path, cell: Cell) -> RunFolder:
    """The run folder of a cell below its experiment's."""
    return RunFolder(folder / "runs" / cell.name)


def choose_confirmed(experiment: Experiment, figures: ExperimentFigures, best: int) -> Experiment:
    """The experiment with its first variant and the `best` others only: those with most stations complete by the deadline."""
    first, *others = figures.variants
    ranked = sorted(others, key=lambda variant: -(variant.mean["completed_by_deadline_ratio"] or 0.0))
    names = {first.name, *(variant.name for variant in ranked[:best])}
    chosen = tuple(variant for variant in experiment.variants if variant.name in names)
    return experiment.model_copy(update={"variants": chosen})


def pair_cells(cells: Sequence[Cell], simulated: Path, measured: Path) -> Against:
    """Predicted beside measured for every cell that has been played in both folders."""
    pairs = []
    for cell in cells:
        before, after = cell_folder(simulated, cell), cell_folder(measured, cell)
        if before.run_json.exists() and after.run_json.exists():
            assertions = assertions_of(cell)
            pairs.append(
                RunPair(
                    run=str(after.path),
                    name=cell.variant.name,
                    seed=cell.seed,
                    deadline_s=cell.scenario.deadline,
                    measured=figures_of(evaluate_run(after, assertions)),
                    predicted=figures_of(evaluate_run(before, assertions)),
                )
            )
    return Against(pairs=pairs)
