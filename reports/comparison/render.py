"""Writes a comparison's page and chart."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup
from matplotlib import rc_context

from harness.judge.compare.results import Comparison
from reports import palette, svg
from reports.comparison import table
from reports.comparison.chart import draw_changes
from reports.html import stylesheet, template_environment
from reports.render import PNG_DPI

TONES = {"pass": ("good", "✓"), "fail": ("bad", "✗"), "inconclusive": ("unsure", "?")}
CHART = "changes"


def render_comparison(page: Path, comparison: Comparison) -> None:
    """Write the page, and its chart beside it as SVG and PNG."""
    page.parent.mkdir(parents=True, exist_ok=True)
    with rc_context(palette.STYLE):
        figure = draw_changes(comparison)
        picture = svg.to_svg(figure)
        (page.parent / f"{CHART}.svg").write_text(picture, encoding="utf-8")
        figure.savefig(page.parent / f"{CHART}.png", format="png", dpi=PNG_DPI, metadata={"Software": None})
    environment = template_environment()
    tone, mark = TONES[comparison.verdict]
    page.write_text(
        environment.get_template("comparison.html.j2").render(
            comparison=comparison,
            headline=table.COMPARISON_LABELS[comparison.verdict],
            tone=tone,
            mark=mark,
            headers=table.HEADERS,
            rows=table.rows(comparison),
            chart=Markup(svg.inline_svg(picture, CHART, comparison.finding)),  # noqa: S704 - matplotlib escapes its texts
            css=stylesheet(environment),
        ),
        encoding="utf-8",
    )
