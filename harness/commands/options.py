"""What several commands share: their arguments, and the checks on them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.errors import BrokenRunError, ConfigurationError, UsageError
from harness.judge.thresholds import check_all
from harness.runfolder import RunFolder
from harness.scenario import Scenario

RUNS = Path("runs")

ScenarioName = Annotated[str, typer.Argument(metavar="SCENARIO", help="A shipped scenario's name, or a .toml file.")]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="K=V", help="Override a key: client.retry.strategy=none")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Another seed than the scenario's.")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Processes that send.")]
PrometheusUrl = Annotated[
    str | None,
    typer.Option("--prometheus", metavar="URL", help="Take throughput and failures from this Prometheus's scrapes."),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or its name below runs/.")]


def assertions_of(loaded: Scenario) -> list[str]:
    """The assertions of a scenario."""
    return [threshold.assertion for threshold in loaded.thresholds]


def conclude_run(folder: RunFolder, assertions: list[str]) -> int:
    """Summarise, judge, draw and print; the exit code."""
    from harness.conclude import conclude  # noqa: PLC0415 - drawing takes most of a second to import

    return conclude(folder, assertions)


def own_assertions(folder: RunFolder) -> list[str]:
    """The assertions that a run came with. Raises BrokenRunError where they can't be read."""
    try:
        return [str(threshold["assert"]) for threshold in folder.read_run().scenario.get("thresholds", [])]
    except (TypeError, KeyError, AttributeError):
        message = f"{folder.run_json}: its scenario's thresholds can't be read"
        raise BrokenRunError(message) from None


def check_thresholds(source: str, loaded: Scenario) -> None:
    """Raise ConfigurationError for assertions that can't be judged."""
    check_all(assertions_of(loaded), source)


def check_fits(source: str, misfits: list[str]) -> None:
    """Raise ConfigurationError if there are reasons why a plan doesn't fit this machine."""
    if misfits:
        label = f"{source} does not fit this machine"
        raise ConfigurationError(label, misfits)


def run_folder(path: Path) -> RunFolder:
    """The run folder that the user names: a path, or a name below runs/."""
    check_name(path)
    return RunFolder(path if path.exists() or len(path.parts) > 1 else RUNS / path)


def check_name(path: Path) -> None:
    """Raise UsageError for a path that is not UTF-8: it could not be written down."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        message = f"{os.fsencode(path)!r} is not UTF-8: choose another path"
        raise UsageError(message) from None


def command_line() -> list[str]:
    """The command as the user typed it."""
    return ["harness", *sys.argv[1:]]
