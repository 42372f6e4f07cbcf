"""`harness run`: one scenario from plan to verdict."""

from __future__ import annotations

import re
import secrets
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from harness.base.errors import ConfigurationError, UsageError
from harness.base.signals import SignalHandler
from harness.cli.compare import ToleranceOption, compare_with_baseline
from harness.cli.options import (
    RUNS,
    AllowCommand,
    Overrides,
    PrometheusUrl,
    ScenarioName,
    Seed,
    Target,
    Workers,
    abortable_thresholds,
    assertions_of,
    auto_workers,
    check_fits,
    check_listening,
    check_name,
    check_thresholds,
    command_line,
    external_target_of,
    finish_run,
    run_folder,
    warnings_of,
)
from harness.cli.worker import JOIN_TIMEOUT, Bind, JoinTimeout, RemoteWorkers, check_reachable, join_policy
from harness.judge.compare.compare import list_differences
from harness.judge.compare.tolerances import parse_tolerances
from harness.judge.thresholds.evaluate import limits_s
from harness.plan import capacity, make_plan
from harness.plan.worker_count import parse_worker_count
from harness.run_folder.layout import RunFolder, WorkerRecord
from harness.run_folder.tables import read_planned_due
from harness.runner.prometheus import discovery_folder, reachable_prometheus
from harness.runner.run import Run
from harness.runner.run_spec import RunSpec, initial_record
from harness.scenario import loader
from reports import terminal


def run(
    source: ScenarioName,
    overrides: Overrides = [],
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; must be empty or new. Default: runs/<time>-<name>-<hex>.")] = None,
    workers: Workers = None,
    remote_workers: RemoteWorkers = None,
    bind: Bind = None,
    join_timeout: JoinTimeout = JOIN_TIMEOUT,
    target: Target = None,
    allow_command: AllowCommand = False,
    name: Annotated[str | None, typer.Option(help="What the run folder is named after, instead of the scenario.")] = None,
    metrics_port: Annotated[int, typer.Option(min=0, max=65_000, help="Port of the first worker's /metrics; 0: any.")] = 0,
    prometheus: PrometheusUrl = None,
    prometheus_sd: Annotated[Path | None, typer.Option(metavar="DIR", envvar="HARNESS_PROMETHEUS_SD", help="Tell a Prometheus by a file here (file_sd) what to scrape.")] = None,
    baseline: Annotated[Path | None, typer.Option(metavar="RUN", help="An earlier run to compare with in the end.")] = None,
    tolerance: ToleranceOption = [],
) -> None:  # fmt: skip
    """Run a scenario: drive the load, judge it, draw the report."""
    loaded = loader.load_scenario(source, overrides, seed, read_planned_due)
    check_thresholds(source, loaded)
    number = parse_worker_count(workers)
    invited = join_policy(remote_workers, workers, bind, join_timeout, target)
    if prometheus is not None:
        reachable_prometheus("--prometheus", prometheus)
    plan = make_plan(loaded)
    count = remote_workers or number or auto_workers(loaded, plan)
    _check_ports(metrics_port, count)
    foreign = external_target_of(target, source, loaded, plan, count, allow_command=allow_command)
    address = None if foreign is None else foreign.address
    check_reachable(invited, address)
    fits = capacity.find_capacity_problems if invited is None else capacity.find_leader_problems
    check_fits(source, fits(loaded, plan, count, address))
    run_id = _run_id(name or loaded.name)
    check_name(out or RUNS)
    folder = RunFolder((out or RUNS / run_id).absolute())
    if folder.path.is_symlink():
        message = f"{folder.path} is a link: name the folder itself"
        raise UsageError(message)
    if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        message = f"{folder.path} is not an empty folder: nothing is overwritten"
        raise UsageError(message)
    order = RunSpec(
        scenario=loaded,
        plan=plan,
        folder=folder,
        run_id=run_id,
        command=command_line(),
        limits_s=limits_s(assertions_of(loaded)),
        watched=abortable_thresholds(loaded),
        workers=count,
        invitation=invited,
        foreign=foreign,
        metrics_port=metrics_port,
        prometheus=prometheus,
        prometheus_sd=prometheus_sd and discovery_folder("--prometheus-sd", prometheus_sd),
    )
    terminal.print_lines(warnings_of(loaded, plan))
    check_listening(foreign)
    print(
        f"{loaded.name}: at most {loaded.longest_s:g} s, and some seconds to start and to judge; "
        "ends as soon as all is delivered and no fault is to come",
        flush=True,
    )
    base = _baseline(baseline, tolerance, order)
    with SignalHandler() as signals:
        with terminal.LiveView(loaded.name) as view:
            Run(order, view, signals).execute()
        print("Counting, judging, drawing", flush=True)
        code = finish_run(folder, assertions_of(loaded))
        if base is not None and signals.heard is None:
            compared = compare_with_baseline(base, folder, tolerance)
            code = code or compared  # what the run itself has come to weighs more than what it is beside another
        raise typer.Exit(code if signals.heard is None else 128 + signals.heard)


def _baseline(path: Path | None, tolerance: list[str], order: RunSpec) -> RunFolder | None:
    """The run to compare with. Raises UsageError, before anything starts, where it can't be compared with what is ordered."""
    if path is None and tolerance:
        message = "--tolerance needs --baseline: it says how much worse than that the run may be"
        raise UsageError(message)
    if path is None:
        return None
    parse_tolerances(tolerance)
    folder = run_folder(path)
    workers = [WorkerRecord(rank=rank) for rank in range(order.workers)]
    differing = list_differences([folder.read_run()], [initial_record(order, "", workers)])
    if differing:
        label = f"--baseline {path} can't be compared with this run; baseline against run"
        raise ConfigurationError(label, differing)
    return folder


def _check_ports(first: int, workers: int) -> None:
    for port in range(first, first + workers) if first else ():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                message = f"--metrics-port {first}: port {port} can't be had: {error.strerror}"
                raise UsageError(message) from None


def _run_id(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        message = f'--name "{name}" may have letters, digits, "-" and "_" only, 64 at most, the first no "-" or "_"'
        raise UsageError(message)
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}-{secrets.token_hex(2)}"
