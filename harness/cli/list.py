"""`harness list`: earlier runs and their verdicts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from harness.base.errors import RunFolderError
from harness.base.safe_files import read_json
from harness.cli.options import RUNS
from harness.run_folder.layout import RunFolder
from reports import terminal


def list_runs() -> None:
    """List earlier runs with their verdicts, newest first."""
    terminal.print_runs(earlier_runs(RUNS))


def earlier_runs(folder: Path) -> list[list[str]]:
    """One row per run in a folder, newest first: verdict, run, scenario, started, share of stations complete.

    What a run that was cut off does not have is "".
    """
    paths = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    rows = [_row(RunFolder(path)) for path in paths]
    return sorted((row for row in rows if row is not None), key=lambda row: row[3], reverse=True)


def _row(folder: RunFolder) -> list[str] | None:
    try:
        record = folder.read_run()
    except RunFolderError:  # something else lies there, too
        return None
    # A simulation has no T0 of its own: it is listed by when it was made.
    began_s = folder.run_json.stat().st_mtime if record.simulated else record.t0_epoch
    started = f"{datetime.fromtimestamp(began_s, UTC):%Y-%m-%d %H:%M:%S}" if began_s else ""
    started += " (simulated)" if record.simulated else ""
    ratio = _read_value(folder.summary, "stations", "completed_by_deadline_ratio")
    complete = f"{ratio:.0%}" if isinstance(ratio, float) else ""
    return [str(_read_value(folder.verdict, "verdict") or ""), folder.path.name, record.name, started, complete]


def _read_value(path: Path, *keys: str) -> object:
    """A value deep in a JSON file, None if file or key is missing: one broken run must not hide the others."""
    try:
        content: object = read_json(path)
    except (OSError, ValueError):
        return None
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content
