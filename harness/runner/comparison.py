"""Compares runs with each other: loads both sides, refuses runs that are not comparable, and writes the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.analysis.chart_data import load_chart_data
from harness.analysis.page_status import load_page_statuses
from harness.analysis.rows import load_rows
from harness.analysis.run_data import RunData
from harness.analysis.summarise import compute_summary
from harness.base.errors import UsageError
from harness.base.safe_files import write_json
from harness.judge.compare.compare import compare_sides, list_differences
from harness.judge.compare.figure import Sides, Tolerances
from harness.judge.compare.noise import noise_key
from harness.judge.compare.results import Comparison
from harness.judge.compare.run import ComparedRun, load_compared_run
from harness.run_folder.layout import RunFolder, RunRecord
from harness.runner.noise_files import load_noise
from reports.comparison import comparison_junit, comparison_markdown, render_comparison
from reports.comparison_charts import ComparedSide


@dataclass(frozen=True)
class ComparisonRequest:
    """Which runs to compare, and how."""

    base: Sequence[RunFolder]
    run: Sequence[RunFolder]
    tolerances: Tolerances
    noise: Path
    """Folder of this machine's calibrations."""
    force: bool = False
    """Compare runs even if they differ in what makes them comparable."""


def compare_runs(request: ComparisonRequest, assertions: Callable[[RunFolder], list[str]]) -> Comparison:
    """The comparison; `assertions` gives the assertions of a run.

    Raises UsageError if the runs are not comparable (without `force`) or one is given twice, RunFolderError for a folder that
    is not a run.
    """
    _refuse_duplicates([*request.base, *request.run])
    records = [[folder.read_run() for folder in side] for side in (request.base, request.run)]
    if not request.force:
        refuse_unlike(*records)

    def load(folder: RunFolder) -> ComparedRun:
        return load_compared_run(folder, assertions(folder), request.tolerances.shown)

    sides = Sides([load(folder) for folder in request.base], [load(folder) for folder in request.run])
    return compare_sides(sides, request.tolerances, load_noise(request.noise, noise_key(records[0][0])))


def refuse_unlike(base: Sequence[RunRecord], run: Sequence[RunRecord]) -> None:
    """Raise UsageError with every difference if the runs are not comparable."""
    lines = list_differences(base, run)
    if lines:
        message = "These runs are not comparable (--force compares them anyway); base against run:"
        raise UsageError("\n".join([message, *(f"  {line}" for line in lines)]))


class ComparisonPaths(NamedTuple):
    """Where the files of a comparison go."""

    json: Path
    page: Path
    junit: Path
    markdown: Path


def paths_in(folder: Path) -> ComparisonPaths:
    """The paths in a folder that holds only this comparison."""
    return ComparisonPaths(
        folder / "comparison.json", folder / "report" / "index.html", folder / "junit.xml", folder / "summary.md"
    )


def paths_beside(folder: RunFolder) -> ComparisonPaths:
    """The paths in the folder of the run that was compared with its baseline."""
    return ComparisonPaths(
        folder.comparison, folder.comparison_page, folder.comparison_junit, folder.comparison_markdown
    )


def load_sides(request: ComparisonRequest) -> list[ComparedSide]:
    """What the page draws of both sides: of each its first run, analysed again from its folder."""
    return [
        _load_side(name, folders[0], len(folders)) for name, folders in (("base", request.base), ("run", request.run))
    ]


def _load_side(name: str, folder: RunFolder, runs: int) -> ComparedSide:
    rows = load_rows(folder)
    statuses, run_data = load_page_statuses(folder, rows), RunData(folder, rows)
    summary = compute_summary(folder, rows, statuses, run_data)
    return ComparedSide(name, summary, load_chart_data(folder, run_data, statuses), runs)


def write_comparison(comparison: Comparison, paths: ComparisonPaths, sides: Sequence[ComparedSide] = ()) -> None:
    """Write comparison.json, the page with its charts, and the files for CI."""
    paths.json.parent.mkdir(parents=True, exist_ok=True)
    write_json(paths.json, comparison.model_dump(mode="json"))
    render_comparison(paths.page, comparison, sides)
    paths.junit.write_text(comparison_junit(comparison), encoding="utf-8")
    paths.markdown.write_text(comparison_markdown(comparison), encoding="utf-8")


def _refuse_duplicates(folders: Sequence[RunFolder]) -> None:
    paths = [folder.path.resolve() for folder in folders]
    for path in paths:
        if paths.count(path) > 1:
            # A run compared with itself would count its noise as half of what it is.
            message = f"duplicate run {path}: name each run once"
            raise UsageError(message)
