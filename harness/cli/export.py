"""`harness export`: the scrapes or the rows of a run in another program's format."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.run_tables import RunTables, TableFormat
from harness.base.errors import UsageError
from harness.cli.options import RunPath, check_name, run_folder
from harness.measure.openmetrics import export_openmetrics
from harness.run_folder.layout import RunFolder


class RowKind(StrEnum):
    """What one row of an export is about; as `harness.analysis.run_tables.TABLES` has them."""

    ATTEMPTS = "attempts"
    PAGES = "pages"
    STATIONS = "stations"
    PLAN = "plan"
    STORED = "stored"
    READS = "reads"


def export(
    path: RunPath,
    as_openmetrics: Annotated[bool, typer.Option("--openmetrics", help="All scrapes as one OpenMetrics text, for promtool.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Rows as CSV with a header line.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Rows as JSON, one object per line.")] = False,
    as_parquet: Annotated[bool, typer.Option("--parquet", help="Rows as Parquet; needs --out.")] = False,
    rows: Annotated[RowKind, typer.Option("--rows", help="One row per what.")] = RowKind.ATTEMPTS,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Output file; default: standard output.")] = None,
) -> None:  # fmt: skip
    """Export the scrapes or the rows of a run for another program."""
    chosen = {"openmetrics": as_openmetrics, "csv": as_csv, "json": as_json, "parquet": as_parquet}
    formats = [name for name, is_chosen in chosen.items() if is_chosen]
    if len(formats) != 1:
        message = "choose one format: --openmetrics for the scrapes; --csv, --json or --parquet for the rows"
        raise UsageError(message)
    folder = run_folder(path)
    if out is not None:
        check_name(out)
    if as_openmetrics:
        _export_scrapes(folder, out)
    else:
        _export_rows(folder, TableFormat(formats[0]), rows, out)


def _export_scrapes(folder: RunFolder, out: Path | None) -> None:
    record = folder.read_run()
    if record.t0_epoch is None or not any(folder.scrapes.glob("*.gz")):
        message = f"{folder.path} has no scrapes to export"
        raise UsageError(message)
    pieces = export_openmetrics(folder.scrapes, {"run": record.id, "scenario": record.name}, record.t0_epoch)
    if out is None:
        sys.stdout.writelines(pieces)
        return
    with out.open("w", encoding="utf-8") as file:
        file.writelines(pieces)


def _export_rows(folder: RunFolder, table_format: TableFormat, rows: RowKind, out: Path | None) -> None:
    if out is None and table_format is TableFormat.PARQUET:
        message = "--parquet is not text: give the file with --out FILE"
        raise UsageError(message)
    tables = RunTables(folder)
    if out is None:
        sys.stdout.writelines(tables.text(rows, table_format))
    else:
        tables.write(rows, table_format, out)
