"""Options and arguments that several commands share, and the checks on them."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from harness.base.address import mask_credentials
from harness.base.errors import ConfigurationError, RunFolderError, UsageError
from harness.base.host import available_cores
from harness.base.safe_files import find_symlinks
from harness.cli.runs import RUNS
from harness.judge.thresholds.evaluate import find_undersized
from harness.judge.thresholds.plan_bounds import find_decided
from harness.plan import Plan
from harness.plan.demand import choose_worker_count
from harness.plan.idle_faults import find_idle_outages
from harness.run_folder.layout import RunFolder
from harness.runner import checked_scenario
from harness.scenario.own_client import parse_resolved_name
from harness.scenario.scenario import Scenario
from harness.target.connect import check_reachable
from harness.target.external import ExternalTarget, admit_target
from reports.number_format import escape_control_characters

assertions_of = checked_scenario.assertions_of
abortable_thresholds = checked_scenario.abortable_thresholds
own_assertions = checked_scenario.own_assertions
check_scenario = checked_scenario.check_scenario
planning = checked_scenario.planning

Target = Annotated[
    str | None, typer.Option(metavar="URL", help="URL of the server under test; default: the mock server.")
]
AlsoTarget = Annotated[
    list[str],
    typer.Option(
        metavar="URL",
        help="Another server that the scenario's steps may send to; may be repeated. It consents as the target does.",
    ),
]
AllowCommand = Annotated[
    bool,
    typer.Option(
        "--allow-command", help="Allow the command of [target.stored], or of --between, to run on this machine."
    ),
]
Between = Annotated[
    str | None,
    typer.Option(
        "--between",
        metavar="COMMAND",
        help="Run this before each run, without a shell, to reset the server; needs --allow-command.",
    ),
]
AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="Allow client.protocol to run its Python code on this machine.")
]
ScenarioName = Annotated[str, typer.Argument(metavar="SCENARIO", help="Name of a built-in scenario, or a .toml file.")]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="K=V", help="Override a key: client.retry.strategy=none.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Use this seed instead of the scenario's.")]
Workers = Annotated[
    str | None,
    typer.Option(metavar="N|auto", help="Number of sending processes; auto: as many as the plan needs. Default: 1."),
]
PrometheusUrl = Annotated[
    str | None,
    typer.Option(
        "--prometheus",
        metavar="URL",
        help="Take throughput and failures from this Prometheus instead of our own scrapes.",
    ),
]
Web = Annotated[
    str | None,
    typer.Option(
        "--web",
        metavar="[HOST:PORT]",
        help="Serve a live page while it goes on, at an address that is printed. Default: any free port of 127.0.0.1.",
    ),
]
Report = Annotated[
    bool, typer.Option("--report/--no-report", help="Draw the charts and write the page; harness report does it later.")
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or its name below runs/.")]


def check_code_allowed(source: str, loaded: Scenario, *, allow_code: bool) -> None:
    """Raise UsageError if a scenario brings Python code of its own and the user has not allowed it."""
    own = loaded.client.own
    if own and not allow_code:
        file = parse_resolved_name(own)
        where = f"the installed own client {own}" if file is None else str(file.file)
        message = f"{source}: client.protocol would run Python code on this machine: {where}; if you trust it, add --allow-code"
        raise UsageError(message)


def auto_workers(loaded: Scenario, plan: Plan) -> int:
    """The number of workers that `--workers auto` means on this machine; printed with its reason."""
    chosen = choose_worker_count(loaded, plan, available_cores())
    print(chosen, flush=True)
    return chosen.workers


def warnings_of(loaded: Scenario, plan: Plan, *, external: bool = False) -> list[str]:
    """Warnings about a plan that don't prevent the run, one line each; `external`: the run is not for the mock server."""
    assertions = assertions_of(loaded)
    found = find_undersized(assertions, plan, loaded.warm_up, loaded.deadline)
    found += find_decided(assertions, plan.pages, len(plan.stations), loaded.client.timeout)
    found += find_idle_outages(loaded)
    if external and loaded.faults:
        names = ", ".join(fault.name for fault in loaded.faults)
        found.append(f"[[faults]] are the mock server's and do not happen with --target: {names}")
    return [f"Warning: {escape_control_characters(line)}" for line in found]


