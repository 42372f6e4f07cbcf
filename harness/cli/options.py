"""What several commands share: their arguments, and the checks on them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.base import host_info
from harness.base.errors import ConfigurationError, RunFolderError, UsageError
from harness.base.safe_files import find_symlinks
from harness.judge.thresholds.abortable import AbortThreshold, check_abortable
from harness.judge.thresholds.evaluate import check_assertions
from harness.judge.thresholds.sample_size import find_undersized
from harness.plan import Plan
from harness.plan.worker_count import choose_worker_count
from harness.run_folder.layout import RunFolder
from harness.scenario.scenario import Scenario
from harness.target.connect import check_reachable
from harness.target.external import ExternalTarget, admit_target
from reports.number_format import escape_control_characters

RUNS = Path("runs")

Target = Annotated[str | None, typer.Option(metavar="URL", help="An upload server of yours; default: the mock.")]
AllowCommand = Annotated[
    bool, typer.Option("--allow-command", help="Let [target.stored] run its command on this machine.")
]
ScenarioName = Annotated[str, typer.Argument(metavar="SCENARIO", help="A shipped scenario's name, or a .toml file.")]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="K=V", help="Override a key: client.retry.strategy=none")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Another seed than the scenario's.")]
Workers = Annotated[
    str | None,
    typer.Option(metavar="N|auto", help="Processes that send; auto: as many as the plan needs. Default: 1."),
]
PrometheusUrl = Annotated[
    str | None,
    typer.Option("--prometheus", metavar="URL", help="Take throughput and failures from this Prometheus's scrapes."),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or its name below runs/.")]


def assertions_of(loaded: Scenario) -> list[str]:
    """The assertions of a scenario."""
    return [threshold.assertion for threshold in loaded.thresholds]


def abortable_thresholds(loaded: Scenario) -> list[AbortThreshold]:
    """The thresholds of a scenario that end a run early."""
    return [AbortThreshold(one.assertion, one.grace) for one in loaded.thresholds if one.abort]


def finish_run(folder: RunFolder, assertions: list[str], *, to_ci: bool = True) -> int:
    """Summarise, judge, draw and print; the exit code. With `to_ci`, GitHub hears of it where it listens."""
    from harness.runner.finish import finish_run  # noqa: PLC0415 - drawing takes most of a second to import

    return finish_run(folder, assertions, to_ci=to_ci)


def judge_run_with(folder: RunFolder, assertions: list[str]) -> int:
    """Judge by other assertions and print, without a trace in the folder; the exit code."""
    from harness.runner import finish  # noqa: PLC0415 - drawing takes most of a second to import

    return finish.judge_with(folder, assertions)


def own_assertions(folder: RunFolder) -> list[str]:
    """The assertions that a run came with. Raises BrokenRunError where they can't be read."""
    try:
        return [str(threshold["assert"]) for threshold in folder.read_run().scenario.get("thresholds", [])]
    except (TypeError, KeyError, AttributeError):
        message = f"{folder.run_json}: its scenario's thresholds can't be read"
        raise RunFolderError(message) from None


def check_thresholds(source: str, loaded: Scenario) -> None:
    """Raise ConfigurationError for assertions that can't be judged."""
    check_assertions(assertions_of(loaded), source, [fault.name for fault in loaded.faults])
    check_abortable([watched.assertion for watched in abortable_thresholds(loaded)], source)


def auto_workers(loaded: Scenario, plan: Plan) -> int:
    """The processes that `--workers auto` means on this machine; says how many, and why."""
    crew = choose_worker_count(loaded, plan, host_info.available_cores())
    print(crew, flush=True)
    return crew.workers


def warnings_of(loaded: Scenario, plan: Plan) -> list[str]:
    """What can be told of a plan before it is run, and stops nothing: a line each."""
    found = find_undersized(assertions_of(loaded), plan, loaded.warm_up, loaded.deadline)
    return [f"Warning: {escape_control_characters(line)}" for line in found]


def check_fits(source: str, misfits: list[str]) -> None:
    """Raise ConfigurationError if there are reasons why a plan doesn't fit this machine."""
    if misfits:
        label = f"{source} does not fit this machine"
        raise ConfigurationError(label, misfits)


def external_target_of(
    url: str | None, source: str, loaded: Scenario, plan: Plan, workers: int, *, allow_command: bool
) -> ExternalTarget | None:
    """The server of the user's that a run is for, looked at; None for the mock."""
    if url is None:
        check_target_given(source, loaded)
        return None
    return admit_target(url, loaded, plan, workers, os.environ, allow_command=allow_command)


def check_listening(foreign: ExternalTarget | None) -> None:
    """Raise UsageError where a server of the user's takes no connection. The last check: it is the one that the server sees."""
    if foreign is not None:
        check_reachable(foreign.origin, foreign.address, foreign.context)


def check_target_given(source: str, loaded: Scenario) -> None:
    """Raise ConfigurationError where a scenario is for a server of the user's, and nobody has said where that is."""
    if loaded.target is not None:
        problem = "[target] describes a server of yours: say where it is with harness run --target URL"
        raise ConfigurationError(source, [problem])


def run_folder(path: Path) -> RunFolder:
    """The run folder that the user names: a path, or a name below runs/."""
    check_name(path)
    found = path if path.exists() or len(path.parts) > 1 else RUNS / path
    links = find_symlinks(found)
    if links:
        message = f"{links[0]} is a link: a run folder has none, and what is read or written through it lies elsewhere"
        raise RunFolderError(message)
    return RunFolder(found)


def check_name(path: Path) -> None:
    """Raise UsageError for a path that could not be written down: not UTF-8, or with control characters."""
    try:
        str(path).encode()
        if not str(path).isprintable():
            message = f"{str(path)!r} has control characters: choose another path"
            raise UsageError(message)
    except UnicodeEncodeError:
        message = f"{os.fsencode(path)!r} is not UTF-8: choose another path"
        raise UsageError(message) from None


def command_line() -> list[str]:
    """The command as the user typed it."""
    return ["harness", *sys.argv[1:]]
