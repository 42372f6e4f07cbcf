"""The end of a run: figures, judgement, report, and the words on the terminal. Also for a run folder of yesterday."""

from __future__ import annotations

from collections.abc import Sequence

from harness.figures.collect import series
from harness.figures.summarise import load_summary
from harness.judge.results import Verdict
from harness.judge.verdict import judge
from harness.runfolder import RunFolder
from reports.render import render
from reports.terminal import print_verdict


def conclude(folder: RunFolder, assertions: Sequence[str]) -> int:
    """Summarise, judge, draw and print; the exit code."""
    verdict = draw(folder, assertions)
    print_verdict(verdict, load_summary(folder), folder.page)
    return verdict.exit_code


def draw(folder: RunFolder, assertions: Sequence[str]) -> Verdict:
    """Summarise, judge and draw, without a word; the verdict."""
    verdict = judge(folder, assertions)
    render(folder, load_summary(folder), series(folder), verdict)
    return verdict
