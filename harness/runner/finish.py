"""The end of a run: figures, judgement, report, and the words on the terminal. Also for a run folder of yesterday."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.chart_data import load_chart_data
from harness.analysis.summarise import load_summary
from harness.judge.audit import load_audit
from harness.judge.results import Verdict
from harness.judge.verdict import evaluate_run, judge_run
from harness.run_folder.layout import RunFolder
from reports.github import publish_run
from reports.markdown import summary_markdown
from reports.render import render_run
from reports.terminal import print_lines, print_verdict


def finish_run(folder: RunFolder, assertions: Sequence[str], *, to_ci: bool = True) -> int:
    """Summarise, audit, judge, draw and print; the exit code. With `to_ci`, GitHub hears of it where it listens."""
    verdict = judge_and_report(folder, assertions)
    summary = load_summary(folder)
    print_verdict(verdict, summary, folder.page)
    if to_ci:
        text = folder.markdown.read_text("utf-8")
        print_lines(publish_run(text, summary.name, verdict, load_audit(folder)))
    return verdict.exit_code


def judge_and_report(folder: RunFolder, assertions: Sequence[str]) -> Verdict:
    """Summarise, audit, judge and draw, without a word; the verdict."""
    judged = judge_run(folder, assertions)
    render_run(folder, judged.summary, load_chart_data(folder, judged.evidence), judged.verdict, judged.audit)
    return judged.verdict


def judge_with(folder: RunFolder, assertions: Sequence[str]) -> int:
    """Judge by other assertions than the run's own, and print; the exit code. The folder's own judgement stays as it is."""
    judged = evaluate_run(folder, assertions)
    print_verdict(judged.verdict, judged.summary, None)
    text = summary_markdown(judged.summary, judged.verdict, [], judged.audit)
    print_lines(publish_run(text, judged.summary.name, judged.verdict, judged.audit))
    return judged.verdict.exit_code
