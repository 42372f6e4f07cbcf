"""`harness list`: earlier runs, their verdicts and key figures."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.runs import RUNS, Labels, parse_labels
from harness.judge.past_runs import PastRun, RunFilter, find_runs
from reports import terminal


class VerdictWord(StrEnum):
    """The verdict of a run that was judged."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    INVALID = "invalid"


def list_runs(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder with the runs.")] = RUNS,
    scenario: Annotated[str | None, typer.Option(metavar="NAME", help="Only runs of this scenario.")] = None,
    verdict: Annotated[VerdictWord | None, typer.Option(help="Only runs with this verdict.")] = None,
    labels: Labels = [],
    simulated: Annotated[bool | None, typer.Option("--simulated/--measured", help="Only simulations, or only real runs.")] = None,
    last: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the latest N.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")] = False,
) -> None:  # fmt: skip
    """List earlier runs with their verdicts and key figures, newest first."""
    wanted = RunFilter(scenario, verdict, parse_labels(labels), simulated)
    found = find_runs(folder, wanted)[-(last or 0) :]
    if as_json:
        terminal.print_lines([json.dumps(facts_of(run)) for run in reversed(found)])
    else:
        terminal.print_runs(found, is_filtered=wanted != RunFilter(labels={}))


def facts_of(run: PastRun) -> dict[str, object]:
    """A run as plain values."""
    return {
        "run": run.name,
        "scenario": run.record.name,
        "verdict": run.verdict or None,
        "started": run.started or None,
        "simulated": run.record.simulated,
        "labels": run.record.labels,
        **run.figures,
    }
