"""`harness doctor`: whether this machine is fit to measure."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.runs import RUNS
from harness.doctor.examine import evaluate_machine, measure_machine
from reports import terminal


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check whether this machine is fit to measure and what to change. Exit code 0 fit, 3 unfit."""

    def report_progress(step: str) -> None:
        if not as_json and sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{step} …" if step else "\r\x1b[K")
            sys.stderr.flush()

    measurements = measure_machine(RUNS if RUNS.is_dir() else Path.cwd(), report_progress)
    report_progress("")
    examination = evaluate_machine(measurements)
    if as_json:
        terminal.print_lines([json.dumps(examination.document(), indent=2)])
        raise typer.Exit(examination.exit_code)
    findings = examination.findings
    terminal.print_findings(
        [(str(one.verdict), one.name, one.measured, one.needed) for one in findings],
        [(one.name, one.change) for one in findings if one.change],
        [] if examination.claim is None else examination.claim.sentences,
    )
    raise typer.Exit(examination.exit_code)
