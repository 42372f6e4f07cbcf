"""`harness compare` and `harness calibrate`: whether it is worse than before, and whether one could tell."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.comparable import GATED
from harness.base.errors import ExitCode
from harness.base.signals import Signals
from harness.cli.options import (
    RUNS,
    AllowCommand,
    Overrides,
    ScenarioName,
    Seed,
    Target,
    Workers,
    assertions_of,
    check_fits,
    check_listening,
    check_name,
    check_thresholds,
    command_line,
    crew_size,
    foreign_of,
    own_assertions,
    run_folder,
)
from harness.judge.compare.noise import ALPHA, FEWEST_RUNS, Noise
from harness.judge.compare.results import Comparison, percent
from harness.judge.compare.tolerances import DEFAULT_TOLERANCE, parse_tolerances
from harness.judge.thresholds.evaluate import limits_s
from harness.plan import capacity, make_plan
from harness.plan.worker_count import workers_of
from harness.run_folder.layout import RunFolder
from harness.run_folder.tables import planned_due
from harness.runner.history import runs_in
from harness.runner.noise_store import noise_folder, save_noise
from harness.runner.run_spec import Order
from harness.scenario import loader
from reports import terminal
from reports.comparison import table
from reports.comparison.ci import announce_comparison
from reports.places import place

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
    from harness.runner.compare import Question, answer, keep, places_in  # noqa: PLC0415 - drawing takes most of a second to import

    tolerances = parse_tolerances(tolerance)
    ours, theirs = _runs_of([base, *more_base]), _runs_of(run)
    folder = (out or COMPARISONS / _stamp()).absolute()
    check_name(folder)
    found = answer(Question(ours, theirs, tolerances, noise_folder(), force), own_assertions)
    places = places_in(folder)
    keep(found, places)
    show(found, places.page)
    raise typer.Exit(found.exit_code)


def compare_with_baseline(baseline: RunFolder, folder: RunFolder, tolerance: list[str]) -> int:
    """Compare a run that has just ended with its baseline, into the run's own folder; the exit code."""
    from harness.runner.compare import Question, answer, keep, places_of  # noqa: PLC0415 - as above
    from reports.html import link_comparison  # noqa: PLC0415 - as above

    question = Question([baseline], [folder], parse_tolerances(tolerance), noise_folder())
    found = answer(question, own_assertions)
    keep(found, places_of(folder))
    link_comparison(folder.page, found)
    show(found, folder.comparison_page)
    return found.exit_code


def calibrate(
    source: ScenarioName,
    runs: Annotated[int, typer.Option("--runs", min=FEWEST_RUNS, max=100, help="How many runs; more see smaller changes.")] = 10,
    overrides: Overrides = [],
    seed: Seed = None,
    workers: Workers = None,
    target: Target = None,
    allow_command: AllowCommand = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs. Default: runs/calibrations/<time>-<name>-<hex>.")] = None,
) -> None:  # fmt: skip
    """Run the same again and again: say which change can be seen at all."""
    from harness.runner.calibration import Calibration, noise_from  # noqa: PLC0415 - as above

    loaded = loader.load(source, overrides, seed, planned_due)
    check_thresholds(source, loaded)
    number, plan = workers_of(workers), make_plan(loaded)
    count = number or crew_size(loaded, plan)
    foreign = foreign_of(target, source, loaded, plan, count, allow_command=allow_command)
    check_fits(source, capacity.misfits(loaded, plan, count, None if foreign is None else foreign.address))
    folder = (out or CALIBRATIONS / f"{_stamp(loaded.name)}").absolute()
    check_name(folder)
    assertions = assertions_of(loaded)
    limits = limits_s(assertions)
    order = Order(loaded, plan, RunFolder(folder), folder.name, command_line(), limits, workers=count, foreign=foreign)
    calibration = Calibration(order, assertions, folder, runs)
    calibration.check_folder()
    check_listening(foreign)
    print(
        f"{runs} runs of {loaded.name}, at most {loaded.deadline:g} s each and some seconds around it, into {place(folder)}"
    )
    with Signals() as signals:
        made = calibration.execute(terminal.QuietView, lambda text: print(text, flush=True), signals)
    if signals.heard is not None:
        print("Interrupted: nothing is kept of this calibration but its runs.")
        raise typer.Exit(128 + signals.heard)
    valid = sum(not run.reasons for run in made)
    if valid < FEWEST_RUNS:
        print(f"INVALID: {valid} of {len(made)} runs are measurements to be trusted, {FEWEST_RUNS} are needed.")
        raise typer.Exit(ExitCode.INVALID)
    noise = noise_from(made, datetime.now(UTC))
    _show_noise(noise, save_noise(noise_folder(), noise))


def show(comparison: Comparison, page: Path) -> None:
    """Print a comparison: verdict, reasons, table, where the page is."""
    print(f"\n{table.HEADLINES[comparison.verdict]}  {comparison.finding}.")
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
    print(f"\nComparison: {place(page)}")
    terminal.print_lines(announce_comparison(comparison))


def _show_noise(noise: Noise, path: Path) -> None:
    print("\nThe smallest change that can be told from none (95 % confidence over all of these, 90 % power):\n")
    terminal.print_table(table.NOISE_HEADERS, table.noise_rows(noise))
    blind = [key for key in GATED if key in noise.figures and noise.figures[key].detectable(ALPHA) > DEFAULT_TOLERANCE]
    if blind:
        usual = percent(DEFAULT_TOLERANCE)
        print(
            f"\nWider than the usual tolerance of {usual}, by which `harness compare` won't judge them: {', '.join(blind)}."
        )
    print(f"\nKept for this machine and scenario: {place(path)}")


def _runs_of(paths: list[Path]) -> list[RunFolder]:
    return [folder for path in paths for folder in runs_in(run_folder(path).path)]


def _stamp(name: str = "") -> str:
    return "-".join(filter(None, [f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", name, secrets.token_hex(2)]))
