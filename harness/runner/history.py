"""The runs of yesterday: what `harness list` shows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from harness.base.errors import RunFolderError
from harness.base.safe_files import read_bounded
from harness.run_folder.layout import RunFolder


def earlier_runs(folder: Path) -> list[list[str]]:
    """A row a run below the folder, the newest first: verdict, run, scenario, started, share of stations complete.

    What a broken-off run doesn't have is "".
    """
    paths = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    rows = [_row(RunFolder(path)) for path in paths]
    return sorted((row for row in rows if row is not None), key=lambda row: row[3], reverse=True)


def runs_in(path: Path) -> list[RunFolder]:
    """The run that a path is, or the runs that lie in it, by name. A path that is neither is taken for a run.

    >>> [run.path.name for run in runs_in(Path("missing"))]
    ['missing']
    """
    if RunFolder(path).run_json.exists() or not path.is_dir():
        return [RunFolder(path)]
    inside = sorted(inner for inner in path.iterdir() if RunFolder(inner).run_json.exists())
    return [RunFolder(inner) for inner in inside] or [RunFolder(path)]


def _row(folder: RunFolder) -> list[str] | None:
    try:
        record = folder.read_run()
    except RunFolderError:
        return None
    started = f"{datetime.fromtimestamp(record.t0_epoch, UTC):%Y-%m-%d %H:%M:%S}" if record.t0_epoch else ""
    ratio = _from_json(folder.summary, "stations", "completed_by_deadline_ratio")
    complete = f"{ratio:.0%}" if isinstance(ratio, float) else ""
    return [str(_from_json(folder.verdict, "verdict") or ""), folder.path.name, record.name, started, complete]


def _from_json(path: Path, *keys: str) -> object:
    """A value deep in a JSON file, or None where file or key isn't there."""
    try:
        content: object = json.loads(read_bounded(path))
    except (OSError, ValueError, RecursionError):
        return None
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content
