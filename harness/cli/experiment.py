"""`harness experiment`: a matrix of runs, compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.experiment import ExperimentFigures
from harness.base.errors import ExitCode, UsageError
from harness.base.safe_files import write_json
from harness.base.signals import SignalHandler
from harness.cli.options import (
    AllowCode,
    AllowCommand,
    AlsoTarget,
    Between,
    Report,
    Target,
    Web,
    check_code_allowed,
    check_listening,
    check_scenario,
    check_target_given,
    command_line,
    external_target_of,
    planning,
)
from harness.cli.runs import RUNS
from harness.cli.web import LivePage, live_page, parse_web
from harness.plan import Plan, make_plan
from harness.run_folder.tables import read_planned_due
from harness.runner.between import parse_between
from harness.runner.experiment import ExperimentRunner
from harness.runner.simulated_experiment import cell_folder, choose_confirmed, pair_cells, play_experiment
from harness.runner.simulated_run import check_simulation
from harness.scenario.experiment import Cell, Experiment, load_experiment
from harness.scenario.scenario import Scenario
from harness.target.external import ExternalTarget
from reports import terminal
from reports.against import BRIEF_HEADERS, against_finding, brief_rows
from reports.experiment import ConfirmedCells, brief_table, finding, render_experiment
from reports.live_view import QuietView
from reports.terminal import display_path

EXPERIMENTS = RUNS / "experiments"
CONFIRMED = "confirmed"
"""Folder of the real runs, inside a simulated experiment's."""


def experiment(
    source: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT", help="A built-in experiment's name, or a .toml file: base, variants, seeds."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Result folder; the same folder resumes. Default: runs/experiments/<name>[-simulated]."),
    ] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="Play all cells in virtual time, on all cores.")] = False,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, metavar="N", help="Number of seeds, with --simulate. Default: those of the file."
        ),
    ] = None,
    target: Target = None,
    also_target: AlsoTarget = [],
    allow_command: AllowCommand = False,
    between: Between = None,
    confirm: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="With --simulate: then run the base and the best K variants for real, beside each other.",
        ),
    ] = None,
    allow_code: AllowCode = False,
    report: Report = True,
    web: Web = None,
) -> None:
    """Run a matrix of scenarios and compare them; resumes if interrupted."""
    real = {"--target": target, "--also-target": also_target or None, "--between": between}
    real_only = [name for name, value in real.items() if value is not None]
    _check_options(simulate=simulate, seeds=seeds, confirm=confirm, real_only=real_only, web=web)
    web_address = parse_web(web)
    reset = parse_between(between, allow_command=allow_command)
    loaded, cells = load_experiment(source, read_planned_due, seeds)
    for cell in cells:
        check_scenario(f"{source}, variant {cell.variant.name}", cell.scenario)
        if target is None:
            check_target_given(source, cell.scenario)
        check_code_allowed(source, cell.scenario, allow_code=allow_code)
        if simulate:
            check_simulation(f"{source}: {cell.variant.name}", cell.scenario)
    folder = (out or EXPERIMENTS / f"{loaded.name}{'-simulated' if simulate else ''}").absolute()
    if simulate:
        with live_page(web_address, "experiment", loaded.title or loaded.name, folder) as live:
            raise typer.Exit(_simulate(loaded, cells, folder, confirm, live, report=report))

    def admit(scenario: Scenario, plan: Plan) -> ExternalTarget | None:
        return external_target_of(target, source, scenario, plan, 1, allow_command=allow_command, also=also_target)

    runner = ExperimentRunner(loaded, cells, folder, command_line(), admit, reset, report=report)
    runner.check_folder(target=target)
    with planning(source):
        plan = make_plan(cells[0].scenario)
    check_listening(admit(cells[0].scenario, plan))
    _announce(loaded, cells, folder)
    with live_page(web_address, "experiment", loaded.title or loaded.name, folder, len(cells)) as live:
        figures, stopped = _run_cells(runner, live)
        page = render_experiment(folder, figures)
        live.finish(page)
    terminal.print_table(*brief_table(figures))
    print(f"\n{finding(figures)}.\nReport: {display_path(page)}")
    if stopped is not None:
        print("Interrupted. Run the same command again to resume.")
    raise typer.Exit(_experiment_code(figures) if stopped is None else stopped)


