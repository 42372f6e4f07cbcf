"""A comparison for CI: junit.xml (a testcase a figure), summary.md, and what GitHub is told.

What could not be told is skipped with its reason, never passed; an INVALID run is an error, as it is in a run's own files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement

from harness.judge.compare.results import Comparison, FigureComparison, percent
from reports import github
from reports.comparison import table
from reports.junit import say, written
from reports.markdown import escaped, table_of
from reports.number_format import quantity

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
        say(runs, kind, comparison.reasons[0], "\n".join(comparison.reasons))
    for figure in comparison.figures:
        if figure.tolerance is None:
            continue
        name = f"{figure.key} is no more than {percent(figure.tolerance)} worse"
        case = SubElement(suite, "testcase", classname=SUITE, name=name, time="0")
        if figure.verdict == "fail":
            say(case, "failure", _seen(figure), f"{_seen(figure)}\n{figure.reason}")
        elif figure.verdict != "pass":
            say(case, "skipped", f"{table.WORDS[figure.verdict]}: {figure.reason or _seen(figure)}", "")
    return written(suites, suite)


def comparison_markdown(comparison: Comparison) -> str:
    """Verdict, reasons and the table, as GitHub and GitLab show them."""
    headline = table.HEADLINES[comparison.verdict]
    lines = [
        f"## {MARKS[comparison.verdict]} {headline}: compared with the base",
        "",
        f"{escaped(comparison.finding)}.",
        "",
    ]
    said = [*comparison.reasons, *(f"unlike, compared by force: {line}" for line in comparison.unlike)]
    lines += [*(f"- {escaped(line)}" for line in said), ""] if said else []
    lines += table_of(table.HEADERS, [[escaped(cell) for cell in row] for row in table.rows(comparison)])
    for name, side in (("Base", comparison.base), ("Run", comparison.run)):
        lines.append(f"{name}: {', '.join(f'`{escaped(run.id)}`' for run in side)}.  ")
    return "\n".join(lines) + "\n"


def announce_comparison(comparison: Comparison, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Add the summary to the job's, where there is one; the annotation to print, none outside of GitHub."""
    github.add_to_summary(comparison_markdown(comparison), environment)
    if environment.get("GITHUB_ACTIONS") != "true":
        return []
    failed = [f"{figure.key}: {_seen(figure)}" for figure in comparison.figures if figure.verdict == "fail"]
    text = "\n".join([comparison.finding, *comparison.reasons, *failed])
    return [github.command(_LEVELS[comparison.verdict], f"{table.HEADLINES[comparison.verdict]}: comparison", text)]


def _seen(figure: FigureComparison) -> str:
    base, run = quantity(figure.base, figure.unit), quantity(figure.run, figure.unit)
    change = table.change_of(figure)
    return f"base {base}, run {run}{f', change {change}' if change else ''}"
