"""Simulating and running scenarios from Python."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.api.run import RUNS, FinishedRun
from harness.base.errors import ExitCode, HarnessError, UsageError
from harness.base.toml_text import toml_value
from harness.judge.verdict import judge_run
from harness.run_folder.layout import RunFolder
from harness.run_folder.tables import read_planned_due
from harness.runner.checked_scenario import abortable_thresholds, assertions_of, check_scenario
from harness.runner.simulated_cells import run_scenario
from harness.runner.simulated_run import check_simulation
from harness.scenario.loader import load_scenario

_JUDGED = frozenset({ExitCode.PASSED, ExitCode.FAILED, ExitCode.INVALID})


class RunFailedError(HarnessError):
    """`harness run` ended without a verdict; the message is what it wrote to standard error."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
        """Exit code of the command: 2 for a wrong configuration, 128 + n after signal n."""


def simulate(
    scenario: str | os.PathLike[str], *, out: str | os.PathLike[str] | None = None, **changes: Any
) -> FinishedRun:
    """Play a scenario in virtual time and judge it, as `harness simulate` does, in a fraction of a second.

    `scenario` is the name of a shipped one or a file. A change overrides a key of it: `seed=3`, `server__workers=1` (two
    underscores for the dot), or `**{"server.workers": 1}`. `out` is the run folder, new or empty; one below runs/ if left out.

    Raises ConfigurationError with all problems, UsageError if there is no such scenario or `out` is not empty.
    """
    source = os.fspath(scenario)
    loaded = load_scenario(source, as_overrides(changes), None, read_planned_due)
    check_scenario(source, loaded)
    check_simulation(source, loaded)
    folder = RunFolder(_new_folder(out, f"{loaded.name}-simulated"))
    assertions = assertions_of(loaded)
    run_scenario(folder, loaded, assertions, command=["harness.simulate", source], abort=abortable_thresholds(loaded))
    judge_run(folder, assertions)
    return FinishedRun(folder)


def run(
    scenario: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    options: Sequence[str] = (),
    **changes: Any,
) -> FinishedRun:
    """Run a scenario for real, as `harness run` does; returns when it has been judged.

    The run is a process of its own, so that what else goes on in a notebook can't delay it. `options` are further options of
    the command (`["--workers", "2"]`). Raises RunFailedError if it ends without a verdict; a verdict of any kind is returned.
    """
    source = os.fspath(scenario)
    folder = _new_folder(out, Path(source).stem)
    overrides = [word for override in as_overrides(changes) for word in ("--set", override)]
    command = [sys.executable, "-m", "harness", "run", source, "--out", str(folder), *overrides, *options]
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if ended.returncode not in _JUDGED or not RunFolder(folder).verdict.exists():
        message = ended.stderr.strip() or f"harness run ended with exit code {ended.returncode}"
        raise RunFailedError(message, ended.returncode)
    return FinishedRun(RunFolder(folder))


def as_overrides(changes: dict[str, Any]) -> list[str]:
    """Changes as --set takes them.

    >>> as_overrides({"seed": 3, "server__workers": 1, "client.retry.strategy": "none"})
    ['seed=3', 'server.workers=1', 'client.retry.strategy="none"']
    """
    return [f"{key.replace('__', '.')}={toml_value(value)}" for key, value in changes.items()]


def _new_folder(out: str | os.PathLike[str] | None, name: str) -> Path:
    """The absolute path of a new run's folder. Raises UsageError if something is in it."""
    folder = Path(out or RUNS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}-{secrets.token_hex(2)}").absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        message = f"{folder} is not an empty folder, and nothing is overwritten: choose another out"
        raise UsageError(message)
    return folder
