"""Draws a run: every chart, the HTML page, and the files for CI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib import rc_context

from harness.analysis.chart_types import ChartData
from harness.analysis.summary import Summary
from harness.judge.compare.results import load_comparison
from harness.judge.results import Audit, Verdict
from harness.run_folder.layout import RunFolder
from reports import palette, svg
from reports.charts import CHARTS
from reports.ci import junit_xml
from reports.html import DrawnChart, link_comparison, render_page
from reports.markdown import metrics_text, summary_markdown

if TYPE_CHECKING:
    from pathlib import Path


def render_run(
    folder: RunFolder, summary: Summary, chart_data: ChartData, verdict: Verdict | None, audit: Audit | None = None
) -> list[str]:
    """Write report/*.svg, report/*.png, report/index.html, junit.xml, summary.md and metrics.txt; return the findings.

    `verdict` and `audit` are None for a run that stopped before it was judged. A chart without data
    draws a sentence in its place. So anything a chart raises is a bug in the harness, and is not caught here.
    """
    folder.report.mkdir(parents=True, exist_ok=True)
    charts = draw_charts(folder.report, chart_data, summary)
    findings = [chart.finding for chart in charts]
    folder.page.write_text(
        render_page(folder.read_run(), summary, chart_data, verdict, charts, audit), encoding="utf-8"
    )
    # `harness report` draws the page again after `harness compare` has written its link into the old one
    comparison = load_comparison(folder)
    if comparison is not None and folder.comparison_page.exists():
        link_comparison(folder.page, comparison)
    folder.junit.write_text(junit_xml(summary, verdict, audit), encoding="utf-8")
    folder.markdown.write_text(summary_markdown(summary, verdict, findings, audit), encoding="utf-8")
    folder.metrics.write_text(metrics_text(summary, verdict), encoding="utf-8")
    return findings


def draw_charts(folder: Path, chart_data: ChartData, summary: Summary) -> list[DrawnChart]:
    """Draw every chart that the run has into the folder as SVG and PNG; return what the HTML page needs of each."""
    drawn = []
    with rc_context(palette.STYLE):
        for chart in CHARTS:
            if not chart.applies(summary):
                continue
            text = svg.write_figure(chart.draw(chart_data, summary), folder, chart.name)
            drawn.append(DrawnChart(chart.name, chart.title, chart.question, chart.finding(chart_data, summary), text))
    return drawn
