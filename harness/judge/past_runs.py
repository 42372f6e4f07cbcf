"""Earlier runs, as far as their files tell. Imports nothing that analyses: a list of runs should be there at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from harness.base.errors import RunFolderError
from harness.base.safe_files import read_json
from harness.run_folder.layout import RunFolder, RunRecord

HISTORY_FIGURES: Final = {
    "delivery_seconds.p95": "s",
    "rates.goodput_per_s": "per_s",
    "attempts.amplification": "",
    "stations.completed_by_deadline_ratio": "ratio",
}
"""The figures that lists and histories show, by their path in summary.json, and their units."""


@dataclass(frozen=True)
class PastRun:
    """One earlier run, as far as its files tell."""

    folder: RunFolder
    record: RunRecord
    verdict: str
    """"pass", "fail", "invalid", or "" if it was never judged."""
    began_s: float | None
    """Unix time of its start (of a simulation: when it was made); None if it never began."""
    figures: Mapping[str, float | None]
    """The `HISTORY_FIGURES`; None for what it does not have."""

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.folder.path.name

    @property
    def started(self) -> str:
        """When it began, in UTC; "" if it never did."""
        return f"{datetime.fromtimestamp(self.began_s, UTC):%Y-%m-%d %H:%M:%S}" if self.began_s else ""

    @property
    def labels(self) -> str:
        """Its labels as they were given: "version=1.2 host=a"."""
        return " ".join(f"{key}={value}" for key, value in self.record.labels.items())


@dataclass(frozen=True)
class RunFilter:
    """Which runs are wanted; what is left out matches every run."""

    scenario: str | None = None
    verdict: str | None = None
    labels: Mapping[str, str] | None = None
    simulated: bool | None = None

    def matches(self, run: PastRun) -> bool:
        """Whether a run is wanted."""
        return (
            (self.scenario is None or run.record.name == self.scenario)
            and (self.verdict is None or run.verdict == self.verdict)
            and (self.simulated is None or run.record.simulated == self.simulated)
            and (self.labels or {}).items() <= run.record.labels.items()
        )


def find_runs(folder: Path, wanted: RunFilter | None = None) -> list[PastRun]:
    """The runs directly below a folder that match, oldest first. Other folders, and runs that can't be read, are left out."""
    paths = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    runs = [run for run in map(_read_run, map(RunFolder, paths)) if run is not None]
    return sorted(
        (run for run in runs if (wanted or RunFilter()).matches(run)), key=lambda run: (run.began_s or 0.0, run.name)
    )


def _read_run(folder: RunFolder) -> PastRun | None:
    try:
        record = folder.read_run()
    except RunFolderError:  # something else lies there, too
        return None
    summary, verdict = _read_table(folder.summary), _read_table(folder.verdict)
    return PastRun(
        folder=folder,
        record=record,
        verdict=str(verdict.get("verdict") or ""),
        # A simulation has no T0 of its own: it counts from when it was made.
        began_s=folder.run_json.stat().st_mtime if record.simulated else record.t0_epoch,
        figures={key: _figure(summary, key) for key in HISTORY_FIGURES},
    )


def _read_table(path: Path) -> dict[str, Any]:
    """A JSON file's table, empty if it is missing or broken: one broken run must not hide the others."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _figure(summary: dict[str, Any], key: str) -> float | None:
    table, _, name = key.partition(".")
    inner = summary.get(table)
    value = inner.get(name) if isinstance(inner, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