def _check_options(
    *, simulate: bool, seeds: int | None, confirm: int | None, real_only: Sequence[str], web: str | None
) -> None:
    """Raise UsageError for options that do not go together; `real_only` are those given that are for real runs."""
    if not simulate and (seeds is not None or confirm is not None):
        message = f"{'--seeds' if confirm is None else '--confirm'} goes with --simulate"
        raise UsageError(message)
    if simulate and real_only:
        message = f"{real_only[0]} is for real runs: leave --simulate out"
        raise UsageError(message)
    if simulate and web is not None and confirm is None:
        message = "--web is for real runs: leave --simulate out, or add --confirm"
        raise UsageError(message)


def _announce(loaded: Experiment, cells: list[Cell], folder: Path) -> None:
    variants, seeds = len(loaded.variants), len(loaded.seeds)
    print(f"{len(cells)} cells: {variants} variants, {seeds} seeds, into {display_path(folder)}", flush=True)


def _run_cells(runner: ExperimentRunner, live: LivePage) -> tuple[ExperimentFigures, ExitCode | None]:
    """Run what is not finished; the figures, and the exit code of the signal that stopped it before every cell was run."""
    with SignalHandler() as signals:
        finished = runner.run(live.views(QuietView), live.logger(lambda text: print(text, flush=True)), signals)
    stopped = None if signals.received is None else ExitCode(128 + signals.received)
    return runner.figures(), None if finished else stopped or ExitCode.INTERRUPTED


def _simulate(
    loaded: Experiment, cells: list[Cell], folder: Path, confirm: int | None, live: LivePage, *, report: bool
) -> int:
    """Play all cells in virtual time, confirm the best ones if asked to, and report; the exit code."""
    _announce(loaded, cells, folder)
    ExperimentRunner(loaded, cells, folder, command_line()).check_folder(simulated=True)
    with SignalHandler() as signals:
        figures = play_experiment(loaded, cells, folder, command_line(), lambda: signals.received is not None)
    confirmed, stopped = None, None if signals.received is None else ExitCode(128 + signals.received)
    if stopped is None and confirm is not None:
        confirmed, stopped = _confirm(loaded, cells, folder, figures, confirm, live, report=report)
    page = render_experiment(folder, figures, confirmed)
    live.finish(page)
    print("SIMULATED")
    terminal.print_table(*brief_table(figures))
    print(f"\n{finding(figures)}.")
    if confirmed is not None:
        print(f"\n{confirmed.finding}.\n")
        terminal.print_table(confirmed.headers, confirmed.rows)
    print(f"Report: {display_path(page)}")
    print(f"A run's own page: harness report {display_path(cell_folder(folder, cells[0]).path)}")
    if stopped is not None:
        print("Interrupted. Run the same command again: it plays every run anew.")
        return stopped
    return _experiment_code(figures)


def _confirm(
    loaded: Experiment,
    cells: list[Cell],
    folder: Path,
    figures: ExperimentFigures,
    best: int,
    live: LivePage,
    *,
    report: bool,
) -> tuple[ConfirmedCells | None, ExitCode | None]:
    """Run the first and the best variants for real, with all their seeds; the table, and the code of a signal that stopped it."""
    chosen = choose_confirmed(loaded, figures, best)
    names = {variant.name for variant in chosen.variants}
    selected = [cell for cell in cells if cell.variant.name in names]
    measured = folder / CONFIRMED
    _announce(chosen, selected, measured)
    runner = ExperimentRunner(chosen, selected, measured, command_line(), report=report)
    runner.check_folder()
    _, stopped = _run_cells(runner, live)
    found = pair_cells(selected, folder, measured)
    if not found.pairs:
        return None, stopped
    write_json(folder / "against.json", found.model_dump(mode="json"))
    return ConfirmedCells(against_finding(found), BRIEF_HEADERS, brief_rows(found)), stopped


def _experiment_code(figures: ExperimentFigures) -> ExitCode:
    cells = [cell for variant in figures.variants for cell in variant.cells]
    # A lost page outweighs an invalid run: it is lost however the times were measured.
    if any(cell.safety is False for cell in cells):
        return ExitCode.FAILED
    return ExitCode.PASSED if all(cell.valid for cell in cells) else ExitCode.INVALID
