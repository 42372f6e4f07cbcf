"""Draws a run: every chart, the HTML page, and the files for CI."""

from __future__ import annotations

import csv
from functools import partial
from typing import TYPE_CHECKING

from harness.analysis.chart_types import ChartData
from harness.analysis.summary import Summary
from harness.analysis.unacknowledged import CSV_COLUMNS
from harness.judge.compare.results import load_comparison
from harness.judge.remedy import Remedy
from harness.judge.results import Audit, Verdict
from harness.run_folder.layout import RunFolder
from reports.charts import CHARTS
from reports.drawing import drawing_into
from reports.html import DrawnChart, link_comparison, render_page
from reports.run_texts import write_texts
from reports.tables import MISSING_FILE

if TYPE_CHECKING:
    from pathlib import Path


def render_run(
    folder: RunFolder, summary: Summary, chart_data: ChartData, verdict: Verdict | None, audit: Audit | None = None,
    remedy: Remedy | None = None,
) -> list[str]:  # fmt: skip
    """Write report/*.svg, report/*.png, report/index.html, report/not-acknowledged.csv, junit.xml, summary.md and metrics.txt; return the findings.

    `verdict` and `audit` are None for a run that stopped before it was judged; `remedy` is what to try first with its predicted effect. A chart without data
    draws a sentence in its place. So anything a chart raises is a bug in the harness, and is not caught here.
    """
    folder.report.mkdir(parents=True, exist_ok=True)
    record = folder.read_run()
    charts = draw_charts(folder.report, chart_data, summary)
    findings = [chart.finding for chart in charts]
    folder.page.write_text(render_page(record, summary, chart_data, verdict, charts, audit, remedy), encoding="utf-8")
    # `harness report` draws the page again after `harness compare` has written its link into the old one
    comparison = load_comparison(folder)
    if comparison is not None and folder.comparison_page.exists():
        link_comparison(folder.page, comparison)
    _write_missing(folder.report / MISSING_FILE, chart_data)
    write_texts(folder, summary, verdict, findings, audit)
    return findings


def _write_missing(path: Path, chart_data: ChartData) -> None:
    """Write a CSV with one row per page that was never acknowledged; none if the rows of the run are not known."""
    found = chart_data.unacknowledged
    if found is None or not len(found.page):
        path.unlink(missing_ok=True)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows(found.csv_rows())


def draw_charts(folder: Path, chart_data: ChartData, summary: Summary) -> list[DrawnChart]:
    """Draw every chart that the run has into the folder as SVG and PNG; return what the HTML page needs of each.

    The page has a second, narrow drawing of each, for phones and print.
    """
    drawn = []
    with drawing_into(folder) as draw_chart:
        for chart in CHARTS:
            if not chart.applies(summary):
                continue
            finding = chart.finding(chart_data, summary)
            drawings = draw_chart(chart.name, partial(chart.draw, chart_data, summary))
            drawn.append(
                DrawnChart(
                    chart.name, chart.title, chart.question, finding, drawings.wide, drawings.narrow, drawings.values
                )
            )
    return drawn
