"""After a run: analyse it, judge it, write its report. Also for run folders of earlier runs."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.chart_data import load_chart_data
from harness.judge.results import Verdict
from harness.judge.verdict import Judgement, evaluate_run, judge_run
from harness.run_folder.layout import RunFolder
from harness.runner.prediction import predict_remedy
from reports.ci import publish_run
from reports.markdown import summary_markdown
from reports.run_texts import write_texts
from reports.terminal import display_path, print_lines, print_report_path, print_verdict


def finish_run(folder: RunFolder, assertions: Sequence[str], *, to_ci: bool = True, report: bool = True) -> int:
    """Analyse, judge, print and report a run; the exit code.

    With `to_ci` the result is also published to GitHub Actions. Without `report` neither charts nor page are written.
    """
    judged = judge_run(folder, assertions)
    print_verdict(judged.verdict, judged.summary)  # nobody has to wait for the drawing to know it
    _write_report(folder, judged, report=report)
    if report:
        print_report_path(folder.page)
    else:
        print_lines([f"No report was written; to write it: harness report {display_path(folder.path)}"])
    if to_ci:
        text = folder.markdown.read_text("utf-8")
        print_lines(publish_run(text, judged.summary.name, judged.verdict, judged.audit))
    return judged.verdict.exit_code


def judge_and_report(folder: RunFolder, assertions: Sequence[str], *, report: bool = True) -> Verdict:
    """Analyse, judge and report a run without printing anything; the verdict. Without `report` nothing is drawn."""
    judged = judge_run(folder, assertions)
    _write_report(folder, judged, report=report)
    return judged.verdict


def _write_report(folder: RunFolder, judged: Judgement, *, report: bool) -> None:
    if not report:
        write_texts(folder, judged.summary, judged.verdict, [], judged.audit)
        return
    from reports.render import render_run  # noqa: PLC0415 - Matplotlib takes a third of a second to import

    chart_data = load_chart_data(folder, judged.run_data, judged.statuses)
    remedy = predict_remedy(folder, judged)
    render_run(folder, judged.summary, chart_data, judged.verdict, judged.audit, remedy)


def judge_with(folder: RunFolder, assertions: Sequence[str]) -> int:
    """Judge a run by other assertions than its own and print the result; the exit code. Nothing in the folder changes."""
    judged = evaluate_run(folder, assertions)
    print_verdict(judged.verdict, judged.summary)
    text = summary_markdown(judged.summary, judged.verdict, [], judged.audit)
    print_lines(publish_run(text, judged.summary.name, judged.verdict, judged.audit))
    return judged.verdict.exit_code
