"""`harness run`: one scenario from plan to verdict."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from harness.base.errors import ConfigurationError, ExitCode, UsageError
from harness.base.signals import SignalHandler
from harness.cli.compare import ToleranceOption, compare_with_baseline
from harness.cli.options import (
    AllowCode,
    AllowCommand,
    AlsoTarget,
    Overrides,
    PrometheusUrl,
    Report,
    ScenarioName,
    Seed,
    Target,
    Web,
    Workers,
    abortable_thresholds,
    assertions_of,
    auto_workers,
    check_code_allowed,
    check_fits,
    check_listening,
    check_name,
    check_new_folder,
    check_scenario,
    command_line,
    external_target_of,
    planning,
    run_folder,
    run_id_of,
    warnings_of,
)
from harness.cli.otlp import parse_otlp
from harness.cli.runs import RUNS, Labels, parse_labels
from harness.cli.web import live_page, parse_web
from harness.cli.worker import (
    JOIN_TIMEOUT,
    Bind,
    JoinTimeout,
    RemoteWorkers,
    check_photos_for_remote,
    check_target_for_remote,
    join_policy,
)
from harness.judge.compare.compare import list_differences
from harness.judge.compare.figure import parse_tolerances
from harness.judge.thresholds.evaluate import limits_s
from harness.plan import capacity, make_plan
from harness.plan.demand import parse_worker_count
from harness.run_folder.layout import RunFolder, WorkerRecord
from harness.run_folder.tables import read_planned_due
from harness.runner.finish import finish_run
from harness.runner.prometheus import discovery_folder, reachable_prometheus
from harness.runner.run import Run
from harness.runner.run_record import initial_record
from harness.runner.run_spec import RunSpec
from harness.scenario import loader
from reports import terminal
from reports.live_view import LiveView


def run(
    source: ScenarioName,
    overrides: Overrides = [],
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; must be new or empty. Default: runs/<time>-<name>-<hex>.")] = None,
    workers: Workers = None,
    remote_workers: RemoteWorkers = None,
    bind: Bind = None,
    join_timeout: JoinTimeout = JOIN_TIMEOUT,
    target: Target = None,
    also_target: AlsoTarget = [],
    allow_command: AllowCommand = False,
    allow_code: AllowCode = False,
    labels: Labels = [],
    name: Annotated[str | None, typer.Option(help="Name the run folder after this instead of the scenario.")] = None,
    metrics_port: Annotated[int, typer.Option(min=0, max=65_000, help="Port of the first worker's /metrics, the others follow; 0: any free port.")] = 0,
    prometheus: PrometheusUrl = None,
    prometheus_sd: Annotated[Path | None, typer.Option(metavar="DIR", envvar="HARNESS_PROMETHEUS_SD", help="Folder for a file_sd file that tells a Prometheus what to scrape.")] = None,
    baseline: Annotated[Path | None, typer.Option(metavar="RUN", help="An earlier run to compare with at the end.")] = None,
    tolerance: ToleranceOption = [],
    web: Web = None,
    otlp: Annotated[str | None, typer.Option(metavar="URL", envvar="OTEL_EXPORTER_OTLP_ENDPOINT", help="Push metrics and spans to an OpenTelemetry collector (OTLP over HTTP, http://127.0.0.1:4318); needs the extra otel.")] = None,
    report: Report = True,
) -> None:  # fmt: skip
    """Run a scenario: drive the load, judge it, write the report."""
    loaded = loader.load_scenario(source, overrides, seed, read_planned_due)
    check_scenario(source, loaded)
    check_code_allowed(source, loaded, allow_code=allow_code)
    number, web_address, pushed = parse_worker_count(workers), parse_web(web), parse_otlp(otlp)
    policy = join_policy(remote_workers, workers, bind, join_timeout, target)
    if prometheus is not None:
        reachable_prometheus("--prometheus", prometheus)
    with planning(source):
        plan = make_plan(loaded)
    count = remote_workers or number or auto_workers(loaded, plan)
    _check_ports(metrics_port, count)
    external = external_target_of(target, source, loaded, plan, count, allow_command=allow_command, also=also_target)
    address = None if external is None else external.address
    check_target_for_remote(policy, address)
    if policy is not None:
        check_photos_for_remote(plan, loaded)
    find_problems = capacity.find_capacity_problems if policy is None else capacity.find_leader_problems
    check_fits(source, find_problems(loaded, plan, count, address))
    run_id = run_id_of(name or loaded.name)
    check_name(out or RUNS)
    folder = RunFolder((out or RUNS / run_id).absolute())
    check_new_folder(folder)
    spec = RunSpec(
        scenario=loaded,
        plan=plan,
        folder=folder,
        run_id=run_id,
        command=command_line(),
        labels=parse_labels(labels),
        limits_s=limits_s(assertions_of(loaded)),
        abort_thresholds=abortable_thresholds(loaded),
        workers=count,
        join_policy=policy,
        external=external,
        metrics_port=metrics_port,
        prometheus=prometheus,
        prometheus_sd=prometheus_sd and discovery_folder("--prometheus-sd", prometheus_sd),
    )
    terminal.print_lines(warnings_of(loaded, plan, external=external is not None))
    check_listening(external)
    faults = " and the last fault is over" if loaded.faults and external is None else ""
    print(
        f"{loaded.name}: runs for up to {loaded.longest_s:g} s; stops early once every page is delivered{faults}",
        flush=True,
    )
    base = _baseline(baseline, tolerance, spec)
    with SignalHandler() as signals, live_page(web_address, "run", loaded.name, folder.path) as page:
        with LiveView(loaded.name) as view:
            Run(spec, pushed.view(page.view(loaded.name, view)), signals).execute()
        what = f"Analysing the results{' and writing the report' if report else ''}"
        print(what, flush=True)
        page.log(what)
        code = finish_run(folder, assertions_of(loaded), report=report)
        if base is not None and signals.received is None:
            compared = compare_with_baseline(base, folder, tolerance)
            code = code or compared  # the run's own verdict outweighs the comparison
        terminal.print_lines(pushed.finish(folder))
        page.finish(folder.page if report else None)
        # A signal outweighs everything but a failure: a lost page, or a breach that was established before the signal.
        raise typer.Exit(code if signals.received is None or code == ExitCode.FAILED else 128 + signals.received)


def _baseline(path: Path | None, tolerance: list[str], spec: RunSpec) -> RunFolder | None:
    """The run to compare with. Raises UsageError before anything starts if it is not comparable with the run to come."""
    if path is None and tolerance:
        message = "--tolerance needs --baseline, the run that this one may be that much worse than"
        raise UsageError(message)
    if path is None:
        return None
    parse_tolerances(tolerance)
    folder = run_folder(path)
    workers = [WorkerRecord(rank=rank) for rank in range(spec.workers)]
    differing = list_differences([folder.read_run()], [initial_record(spec, "", workers)])
    if differing:
        label = f"--baseline {path} is not comparable with this run; baseline against run"
        raise ConfigurationError(label, differing)
    return folder


def _check_ports(first: int, workers: int) -> None:
    """Raise UsageError if one of the workers' metrics ports is taken: better now than in a child process."""
    for port in range(first, first + workers) if first else ():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                message = f"--metrics-port {first}: port {port} is not available: {error.strerror}"
                raise UsageError(message) from None
