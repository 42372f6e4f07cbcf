"""`harness gate`: the verdict on a finished run as an exit code, for CI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import RunPath, own_assertions, run_folder
from harness.judge.thresholds.evaluate import check_assertions
from harness.judge.thresholds.planned_run import recorded_run
from harness.runner.finish import finish_run, judge_with
from harness.scenario import loader


def gate(
    path: RunPath,
    thresholds: Annotated[Path | None, typer.Option(metavar="FILE", help="Judge by the [[thresholds]] of this file instead of the run's.")] = None,
) -> None:  # fmt: skip
    """Judge a finished run again; the exit code is the verdict's. With --thresholds nothing is written."""
    folder = run_folder(path)
    if thresholds is None:
        raise typer.Exit(finish_run(folder, own_assertions(folder)))
    assertions = loader.load_thresholds(thresholds)
    check_assertions(assertions, str(thresholds), recorded_run(folder.read_run()))
    code = judge_with(folder, assertions)
    print(f"Judged by {thresholds}; the run's own verdict and report are unchanged.")
    raise typer.Exit(code)
