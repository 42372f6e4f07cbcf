import pytest
from matplotlib import rc_context

from harness.judge.compare.compare import compare_sides
from harness.judge.compare.figure import Sides
from harness.judge.compare.tolerances import Tolerances
from reports import palette
from reports.comparison import table
from reports.comparison.chart import draw_changes
from reports.comparison.render import render_comparison
from tests.support.compared_runs import compared, pages
from tests.support.drawn_charts import lines, texts


@pytest.fixture(scope="module")
def slower():
    nasty = compared(pages(2, slower=1.2), name="<script>alert(1)</script>")
    return compare_sides(Sides([compared(pages(1))], [nasty]), Tolerances())


@pytest.fixture(scope="module")
def chart(slower):
    with rc_context(palette.STYLE):
        return draw_changes(slower)


def test_the_chart_shows_each_change_with_its_interval_to_the_right_where_it_is_worse(slower, chart):
    drawn = lines(chart)
    for figure in slower.figures:
        if figure.change is None:
            continue
        ((x, _, _),) = drawn[figure.key]
        ((ends, _, _),) = drawn[f"{figure.key} interval"]
        sign = 1 if figure.better == "lower" else -1
        assert x[0] == pytest.approx(sign * figure.change.change)
        assert sorted(ends) == pytest.approx(sorted([sign * figure.change.low, sign * figure.change.high]))


def test_the_chart_says_in_words_what_its_colours_say(slower, chart):
    said = texts(chart)
    assert slower.finding in " ".join(" ".join(said).replace("\u00a0", " ").split())
    assert sum("WORSE" in text for text in said) == sum(figure.verdict == "fail" for figure in slower.figures) > 0


def test_the_table_has_a_row_a_figure_with_both_values_and_the_change(slower):
    row = next(row for row in table.rows(slower) if row[1] == "delivery_seconds.p95")
    assert row[0] == "WORSE"
    assert row[2:5] == ["692 ms", "824 ms", "+19 %"]
    assert row[5].startswith("+1")
    assert row[5].endswith(" %")
    assert row[6] == "5 %"


def test_bounds_so_wide_that_they_say_nothing_are_not_written_out(slower):
    (p95,) = [figure for figure in slower.figures if figure.key == "delivery_seconds.p95"]
    wide = p95.model_copy(update={"change": p95.change.model_copy(update={"low": -0.999, "high": 200_000.0})})
    ((_, _, _, _, _, interval, *_),) = table.rows(slower.model_copy(update={"figures": [wide]}))
    assert interval == "? to ?"


def test_the_page_escapes_what_comes_from_outside_and_says_what_was_not_calibrated(slower, tmp_path):
    page = tmp_path / "report" / "index.html"
    render_comparison(page, slower)
    text = page.read_text("utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "FAIL" in text
    assert "has not been calibrated" in text
    assert (page.parent / "changes.svg").exists()


def test_a_comparison_without_any_figure_says_so_in_the_place_of_the_chart(slower):
    nothing = slower.model_copy(update={"figures": []})
    with rc_context(palette.STYLE):
        assert "No figure could be compared." in texts(draw_changes(nothing))
