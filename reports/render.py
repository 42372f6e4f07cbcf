"""Draw a finished (or broken-off) run: every chart, the page, and the judgement for CI."""

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
from reports.html import DrawnChart, link_comparison, render_page
from reports.junit import junit_xml
from reports.markdown import metrics_text, summary_markdown

if TYPE_CHECKING:
    from pathlib import Path

PNG_DPI = 150


def render_run(
    folder: RunFolder, summary: Summary, series: ChartData, verdict: Verdict | None, audit: Audit | None = None
) -> list[str]:
    """Write report/*.svg, report/*.png, report/index.html, junit.xml, summary.md and metrics.txt; the findings.

    `verdict` and `audit` are None for a run that was broken off before it was judged. A chart that fails to draw raises: missing
    data is drawn in words, so a failure is a bug of ours.
    """
    folder.report.mkdir(parents=True, exist_ok=True)
    charts = draw_charts(folder.report, series, summary)
    findings = [chart.finding for chart in charts]
    folder.page.write_text(render_page(folder.read_run(), summary, series, verdict, charts, audit), encoding="utf-8")
    compared = load_comparison(folder)
    if compared is not None and folder.comparison_page.exists():
        link_comparison(folder.page, compared)
    folder.junit.write_text(junit_xml(summary, verdict, audit), encoding="utf-8")
    folder.markdown.write_text(summary_markdown(summary, verdict, findings, audit), encoding="utf-8")
    folder.metrics.write_text(metrics_text(summary, verdict), encoding="utf-8")
    return findings


def draw_charts(into: Path, series: ChartData, summary: Summary) -> list[DrawnChart]:
    """Draw every chart of the registry into the folder, as SVG and PNG; what the page needs of each."""
    drawn = []
    with rc_context(palette.STYLE):
        for chart in CHARTS:
            figure = chart.draw(series, summary)
            picture = svg.to_svg(figure)
            (into / f"{chart.name}.svg").write_text(picture, encoding="utf-8")
            figure.savefig(into / f"{chart.name}.png", format="png", dpi=PNG_DPI, metadata={"Software": None})
            drawn.append(DrawnChart(chart.name, chart.title, chart.question, chart.finding(series, summary), picture))
    return drawn
