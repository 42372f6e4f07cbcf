"""`harness run`: one scenario from plan to verdict."""

from __future__ import annotations

import os
import re
import secrets
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from harness import machine, scenario_files
from harness.commands.options import (
    RUNS,
    Overrides,
    ScenarioName,
    Seed,
    Workers,
    assertions_of,
    check_fits,
    check_mock_is_meant,
    check_name,
    check_thresholds,
    command_line,
    conclude_run,
    watched_in,
)
from harness.errors import UsageError
from harness.figures.tables import planned_due
from harness.foreign import Foreign, examine
from harness.judge.thresholds import limits_s
from harness.order import Order
from harness.plan import Plan, make_plan
from harness.run import Run
from harness.runfolder import RunFolder
from harness.scenario import Scenario
from harness.signals import Signals
from reports.terminal import LiveView


def run(
    source: ScenarioName,
    overrides: Overrides = [],
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; must be empty or new. Default: runs/<time>-<name>-<hex>.")] = None,
    workers: Workers = 1,
    target: Annotated[str | None, typer.Option(metavar="URL", help="An upload server of yours; default: the mock.")] = None,
    allow_command: Annotated[bool, typer.Option("--allow-command", help="Let [target.stored] run its command on this machine.")] = False,
    name: Annotated[str | None, typer.Option(help="What the run folder is named after, instead of the scenario.")] = None,
    metrics_port: Annotated[int, typer.Option(min=0, max=65_000, help="Port of the first worker's /metrics; 0: any.")] = 0,
) -> None:  # fmt: skip
    """Run a scenario: drive the load, judge it, draw the report."""
    loaded = scenario_files.load(source, overrides, seed, planned_due)
    check_thresholds(source, loaded)
    _check_ports(metrics_port, workers)
    plan = make_plan(loaded)
    foreign = _foreign(target, source, loaded, plan, workers, allow_command=allow_command)
    check_fits(source, machine.misfits(loaded, plan, workers))
    run_id = _run_id(name or loaded.name)
    check_name(out or RUNS)
    folder = RunFolder((out or RUNS / run_id).absolute())
    if folder.path.is_symlink():
        message = f"{folder.path} is a link: name the folder itself"
        raise UsageError(message)
    if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        message = f"{folder.path} is not an empty folder: nothing is overwritten"
        raise UsageError(message)
    order = Order(
        scenario=loaded,
        plan=plan,
        folder=folder,
        run_id=run_id,
        command=command_line(),
        limits_s=limits_s(assertions_of(loaded)),
        watched=watched_in(loaded),
        workers=workers,
        foreign=foreign,
        metrics_port=metrics_port,
    )
    print(
        f"{loaded.name}: at most {loaded.longest_s:g} s, and some seconds to start and to judge; "
        "ends as soon as all is delivered and no fault is to come",
        flush=True,
    )
    with Signals() as signals:
        with LiveView(loaded.name) as view:
            Run(order, view, signals).execute()
        print("Counting, judging, drawing", flush=True)
        code = conclude_run(folder, assertions_of(loaded))
        raise typer.Exit(code if signals.heard is None else 128 + signals.heard)


def _foreign(
    url: str | None, source: str, loaded: Scenario, plan: Plan, workers: int, *, allow_command: bool
) -> Foreign | None:
    """The server of the user's that a run is for, looked at; None for the mock."""
    if url is None:
        check_mock_is_meant(source, loaded)
        return None
    return examine(url, loaded, plan, workers, os.environ, allow_command=allow_command)


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
