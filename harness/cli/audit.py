"""`harness audit`: what became of every page, and whether the server kept what it acknowledged."""

from __future__ import annotations

import typer

from harness.analysis.page_status import load_page_statuses
from harness.analysis.rows import load_rows
from harness.base.safe_files import write_json
from harness.cli.options import RunPath, run_folder
from harness.judge.audit import audit_run
from harness.judge.verdict import audit_exit_code
from reports import terminal


def audit(path: RunPath) -> None:
    """Audit what became of every page of a run. Exit code 0 safe, 99 not safe, 3 unknown."""
    folder = run_folder(path)
    rows = load_rows(folder)
    found = audit_run(folder, rows, load_page_statuses(folder, rows))
    write_json(folder.audit, found.model_dump(mode="json"))
    terminal.print_audit(found)
    raise typer.Exit(audit_exit_code(found))
