"""Writes an experiment's page and charts beside its experiment.json."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup
from matplotlib import rc_context

from harness.analysis.experiment import ExperimentFigures
from reports import palette, svg
from reports.experiment import charts, table
from reports.html import stylesheet, template_environment
from reports.render import PNG_DPI

CHARTS = (
    ("curves", "When were the stations complete?", charts.draw_curves),
    ("rank", "What would have helped most?", charts.draw_rank),
)


def render_experiment(folder: Path, figures: ExperimentFigures) -> Path:
    """Write report/index.html and both charts as SVG and PNG below the experiment's folder; the page's path."""
    into = folder / "report"
    into.mkdir(parents=True, exist_ok=True)
    pictures = []
    with rc_context(palette.STYLE):
        for name, question, draw in CHARTS:
            figure = draw(figures)
            picture = svg.to_svg(figure)
            (into / f"{name}.svg").write_text(picture, encoding="utf-8")
            figure.savefig(into / f"{name}.png", format="png", dpi=PNG_DPI, metadata={"Software": None})
            inline = Markup(svg.inline_svg(picture, name, question))  # noqa: S704
            pictures.append({"name": name, "question": question, "svg": inline})
    environment = template_environment()
    page = into / "index.html"
    page.write_text(
        environment.get_template("experiment.html.j2").render(
            figures=figures,
            finding=table.finding(figures),
            headers=table.headers(figures),
            rows=table.rows(figures),
            charts=pictures,
            done=sum(len(variant.cells) for variant in figures.variants),
            css=stylesheet(environment),
        ),
        encoding="utf-8",
    )
    return page
