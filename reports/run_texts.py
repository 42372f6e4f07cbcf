"""Writes what other programs read of a run: junit.xml, summary.md and metrics.txt."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.summary import Summary
from harness.judge.results import Audit, Verdict
from harness.run_folder.layout import RunFolder
from reports.ci import junit_xml
from reports.markdown import metrics_text, summary_markdown


def write_texts(
    folder: RunFolder, summary: Summary, verdict: Verdict | None, findings: Sequence[str], audit: Audit | None = None
) -> None:
    """Write the three files; `findings` are the sentences of the charts, none if they were not drawn."""
    folder.junit.write_text(junit_xml(summary, verdict, audit), encoding="utf-8")
    folder.markdown.write_text(summary_markdown(summary, verdict, findings, audit), encoding="utf-8")
    folder.metrics.write_text(metrics_text(summary, verdict), encoding="utf-8")
