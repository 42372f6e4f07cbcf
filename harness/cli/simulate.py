"""`harness simulate`: one scenario in virtual time, from plan to verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.seeds import summarise_seeds
from harness.base.errors import ExitCode, UsageError
from harness.base.safe_files import write_json
from harness.base.signals import SignalHandler
from harness.cli.options import (
    Overrides,
    Report,
    Seed,
    abortable_thresholds,
    assertions_of,
    check_name,
    check_new_folder,
    check_scenario,
    command_line,
    own_assertions,
    planning,
    run_folder,
    run_id_of,
    runs_in,
    stamp,
    warnings_of,
)
from harness.cli.runs import RUNS, Labels, parse_labels
from harness.judge.thresholds.evaluate import limits_s
from harness.run_folder.layout import RunFolder
from harness.run_folder.tables import read_planned_due
from harness.runner.against import predict_runs
from harness.runner.finish import finish_run
from harness.runner.run_spec import RunSpec
from harness.runner.simulated_cells import SimulatedCell, play_cells
from harness.runner.simulated_run import SimulatedRun, check_simulation, make_simulated_plan
from harness.scenario import loader
from harness.scenario.scenario import Scenario
from reports import terminal

SEEDS_FILE, AGAINST_FILE = "seeds.json", "against.json"
PREDICTIONS = RUNS / "predictions"


def simulate(
    source: Annotated[str | None, typer.Argument(metavar="[SCENARIO]", help="Name of a built-in scenario, or a .toml file; with --against only for its [simulate] (and [server]).")] = None,
    overrides: Overrides = [],
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; must be new or empty. Default: runs/<time>-<name>-simulated-<hex>.")] = None,
    labels: Labels = [],
    name: Annotated[str | None, typer.Option(help="Name the run folder after this instead of the scenario.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, max=100_000, metavar="N", help="Play N seeds, counted from the scenario's, on all cores: bands of the key figures, and how likely each threshold holds.")] = None,
    report: Report = True,
    against: Annotated[list[Path], typer.Option("--against", metavar="RUN", help="Play the scenario and seed of a measured run (or of each in a folder) and show predicted beside measured.")] = [],
) -> None:  # fmt: skip
    """Play a scenario in virtual time, in seconds: the same run folder, judged the same way.

    The same plan, stations, strategies, links, overload model and faults as `harness run`, without sockets and without
    waiting. Nothing is measured: verdict, page and files say SIMULATED. The exit code is that of a run; with --seeds, 0 if
    every seed passes, 99 if one fails. With --against it is 0.
    """
    if not report and (against or seeds is not None):
        message = f"--no-report is for one run: leave it or {'--against' if against else '--seeds'} out"
        raise UsageError(message)
    if against:
        model = None if source is None else loader.load_scenario(source, overrides, seed, read_planned_due)
        raise typer.Exit(_predict(against, model, (out or PREDICTIONS / stamp(name or "")).absolute()))
    if source is None:
        message = "name a scenario, or give a measured run with --against RUN"
        raise UsageError(message)
    loaded = loader.load_scenario(source, overrides, seed, read_planned_due)
    check_scenario(source, loaded)
    check_simulation(source, loaded)
    run_id = run_id_of(name or f"{loaded.name}-simulated")
    check_name(out or RUNS)
    folder = RunFolder((out or RUNS / run_id).absolute())
    check_new_folder(folder)
    with SignalHandler() as signals, planning(source):
        if seeds is None:
            code = _simulate_one(loaded, folder, run_id, parse_labels(labels), signals, report=report)
        else:
            code = _simulate_seeds(loaded, folder.path, seeds, signals)
        raise typer.Exit(code if signals.received is None else 128 + signals.received)


def _simulate_one(
    loaded: Scenario, folder: RunFolder, run_id: str, labels: dict[str, str], signals: SignalHandler, *, report: bool
) -> int:
    plan = make_simulated_plan(loaded)
    terminal.print_lines(warnings_of(loaded, plan))
    spec = RunSpec(
        scenario=loaded,
        plan=plan,
        folder=folder,
        run_id=run_id,
        command=command_line(),
        labels=labels,
        limits_s=limits_s(assertions_of(loaded)),
        abort_thresholds=abortable_thresholds(loaded),
        simulated=True,
    )
    SimulatedRun(spec, signals).execute()
    return finish_run(folder, assertions_of(loaded), report=report)


def _simulate_seeds(loaded: Scenario, folder: Path, number: int, signals: SignalHandler) -> int:
    """Play seeds that follow each other and print what they have in common; the exit code."""
    from reports.seeds import FIGURE_HEADERS, ODDS_HEADERS, figure_rows, odds_rows, render_seeds, seeds_finding  # noqa: PLC0415 - Matplotlib takes a third of a second to import

    cells = [
        SimulatedCell(loaded.model_copy(update={"seed": loaded.seed + place}).resolved()) for place in range(number)
    ]
    runs = play_cells(cells, is_stopped=lambda: signals.received is not None)
    if signals.received is not None:
        print(f"{signals.received.name}: stopped after {len(runs)} of {number} seeds; nothing was written")
        return 128 + signals.received
    figures = summarise_seeds(
        runs, name=loaded.name, title=loaded.title, deadline_s=loaded.deadline, time_scale=loaded.time_scale
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SEEDS_FILE, figures.model_dump(mode="json"))
    page = render_seeds(folder, figures)
    print(f"SIMULATED  {seeds_finding(figures)}.\n")
    if figures.thresholds:
        terminal.print_table(ODDS_HEADERS, odds_rows(figures))
        print()
    terminal.print_table(FIGURE_HEADERS, figure_rows(figures))
    print(f"\nReport: {terminal.display_path(page)}")
    if figures.unsafe or figures.verdicts["fail"]:
        return ExitCode.FAILED
    return ExitCode.INVALID if figures.verdicts["invalid"] else ExitCode.PASSED


def _predict(paths: list[Path], model: Scenario | None, out: Path) -> int:
    """Play measured runs again and print predicted beside measured."""
    from reports.against import BRIEF_HEADERS, PAIR_HEADERS, against_finding, brief_rows, pair_rows, render_against  # noqa: PLC0415 - as above

    check_name(out)
    check_new_folder(RunFolder(out))
    folders = [folder for path in paths for folder in runs_in(run_folder(path).path)]
    found = predict_runs(folders, model, own_assertions)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / AGAINST_FILE, found.model_dump(mode="json"))
    page = render_against(out, found)
    print(f"SIMULATED  {against_finding(found)}.\n")
    if len(found.pairs) == 1:
        terminal.print_table(PAIR_HEADERS, pair_rows(found.pairs[0]))
    else:
        terminal.print_table(BRIEF_HEADERS, brief_rows(found))
    print(f"\nReport: {terminal.display_path(page)}")
    return ExitCode.PASSED