def check_fits(source: str, problems: list[str]) -> None:
    """Raise ConfigurationError if there are `problems` that keep a plan from fitting this machine."""
    if problems:
        label = f"{source} does not fit this machine"
        raise ConfigurationError(label, problems)


def external_target_of(
    url: str | None, source: str, loaded: Scenario, plan: Plan, workers: int, *, allow_command: bool,
    also: Sequence[str] = (),
) -> ExternalTarget | None:  # fmt: skip
    """The external target at `url`, checked and with its consent read; None if the run is for the mock."""
    if url is None:
        check_target_given(source, loaded)
        if also:
            message = f"--also-target {also[0]} needs --target: the mock server never sends anybody elsewhere"
            raise UsageError(message)
        return None
    return admit_target(url, loaded, plan, workers, os.environ, allow_command=allow_command, also=also)


def check_listening(external: ExternalTarget | None) -> None:
    """Raise UsageError if an external target accepts no connection. The last check, because the target notices it."""
    if external is not None:
        check_reachable(external.origin, external.address, external.context)
        for other in external.also:
            check_reachable(other.origin, other.address, external.context)


def check_target_given(source: str, loaded: Scenario) -> None:
    """Raise ConfigurationError if a scenario describes an external target and no URL is given for it."""
    if loaded.target is not None:
        problem = "[target] describes an external server: give its URL with harness run --target URL"
        raise ConfigurationError(source, [problem])


def run_folder(path: Path) -> RunFolder:
    """The run folder for a path or a name below runs/. Raises RunFolderError if a symbolic link is in it."""
    check_name(path)
    found = path if path.exists() or len(path.parts) > 1 else RUNS / path
    links = find_symlinks(found)
    if links:
        message = (
            f"{links[0]} is a symbolic link: a run folder must not have any, they would lead reads and writes out of it"
        )
        raise RunFolderError(message)
    return RunFolder(found)


def check_name(path: Path) -> None:
    """Raise UsageError for a path that can't be stored in run.json or printed: not UTF-8, or with control characters."""
    try:
        str(path).encode()
        if not str(path).isprintable():
            message = f"{str(path)!r} contains control characters: choose another path"
            raise UsageError(message)
    except UnicodeEncodeError:
        message = f"{os.fsencode(path)!r} is not UTF-8: choose another path"
        raise UsageError(message) from None


def command_line() -> list[str]:
    """The command as the user typed it, for run.json; without passwords in URLs."""
    return ["harness", *map(mask_credentials, sys.argv[1:])]


def runs_in(path: Path) -> list[RunFolder]:
    """The run at a path, or the runs in a folder of runs, by name. A path that is neither counts as a run, to be refused later.

    >>> [run.path.name for run in runs_in(Path("missing"))]
    ['missing']
    """
    if RunFolder(path).run_json.exists() or not path.is_dir():
        return [RunFolder(path)]
    inside = sorted(inner for inner in path.iterdir() if RunFolder(inner).run_json.exists())
    return [RunFolder(inner) for inner in inside] or [RunFolder(path)]


def stamp(name: str = "") -> str:
    """The name of a new result folder: UTC time, `name` if given, and 16 random bits, so that two started at once differ."""
    return "-".join(filter(None, [f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", name, secrets.token_hex(2)]))


def run_id_of(name: str) -> str:
    """A new run's id, made of its name. Raises UsageError for a name that can't be one."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        message = f'--name "{name}" is not a valid name: use up to 64 letters, digits, "-" and "_", beginning with a letter or digit'
        raise UsageError(message)
    return stamp(name)


def check_new_folder(folder: RunFolder) -> None:
    """Raise UsageError unless a run can be written here: nothing there yet, or an empty folder."""
    if folder.path.is_symlink():
        message = f"{folder.path} is a symbolic link: name the folder itself"
        raise UsageError(message)
    if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        message = f"{folder.path} is not an empty folder, and nothing is overwritten: choose another --out"
        raise UsageError(message)
