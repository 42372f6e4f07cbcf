"""`harness list`, `report` and `gate`: runs of yesterday."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import RUNS, PrometheusUrl, RunPath, finish_run, judge_run_with, own_assertions, run_folder
from harness.judge.thresholds.evaluate import check_assertions
from harness.runner.history import earlier_runs
from harness.runner.prometheus import reachable_prometheus, reimport_scrapes
from harness.scenario import loader
from reports import terminal


def list_runs() -> None:
    """Past runs with their verdicts, the newest first."""
    terminal.print_runs(earlier_runs(RUNS))


def report(path: RunPath, prometheus: PrometheusUrl = None) -> None:
    """Draw charts and page again, from the folder alone."""
    folder = run_folder(path)
    if prometheus is not None:
        reimport_scrapes(folder, folder.read_run(), reachable_prometheus("--prometheus", prometheus))
    finish_run(folder, own_assertions(folder), to_ci=False)


def gate(
    path: RunPath,
    thresholds: Annotated[Path | None, typer.Option(metavar="FILE", help="[[thresholds]] to judge by, instead of the run's.")] = None,
) -> None:  # fmt: skip
    """Judge a finished run again; the exit code is the verdict's. By other thresholds it only prints, and writes nothing."""
    folder = run_folder(path)
    if thresholds is None:
        raise typer.Exit(finish_run(folder, own_assertions(folder)))
    assertions = loader.load_thresholds(thresholds)
    check_assertions(assertions, str(thresholds), [fault.name for fault in folder.read_run().faults])
    code = judge_run_with(folder, assertions)
    print(f"Judged by {thresholds}; the run's own verdict and report are as they were.")
    raise typer.Exit(code)
