"""`harness calibrate`: how much figures vary from run to run on this machine, so that a comparison can tell change from noise."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.comparable import JUDGED_FIGURES
from harness.base.errors import ExitCode
from harness.base.signals import SignalHandler
from harness.cli.options import (
    AllowCode,
    AllowCommand,
    AlsoTarget,
    Between,
    Overrides,
    ScenarioName,
    Seed,
    Target,
    Workers,
    assertions_of,
    auto_workers,
    check_code_allowed,
    check_fits,
    check_listening,
    check_name,
    check_scenario,
    command_line,
    external_target_of,
    planning,
    stamp,
)
from harness.cli.runs import RUNS
from harness.judge.compare.figure import DEFAULT_TOLERANCE
from harness.judge.compare.noise import ALPHA, MIN_RUNS, Noise
from harness.judge.compare.results import format_percent
from harness.judge.thresholds.evaluate import limits_s
from harness.plan import capacity, make_plan
from harness.plan.demand import parse_worker_count
from harness.run_folder.layout import RunFolder
from harness.run_folder.tables import read_planned_due
from harness.runner.between import parse_between
from harness.runner.calibration import Calibration, noise_from
from harness.runner.noise_files import noise_folder, save_noise
from harness.runner.run_spec import RunSpec
from harness.scenario import loader
from reports import terminal
from reports.comparison import NOISE_HEADERS, noise_rows
from reports.live_view import QuietView
from reports.terminal import display_path

CALIBRATIONS = RUNS / "calibrations"


def calibrate(
    source: ScenarioName,
    runs: Annotated[int, typer.Option("--runs", min=MIN_RUNS, max=100, help="Number of runs; more runs make smaller changes detectable.")] = 10,
    overrides: Overrides = [],
    seed: Seed = None,
    workers: Workers = None,
    target: Target = None,
    also_target: AlsoTarget = [],
    allow_command: AllowCommand = False,
    between: Between = None,
    allow_code: AllowCode = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs. Default: runs/calibrations/<time>-<name>-<hex>.")] = None,
) -> None:  # fmt: skip
    """Measure run-to-run noise; report the smallest detectable change."""
    loaded = loader.load_scenario(source, overrides, seed, read_planned_due)
    check_scenario(source, loaded)
    check_code_allowed(source, loaded, allow_code=allow_code)
    number = parse_worker_count(workers)
    with planning(source):
        plan = make_plan(loaded)
    count = number or auto_workers(loaded, plan)
    external = external_target_of(target, source, loaded, plan, count, allow_command=allow_command, also=also_target)
    address = None if external is None else external.address
    check_fits(source, capacity.find_capacity_problems(loaded, plan, count, address))
    folder = (out or CALIBRATIONS / stamp(loaded.name)).absolute()
    check_name(folder)
    assertions = assertions_of(loaded)
    limits = limits_s(assertions)
    spec = RunSpec(
        loaded, plan, RunFolder(folder), folder.name, command_line(), limits, workers=count, external=external
    )
    calibration = Calibration(spec, assertions, folder, runs, parse_between(between, allow_command=allow_command))
    calibration.check_folder()
    check_listening(external)
    print(
        f"{runs} runs of {loaded.name}, each up to {loaded.deadline:g} s plus some seconds, into {display_path(folder)}"
    )
    with SignalHandler() as signals:
        finished = calibration.execute(QuietView, lambda text: print(text, flush=True), signals)
    if signals.received is not None:
        print("Interrupted: the finished runs are kept, but no calibration was saved.")
        raise typer.Exit(128 + signals.received)
    valid = sum(not run.reasons for run in finished)
    if valid < MIN_RUNS:
        print(f"INVALID: only {valid} of {len(finished)} runs are valid, {MIN_RUNS} are needed.")
        raise typer.Exit(ExitCode.INVALID)
    noise = noise_from(finished, datetime.now(UTC))
    _print_noise(noise, save_noise(noise_folder(), noise))


def _print_noise(noise: Noise, path: Path) -> None:
    print("\nThe smallest detectable change (95 % confidence over all of these, 90 % power):\n")
    terminal.print_table(NOISE_HEADERS, noise_rows(noise))
    blind = [
        key
        for key in JUDGED_FIGURES
        if key in noise.figures and noise.figures[key].detectable(ALPHA) > DEFAULT_TOLERANCE
    ]
    if blind:
        usual = format_percent(DEFAULT_TOLERANCE)
        print(f"\nAbove the usual tolerance of {usual}, so `harness compare` can't judge by it: {', '.join(blind)}.")
    print(f"\nSaved for this machine and scenario: {display_path(path)}")
