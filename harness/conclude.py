"""The end of a run: figures, judgement, report, and the words on the terminal. Also for a run folder of yesterday."""

from __future__ import annotations

from collections.abc import Sequence

from harness.figures.collect import series
from harness.figures.summarise import load_summary
from harness.judge.verdict import judge
from harness.runfolder import RunFolder
from reports.render import render
from reports.terminal import print_verdict


def conclude(folder: RunFolder, assertions: Sequence[str]) -> int:
    """Summarise, judge, draw and print; the exit code."""
    verdict = judge(folder, assertions)
    summary = load_summary(folder)
    render(folder, summary, series(folder), verdict)
    print_verdict(verdict, summary, folder.page)
    return verdict.exit_code
