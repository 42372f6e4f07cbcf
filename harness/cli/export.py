"""`harness export`: the scrapes of a run in another program's format."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.base.errors import UsageError
from harness.cli.options import RunPath, check_name, run_folder
from harness.measure.openmetrics import export_openmetrics


def export(
    path: RunPath,
    as_openmetrics: Annotated[bool, typer.Option("--openmetrics", help="All scrapes as one OpenMetrics text, for promtool.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Output file; default: standard output.")] = None,
) -> None:  # fmt: skip
    """Export the scrapes of a run for another program."""
    if not as_openmetrics:
        message = "choose a format: --openmetrics"
        raise UsageError(message)
    folder = run_folder(path)
    record = folder.read_run()
    if record.t0_epoch is None or not any(folder.scrapes.glob("*.gz")):
        message = f"{folder.path} has no scrapes to export"
        raise UsageError(message)
    pieces = export_openmetrics(folder.scrapes, {"run": record.id, "scenario": record.name}, record.t0_epoch)
    if out is None:
        sys.stdout.writelines(pieces)
        return
    check_name(out)
    with out.open("w", encoding="utf-8") as file:
        file.writelines(pieces)
