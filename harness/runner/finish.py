"""After a run: analyse it, judge it, write its report, compare it with earlier runs. Also for run folders of earlier runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.analysis.chart_data import load_chart_data
from harness.analysis.page_status import load_page_statuses
from harness.analysis.rows import load_rows
from harness.analysis.run_data import RunData
from harness.analysis.summarise import compute_summary, load_summary
from harness.base.errors import UsageError
from harness.base.safe_files import load_json, write_json
from harness.judge.audit import load_audit
from harness.judge.compare.compare import compare_sides, list_differences
from harness.judge.compare.figure import Sides, Tolerances
from harness.judge.compare.noise import Noise, noise_key
from harness.judge.compare.results import Comparison
from harness.judge.compare.run import ComparedRun, load_compared_run
from harness.judge.results import Verdict
from harness.judge.verdict import evaluate_run, judge_run
from harness.run_folder.layout import RunFolder, RunRecord
from harness.runner.prediction import predict_remedy
from reports.ci import publish_run
from reports.comparison import comparison_junit, comparison_markdown, render_comparison
from reports.comparison_charts import ComparedSide
from reports.markdown import summary_markdown
from reports.render import render_run
from reports.terminal import print_lines, print_verdict


def finish_run(folder: RunFolder, assertions: Sequence[str], *, to_ci: bool = True) -> int:
    """Analyse, judge, report and print a run; the exit code. With `to_ci` the result is also published to GitHub Actions."""
    verdict = judge_and_report(folder, assertions)
    summary = load_summary(folder)
    print_verdict(verdict, summary, folder.page)
    if to_ci:
        text = folder.markdown.read_text("utf-8")
        print_lines(publish_run(text, summary.name, verdict, load_audit(folder)))
    return verdict.exit_code


def judge_and_report(folder: RunFolder, assertions: Sequence[str]) -> Verdict:
    """Analyse, judge and report a run without printing anything; the verdict."""
    judged = judge_run(folder, assertions)
    chart_data = load_chart_data(folder, judged.run_data, judged.statuses)
    remedy = predict_remedy(folder, judged)
    render_run(folder, judged.summary, chart_data, judged.verdict, judged.audit, remedy)
    return judged.verdict


def judge_with(folder: RunFolder, assertions: Sequence[str]) -> int:
    """Judge a run by other assertions than its own and print the result; the exit code. Nothing in the folder changes."""
    judged = evaluate_run(folder, assertions)
    print_verdict(judged.verdict, judged.summary, None)
    text = summary_markdown(judged.summary, judged.verdict, [], judged.audit)
    print_lines(publish_run(text, judged.summary.name, judged.verdict, judged.audit))
    return judged.verdict.exit_code


# --- comparison


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


# --- calibrations: they describe a machine, so they live in the user's state folder and not in any run folder


def noise_folder() -> Path:
    """`$XDG_STATE_HOME/upload-harness/noise`; by default `~/.local/state/upload-harness/noise`."""
    named = os.environ.get("XDG_STATE_HOME", "")
    # A relative path is to be ignored (XDG Base Directory Specification).
    state = Path(named) if named.startswith("/") else Path.home() / ".local" / "state"
    return state / "upload-harness" / "noise"


def load_noise(folder: Path, key: str) -> Noise | None:
    """The calibration stored under a key; None if there is none.

    Raises RunFolderError for a file that can't be read: a gate must not silently lose its calibration.
    """
    return load_json(folder / f"{key}.json", Noise, advice="; remove it or run harness calibrate again")


def save_noise(folder: Path, noise: Noise) -> Path:
    """Store a calibration under its key, replacing an earlier one; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{noise.key}.json"
    write_json(path, noise.model_dump(mode="json"))
    return path
