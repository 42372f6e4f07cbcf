"""The end of a run: figures, judgement, report, and the words on the terminal. Also for a run folder of yesterday."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.chart_data import series
from harness.analysis.summarise import load_summary
from harness.judge.audit import load_audit
from harness.judge.results import Verdict
from harness.judge.verdict import settle, weigh
from harness.run_folder.layout import RunFolder
from reports.github import announce
from reports.markdown import markdown
from reports.render import render
from reports.terminal import print_lines, print_verdict


def conclude(folder: RunFolder, assertions: Sequence[str], *, to_ci: bool = True) -> int:
    """Summarise, audit, judge, draw and print; the exit code. With `to_ci`, GitHub hears of it where it listens."""
    verdict = draw(folder, assertions)
    summary = load_summary(folder)
    print_verdict(verdict, summary, folder.page)
    if to_ci:
        text = folder.markdown.read_text("utf-8")
        print_lines(announce(text, summary.name, verdict, load_audit(folder)))
    return verdict.exit_code


def draw(folder: RunFolder, assertions: Sequence[str]) -> Verdict:
    """Summarise, audit, judge and draw, without a word; the verdict."""
    judged = settle(folder, assertions)
    render(folder, judged.summary, series(folder, judged.evidence), judged.verdict, judged.audit)
    return judged.verdict


def second_opinion(folder: RunFolder, assertions: Sequence[str]) -> int:
    """Judge by other assertions than the run's own, and print; the exit code. The folder's own judgement stays as it is."""
    judged = weigh(folder, assertions)
    print_verdict(judged.verdict, judged.summary, None)
    text = markdown(judged.summary, judged.verdict, [], judged.audit)
    print_lines(announce(text, judged.summary.name, judged.verdict, judged.audit))
    return judged.verdict.exit_code
