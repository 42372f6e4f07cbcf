"""`harness experiment`: a matrix of runs, compared."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.experiment import ExperimentFigures
from harness.base.errors import ExitCode
from harness.base.signals import SignalHandler
from harness.cli.options import RUNS, check_scenario, check_target_given, command_line
from harness.run_folder.tables import read_planned_due
from harness.runner.experiment import ExperimentRunner
from harness.scenario.experiment import load_experiment
from reports import terminal
from reports.experiment import brief_table, finding, render_experiment
from reports.live_view import QuietView
from reports.terminal import display_path

EXPERIMENTS = RUNS / "experiments"


def experiment(
    source: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT", help="A built-in experiment's name, or a .toml file: base, variants, seeds."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Result folder; the same folder resumes. Default: runs/experiments/<name>.")
    ] = None,
) -> None:
    """Run a matrix of scenarios and compare them; resumes if interrupted."""
    loaded, cells = load_experiment(source, read_planned_due)
    for cell in cells:
        check_scenario(f"{source}, variant {cell.variant.name}", cell.scenario)
        check_target_given(source, cell.scenario)
    folder = (out or EXPERIMENTS / loaded.name).absolute()
    runner = ExperimentRunner(loaded, cells, folder, command_line())
    runner.check_folder()
    print(
        f"{len(cells)} cells: {len(loaded.variants)} variants, {len(loaded.seeds)} seeds, into {display_path(folder)}",
        flush=True,
    )
    with SignalHandler() as signals:
        finished = runner.run(QuietView, lambda text: print(text, flush=True), signals)
    figures = runner.figures()
    page = render_experiment(folder, figures)
    terminal.print_table(*brief_table(figures))
    print(f"\n{finding(figures)}.\nReport: {display_path(page)}")
    if not finished:
        print("Interrupted. Run the same command again to resume.")
        raise typer.Exit(ExitCode.TERMINATED if signals.received == signal.SIGTERM else ExitCode.INTERRUPTED)
    raise typer.Exit(_experiment_code(figures))


def _experiment_code(figures: ExperimentFigures) -> ExitCode:
    cells = [cell for variant in figures.variants for cell in variant.cells]
    # A lost page outweighs an invalid run: it is lost however the times were measured.
    if any(cell.safety is False for cell in cells):
        return ExitCode.FAILED
    return ExitCode.PASSED if all(cell.valid for cell in cells) else ExitCode.INVALID
