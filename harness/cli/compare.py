"""`harness compare` and `harness calibrate`: whether it is worse than before, and whether one could tell."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.comparable import JUDGED_FIGURES
from harness.base.errors import ExitCode
from harness.base.signals import SignalHandler
from harness.cli.options import (
    RUNS,
    AllowCommand,
    Overrides,
    ScenarioName,
    Seed,
    Target,
    Workers,
    assertions_of,
    auto_workers,
    check_fits,
    check_listening,
    check_name,
    check_thresholds,
    command_line,
    external_target_of,
    own_assertions,
    run_folder,
)
from harness.judge.compare.noise import ALPHA, MIN_RUNS, Noise
from harness.judge.compare.results import Comparison, format_percent
from harness.judge.compare.tolerances import DEFAULT_TOLERANCE, parse_tolerances
from harness.judge.thresholds.evaluate import limits_s
from harness.plan import capacity, make_plan
from harness.plan.worker_count import parse_worker_count
from harness.run_folder.layout import RunFolder
from harness.run_folder.tables import read_planned_due
from harness.runner.history import runs_in
from harness.runner.noise_store import noise_folder, save_noise
from harness.runner.run_spec import RunSpec
from harness.scenario import loader
from reports import terminal
from reports.comparison import table
from reports.comparison.ci import publish_comparison
from reports.places import display_path

COMPARISONS, CALIBRATIONS = RUNS / "comparisons", RUNS / "calibrations"

ToleranceOption = Annotated[
    list[str],
    typer.Option("--tolerance", metavar="[FIGURE=]P%", help="How much worse: 5% for all, response_seconds.p95=10% for one."),
]  # fmt: skip


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="What is compared with: a run, or a folder of runs.")],
    run: Annotated[list[Path], typer.Argument(metavar="RUN…", help="What is judged: runs, or folders of runs.")],
    more_base: Annotated[list[Path], typer.Option("--base", metavar="RUN", help="One more run of the base's side.")] = [],
    tolerance: ToleranceOption = [],
    force: Annotated[bool, typer.Option("--force", help="Compare unlike scenarios, seeds, versions or hosts too.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder; default: runs/comparisons/<time>-<hex>.")] = None,
) -> None:  # fmt: skip
    """Say whether RUN is worse than BASE: 0 no, 99 yes, 3 can't tell."""
    from harness.runner.compare import ComparisonRequest, compare_runs, paths_in, write_comparison  # noqa: PLC0415 - drawing takes most of a second to import

    tolerances = parse_tolerances(tolerance)
    ours, theirs = _runs_of([base, *more_base]), _runs_of(run)
    folder = (out or COMPARISONS / _stamp()).absolute()
    check_name(folder)
    found = compare_runs(ComparisonRequest(ours, theirs, tolerances, noise_folder(), force), own_assertions)
    places = paths_in(folder)
    write_comparison(found, places)
    print_comparison(found, places.page)
    raise typer.Exit(found.exit_code)


def compare_with_baseline(baseline: RunFolder, folder: RunFolder, tolerance: list[str]) -> int:
    """Compare a run that has just ended with its baseline, into the run's own folder; the exit code."""
    from harness.runner.compare import ComparisonRequest, compare_runs, paths_beside, write_comparison  # noqa: PLC0415 - as above
    from reports.html import link_comparison  # noqa: PLC0415 - as above

    question = ComparisonRequest([baseline], [folder], parse_tolerances(tolerance), noise_folder())
    found = compare_runs(question, own_assertions)
    write_comparison(found, paths_beside(folder))
    link_comparison(folder.page, found)
    print_comparison(found, folder.comparison_page)
    return found.exit_code


def calibrate(
    source: ScenarioName,
    runs: Annotated[int, typer.Option("--runs", min=MIN_RUNS, max=100, help="How many runs; more see smaller changes.")] = 10,
    overrides: Overrides = [],
    seed: Seed = None,
    workers: Workers = None,
    target: Target = None,
    allow_command: AllowCommand = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs. Default: runs/calibrations/<time>-<name>-<hex>.")] = None,
) -> None:  # fmt: skip
    """Run the same again and again: say which change can be seen at all."""
    from harness.runner.calibration import Calibration, noise_from  # noqa: PLC0415 - as above

    loaded = loader.load_scenario(source, overrides, seed, read_planned_due)
    check_thresholds(source, loaded)
    number, plan = parse_worker_count(workers), make_plan(loaded)
    count = number or auto_workers(loaded, plan)
    foreign = external_target_of(target, source, loaded, plan, count, allow_command=allow_command)
    check_fits(
        source, capacity.find_capacity_problems(loaded, plan, count, None if foreign is None else foreign.address)
    )
    folder = (out or CALIBRATIONS / f"{_stamp(loaded.name)}").absolute()
    check_name(folder)
    assertions = assertions_of(loaded)
    limits = limits_s(assertions)
    order = RunSpec(
        loaded, plan, RunFolder(folder), folder.name, command_line(), limits, workers=count, foreign=foreign
    )
    calibration = Calibration(order, assertions, folder, runs)
    calibration.check_folder()
    check_listening(foreign)
    print(
        f"{runs} runs of {loaded.name}, at most {loaded.deadline:g} s each and some seconds around it, into {display_path(folder)}"
    )
    with SignalHandler() as signals:
        made = calibration.execute(terminal.QuietView, lambda text: print(text, flush=True), signals)
    if signals.heard is not None:
        print("Interrupted: nothing is kept of this calibration but its runs.")
        raise typer.Exit(128 + signals.heard)
    valid = sum(not run.reasons for run in made)
    if valid < MIN_RUNS:
        print(f"INVALID: {valid} of {len(made)} runs are measurements to be trusted, {MIN_RUNS} are needed.")
        raise typer.Exit(ExitCode.INVALID)
    noise = noise_from(made, datetime.now(UTC))
    _show_noise(noise, save_noise(noise_folder(), noise))


def print_comparison(comparison: Comparison, page: Path) -> None:
    """Print a comparison: verdict, reasons, table, where the page is."""
    print(f"\n{table.COMPARISON_LABELS[comparison.verdict]}  {comparison.finding}.")
    for line in comparison.reasons:
        print(f"  - {line}")
    for line in comparison.unlike:
        print(f"  - unlike, compared by force: {line}")
    print()
    rows = table.rows(comparison)
    terminal.print_table(list(table.HEADERS[:-1]), [row[:-1] for row in rows])
    for _, key, *_, reason in rows:
        if reason:
            print(f"  - {key}: {reason}")
    print(f"\nComparison: {display_path(page)}")
    terminal.print_lines(publish_comparison(comparison))


def _show_noise(noise: Noise, path: Path) -> None:
    print("\nThe smallest change that can be told from none (95 % confidence over all of these, 90 % power):\n")
    terminal.print_table(table.NOISE_HEADERS, table.noise_rows(noise))
    blind = [
        key
        for key in JUDGED_FIGURES
        if key in noise.figures and noise.figures[key].detectable(ALPHA) > DEFAULT_TOLERANCE
    ]
    if blind:
        usual = format_percent(DEFAULT_TOLERANCE)
        print(
            f"\nWider than the usual tolerance of {usual}, by which `harness compare` won't judge them: {', '.join(blind)}."
        )
    print(f"\nKept for this machine and scenario: {display_path(path)}")


def _runs_of(paths: list[Path]) -> list[RunFolder]:
    return [folder for path in paths for folder in runs_in(run_folder(path).path)]


def _stamp(name: str = "") -> str:
    return "-".join(filter(None, [f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", name, secrets.token_hex(2)]))
