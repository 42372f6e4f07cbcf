"""`harness experiment`: a matrix of runs and one comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.experiment import ExperimentFigures
from harness.base.errors import ExitCode
from harness.base.signals import SignalHandler
from harness.cli.options import RUNS, check_target_given, command_line
from harness.judge.thresholds.evaluate import check_assertions
from harness.run_folder.tables import read_planned_due
from harness.scenario.experiment import load_experiment
from reports import terminal
from reports.places import display_path

EXPERIMENTS = RUNS / "experiments"


def experiment(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A matrix: base scenario, variants, seeds.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder; the same again resumes. Default: runs/experiments/<name>.")
    ] = None,
) -> None:
    """Run a matrix of scenarios and compare them; resumable."""
    from harness.runner.experiment import ExperimentRunner, assertions_of  # noqa: PLC0415 - drawing takes most of a second to import
    from reports.experiment import table  # noqa: PLC0415
    from reports.experiment.render import render_experiment  # noqa: PLC0415

    loaded, cells = load_experiment(file, read_planned_due)
    for cell in cells:
        check_assertions(assertions_of(cell), str(file), [fault.name for fault in cell.scenario.faults])
        check_target_given(str(file), cell.scenario)
    folder = (out or EXPERIMENTS / loaded.name).absolute()
    matrix = ExperimentRunner(loaded, cells, folder, command_line())
    matrix.check_folder()
    print(
        f"{len(cells)} cells: {len(loaded.variants)} variants, {len(loaded.seeds)} seeds, into {display_path(folder)}",
        flush=True,
    )
    with SignalHandler() as signals:
        finished = matrix.run(terminal.QuietView, lambda text: print(text, flush=True), signals)
    figures = matrix.figures()
    page = render_experiment(folder, figures)
    terminal.print_table(*table.brief_table(figures))
    print(f"\n{table.finding(figures)}.\nReport: {display_path(page)}")
    if not finished:
        print("Interrupted; the same command goes on where it stopped.")
        raise typer.Exit(ExitCode.INTERRUPTED)
    raise typer.Exit(_experiment_code(figures))


def _experiment_code(figures: ExperimentFigures) -> ExitCode:
    cells = [cell for variant in figures.variants for cell in variant.cells]
    if any(cell.safety is False for cell in cells):
        return ExitCode.FAILED
    return ExitCode.PASSED if all(cell.valid for cell in cells) else ExitCode.INVALID
