"""Run folders -> one comparison: read, refused where unlike, judged, written and drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.base.errors import UsageError
from harness.judge.compare.compare import compare_sides, list_differences
from harness.judge.compare.figure import Sides
from harness.judge.compare.noise import noise_key
from harness.judge.compare.results import Comparison
from harness.judge.compare.run import ComparedRun, load_compared_run
from harness.judge.compare.tolerances import Tolerances
from harness.run_folder.layout import RunFolder, RunRecord, write_json
from harness.runner.noise_store import load_noise
from reports.comparison.ci import comparison_junit, comparison_markdown
from reports.comparison.render import render_comparison


@dataclass(frozen=True)
class ComparisonRequest:
    """What is to be compared, and how."""

    base: Sequence[RunFolder]
    run: Sequence[RunFolder]
    tolerances: Tolerances
    noise: Path
    """Folder of the calibrations."""
    force: bool = False
    """Compare unlike runs too."""


def compare_runs(question: ComparisonRequest, assertions: Callable[[RunFolder], list[str]]) -> Comparison:
    """The comparison; `assertions` gives a run's own.

    Raises UsageError for runs that are unlike (without `force`) or that stand twice, BrokenRunError for a folder that is no
    run.
    """
    _refuse_duplicates([*question.base, *question.run])
    records = [[folder.read_run() for folder in side] for side in (question.base, question.run)]
    if not question.force:
        refuse_unlike(*records)

    def read(folder: RunFolder) -> ComparedRun:
        return load_compared_run(folder, assertions(folder), question.tolerances.shown)

    sides = Sides([read(folder) for folder in question.base], [read(folder) for folder in question.run])
    return compare_sides(sides, question.tolerances, load_noise(question.noise, noise_key(records[0][0])))


def refuse_unlike(base: Sequence[RunRecord], run: Sequence[RunRecord]) -> None:
    """Raise UsageError where the runs can't be compared; says what differs."""
    lines = list_differences(base, run)
    if lines:
        message = "These runs can't be compared (--force compares them all the same); base against run:"
        raise UsageError("\n".join([message, *(f"  {line}" for line in lines)]))


class ComparisonPaths(NamedTuple):
    """Where a comparison's files go."""

    json: Path
    page: Path
    junit: Path
    markdown: Path


def paths_in(folder: Path) -> ComparisonPaths:
    """Where they go in a folder of the comparison's own."""
    return ComparisonPaths(
        folder / "comparison.json", folder / "report" / "index.html", folder / "junit.xml", folder / "summary.md"
    )


def paths_beside(folder: RunFolder) -> ComparisonPaths:
    """Where they go beside the files of the run that was compared with its baseline."""
    return ComparisonPaths(
        folder.comparison, folder.comparison_page, folder.comparison_junit, folder.comparison_markdown
    )


def write_comparison(comparison: Comparison, places: ComparisonPaths) -> None:
    """Write comparison.json, the page with its chart, and the files for CI."""
    places.json.parent.mkdir(parents=True, exist_ok=True)
    write_json(places.json, comparison.model_dump(mode="json"))
    render_comparison(places.page, comparison)
    places.junit.write_text(comparison_junit(comparison), encoding="utf-8")
    places.markdown.write_text(comparison_markdown(comparison), encoding="utf-8")


def _refuse_duplicates(folders: Sequence[RunFolder]) -> None:
    paths = [folder.path.resolve() for folder in folders]
    for path in paths:
        if paths.count(path) > 1:
            message = f"{path} stands twice: a run compared with itself shows nothing"
            raise UsageError(message)
