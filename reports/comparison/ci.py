"""A comparison for CI: junit.xml (a testcase a figure), summary.md, and what GitHub is told.

What could not be told is skipped with its reason, never passed; an INVALID run is an error, as it is in a run's own files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement

from harness.judge.compare.results import Comparison, FigureComparison, format_percent
from reports import github
from reports.comparison import table
from reports.junit import add_result, serialise_suites
from reports.markdown import escape_markdown, markdown_table
from reports.number_format import format_quantity

MARKS = {"pass": "✅", "fail": "❌", "inconclusive": "⚠️"}
SUITE = "harness.compare"
VALID = "the runs are measurements, and the server is safe"
_LEVELS = {"pass": "notice", "fail": "error", "inconclusive": "warning"}


def comparison_junit(comparison: Comparison) -> str:
    """The XML: one testcase for the runs themselves and one for every figure that is judged."""
    suites = Element("testsuites", name="harness")
    suite = SubElement(suites, "testsuite", name=SUITE, time="0")
    runs = SubElement(suite, "testcase", classname=SUITE, name=VALID, time="0")
    if comparison.reasons:
        kind = "failure" if comparison.verdict == "fail" else "error"
        add_result(runs, kind, comparison.reasons[0], "\n".join(comparison.reasons))
    for figure in comparison.figures:
        if figure.tolerance is None:
            continue
        name = f"{figure.key} is no more than {format_percent(figure.tolerance)} worse"
        case = SubElement(suite, "testcase", classname=SUITE, name=name, time="0")
        if figure.verdict == "fail":
            add_result(case, "failure", _describe_values(figure), f"{_describe_values(figure)}\n{figure.reason}")
        elif figure.verdict != "pass":
            add_result(
                case,
                "skipped",
                f"{table.RESULT_LABELS[figure.verdict]}: {figure.reason or _describe_values(figure)}",
                "",
            )
    return serialise_suites(suites, suite)


def comparison_markdown(comparison: Comparison) -> str:
    """Verdict, reasons and the table, as GitHub and GitLab show them."""
    headline = table.COMPARISON_LABELS[comparison.verdict]
    lines = [
        f"## {MARKS[comparison.verdict]} {headline}: compared with the base",
        "",
        f"{escape_markdown(comparison.finding)}.",
        "",
    ]
    said = [*comparison.reasons, *(f"unlike, compared by force: {line}" for line in comparison.unlike)]
    lines += [*(f"- {escape_markdown(line)}" for line in said), ""] if said else []
    lines += markdown_table(table.HEADERS, [[escape_markdown(cell) for cell in row] for row in table.rows(comparison)])
    for name, side in (("Base", comparison.base), ("Run", comparison.run)):
        lines.append(f"{name}: {', '.join(f'`{escape_markdown(run.id)}`' for run in side)}.  ")
    return "\n".join(lines) + "\n"


def publish_comparison(comparison: Comparison, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Add the summary to the job's, where there is one; the annotation to print, none outside of GitHub."""
    github.append_job_summary(comparison_markdown(comparison), environment)
    if environment.get("GITHUB_ACTIONS") != "true":
        return []
    failed = [f"{figure.key}: {_describe_values(figure)}" for figure in comparison.figures if figure.verdict == "fail"]
    text = "\n".join([comparison.finding, *comparison.reasons, *failed])
    return [
        github.workflow_command(
            _LEVELS[comparison.verdict], f"{table.COMPARISON_LABELS[comparison.verdict]}: comparison", text
        )
    ]


def _describe_values(figure: FigureComparison) -> str:
    base, run = format_quantity(figure.base, figure.unit), format_quantity(figure.run, figure.unit)
    change = table.format_change(figure)
    return f"base {base}, run {run}{f', change {change}' if change else ''}"
