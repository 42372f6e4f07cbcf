"""Two runs' charts side by side: the same charts, over the same time and on the same scales."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import rc_context

from harness.analysis.chart_types import RateLines
from harness.judge.compare.compare import compare_sides
from harness.judge.compare.figure import Sides, Tolerances
from reports.charts import throughput
from reports.charts.layout import NARROW
from reports.comparison import render_comparison
from reports.comparison_charts import SIDE_CHARTS, ComparedSide, align_scales, draw_sides
from tests.support import made_up_run
from tests.support.compared_runs import compared, pages


def sides() -> list[ComparedSide]:
    made = made_up_run.rates()
    half = made_up_run.line("goodput", made.goodput.value[:36] / 2)
    short = made_up_run.series(rates=RateLines(made.offered, half, made.throughput, []), end_s=36.0)
    other = made_up_run.summary(run="20240214T130000Z-kaliwates-9f9f")
    return [
        ComparedSide("base", made_up_run.summary(), made_up_run.series(), 3),
        ComparedSide("run", other, short),
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    comparison = compare_sides(Sides([compared(pages(1))], [compared(pages(2))]), Tolerances())
    path: Path = tmp_path_factory.mktemp("compared") / "report" / "index.html"
    render_comparison(path, comparison, sides())
    return path.read_text("utf-8")


@pytest.mark.heavy
def test_completion_throughput_and_responses_are_drawn_of_both_sides(page: str) -> None:
    assert [chart.name for chart in SIDE_CHARTS] == ["completion", "throughput", "responses"]
    for chart in SIDE_CHARTS:
        assert page.count(f'<h2 id="{chart.name}">') == 1
    assert page.count("<figcaption>Base: 20240214T120000Z-kaliwates-1a2b, the first of 3</figcaption>") == 3
    assert page.count("<figcaption>Run: 20240214T130000Z-kaliwates-9f9f</figcaption>") == 3


@pytest.mark.heavy
def test_ids_of_both_sides_differ(page: str) -> None:
    ids = [part.partition('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


@pytest.mark.heavy
def test_both_sides_have_the_same_axes() -> None:
    fast = made_up_run.series()
    slow = sides()[1].chart_data
    with rc_context(NARROW.style):
        figures = [throughput.CHART.draw(data, made_up_run.summary()) for data in (fast, slow)]
        align_scales(figures)
    for first, second in zip(*(figure.axes[1:] for figure in figures), strict=True):
        assert first.get_ylim() == second.get_ylim()
        assert first.get_xlim() == second.get_xlim() == (0.0, 72.0)
    # what stands behind the panels counts inches and is not touched
    backs = [figure.axes[0] for figure in figures]
    for back, figure in zip(backs, figures, strict=True):
        assert -back.get_ylim()[0] == pytest.approx(back.get_position().height * figure.get_figheight())


@pytest.mark.heavy
def test_a_side_without_data_is_drawn_beside_one_with() -> None:
    empty = ComparedSide("run", made_up_run.summary(), made_up_run.no_series())
    drawn = draw_sides([sides()[0], empty])
    assert [len(pair.drawings) for pair in drawn] == [2, 2, 2]
    assert np.all(["<svg" in drawing for pair in drawn for _, drawing in pair.drawings])
