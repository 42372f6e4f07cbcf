"""`harness audit`: what became of every page, and whether the server kept what it acknowledged."""

from __future__ import annotations

import typer

from harness.analysis.page_status import fates_of
from harness.analysis.rows import load_rows
from harness.cli.options import RunPath, run_folder
from harness.judge.audit import audit_of
from harness.judge.verdict import safety_code
from harness.run_folder.layout import write_json
from reports import terminal


def audit(path: RunPath) -> None:
    """Audit a run: the nothing-lost table. Exit code 0 safe, 99 not safe, 3 unknown."""
    folder = run_folder(path)
    rows = load_rows(folder)
    found = audit_of(folder, rows, fates_of(folder, rows))
    write_json(folder.audit, found.model_dump(mode="json"))
    terminal.print_audit(found)
    raise typer.Exit(safety_code(found))
