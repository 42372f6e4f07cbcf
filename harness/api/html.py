"""A run as a notebook shows it: verdict, thresholds and key figures, in the words of the report."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from harness.analysis.summary import Summary
from harness.judge.results import Verdict
from reports.key_figures import (
    describe_margin,
    describe_verdict,
    list_key_figures,
    order_thresholds,
    verdict_label_with_mark,
)
from reports.number_format import format_quantity

_COLOURS = {"pass": "#1a7f37", "fail": "#cf222e", "invalid": "#9a6700"}
"""Readable on white and, because it is a background with white text, on dark themes too."""


def run_html(summary: Summary, verdict: Verdict) -> str:
    """The HTML of a cell's output. It has no script and no style sheet of its own, so that every notebook viewer shows it."""
    badge = Markup(
        '<span style="background:{};color:#fff;padding:1px 8px;border-radius:4px;font-weight:600">{}</span>'
    ).format(_COLOURS[verdict.verdict], verdict_label_with_mark(verdict))
    parts = [Markup("<p>{} <b>{}</b> {}</p>").format(badge, summary.name, describe_verdict(verdict))]
    parts += [Markup("<p>{}</p>").format(reason) for reason in verdict.validity.reasons]
    if verdict.thresholds:
        rows = [
            [
                "not judged" if not one.judged else "held" if one.passed else "breached", one.assertion,
                format_quantity(one.observed, one.unit), describe_margin(one),
            ]
            for one in order_thresholds(verdict)
        ]  # fmt: skip
        parts.append(_table(["", "threshold", "observed", "by how much"], rows))
    figures = [[one.name, one.value, one.note] for one in list_key_figures(summary)]
    parts.append(_table(["figure", "value", ""], figures))
    return str(Markup("\n").join(parts))


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    head = Markup("").join(Markup('<th style="text-align:left">{}</th>').format(header) for header in headers)
    body = Markup("\n").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(Markup('<td style="text-align:left">{}</td>').format(cell) for cell in row)
        )
        for row in rows
    )
    return Markup("<table><thead><tr>{}</tr></thead><tbody>\n{}\n</tbody></table>").format(head, body)
