"""A comparison's chart, table and page, and the forms that CI reads: an unclear result is never a pass."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from matplotlib import rc_context

from harness.judge.compare.compare import compare_sides
from harness.judge.compare.figure import Sides, Tolerances
from reports import palette
from reports.comparison import (
    VALID,
    comparison_junit,
    comparison_markdown,
    draw_changes,
    publish_comparison,
    render_comparison,
    rows_of,
)
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


@pytest.mark.heavy
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
    row = next(row for row in rows_of(slower) if row[1] == "delivery_seconds.p95")
    assert row[0] == "WORSE"
    assert row[2:5] == ["692 ms", "824 ms", "+19 %"]
    assert row[5].startswith("+1")
    assert row[5].endswith(" %")
    assert row[6] == "5 %"


def test_bounds_so_wide_that_they_say_nothing_are_not_written_out(slower):
    (p95,) = [figure for figure in slower.figures if figure.key == "delivery_seconds.p95"]
    wide = p95.model_copy(update={"change": p95.change.model_copy(update={"low": -0.999, "high": 200_000.0})})
    ((_, _, _, _, _, interval, *_),) = rows_of(slower.model_copy(update={"figures": [wide]}))
    assert interval == "? to ?"


@pytest.mark.heavy
def test_the_page_escapes_what_comes_from_outside_and_says_what_was_not_calibrated(slower, tmp_path):
    page = tmp_path / "report" / "index.html"
    render_comparison(page, slower)
    text = page.read_text("utf-8")
    assert text.lower().count("<script") == 1  # the page's own
    assert text.index("<script>") > text.index("</main>")
    assert "&lt;script&gt;" in text
    assert "FAIL" in text
    assert "is not calibrated" in text
    assert (page.parent / "changes.svg").exists()


def test_a_comparison_without_any_figure_says_so_in_the_place_of_the_chart(slower):
    nothing = slower.model_copy(update={"figures": []})
    with rc_context(palette.STYLE):
        assert "No figure could be compared." in texts(draw_changes(nothing))


def found(slower=1.0, own=0.01, **run):
    return compare_sides(Sides([compared(pages(1))], [compared(pages(2, slower=slower, own=own), **run)]), Tolerances())


@pytest.fixture(scope="module")
def worse():
    return found(slower=1.2, name="<run>")


@pytest.fixture(scope="module")
def unsure():
    return found(slower=1.05)


def cases(comparison):
    (suite,) = ET.fromstring(comparison_junit(comparison))  # noqa: S314 - nothing from outside
    return suite, {case.get("name"): case for case in suite.findall("testcase")}


@pytest.mark.heavy
def test_a_figure_that_is_worse_is_a_failure_with_both_values_and_the_change(worse):
    suite, by_name = cases(worse)
    failure = by_name["delivery_seconds.p95 is no more than 5 % worse"].find("failure")
    assert failure.get("message") == "base 692 ms, run 824 ms, change +19 %"
    assert int(suite.get("failures")) == sum(figure.verdict == "fail" for figure in worse.figures) > 0
    assert by_name[VALID].find("*") is None


@pytest.mark.heavy
def test_what_could_not_be_told_is_skipped_with_the_reason_and_not_passed(unsure):
    assert unsure.verdict == "inconclusive"
    suite, by_name = cases(unsure)
    open_still = [figure for figure in unsure.figures if figure.verdict == "inconclusive"]
    assert int(suite.get("skipped")) >= len(open_still) > 0
    for figure in open_still:
        skipped = by_name[f"{figure.key} is no more than 5 % worse"].find("skipped")
        assert skipped.get("message").startswith("inconclusive: ")
        assert figure.reason in skipped.get("message")


@pytest.mark.heavy
def test_a_figure_that_held_is_a_testcase_and_one_that_is_only_shown_is_none():
    same = found()
    suite, by_name = cases(same)
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    assert by_name["delivery_seconds.p95 is no more than 5 % worse"].find("*") is None
    assert len(by_name) == 1 + sum(figure.tolerance is not None for figure in same.figures)


@pytest.mark.heavy
def test_an_invalid_run_is_an_error_and_a_server_that_lost_pages_a_failure():
    _, by_name = cases(found(reasons=["the generator was late"]))
    assert "the generator was late" in by_name[VALID].find("error").text
    _, by_name = cases(found(unsafe=1))
    assert "not safe" in by_name[VALID].find("failure").text


def test_the_summary_says_the_verdict_the_table_and_nothing_of_markup(worse, unsure):
    text = comparison_markdown(worse)
    assert text.startswith("## ❌ FAIL: compared with the base\n")
    assert "| WORSE | delivery\\_seconds.p95 | 692 ms | 824 ms | +19 % |" in text
    assert "<" not in text.replace("\\<", "")
    assert comparison_markdown(unsure).startswith("## ⚠️ INCONCLUSIVE")


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("slower", "own", "kind"), [(1.0, 0.01, "notice"), (1.2, 0.01, "error"), (1.05, 0.01, "warning")]
)
def test_github_hears_of_it_where_it_listens(tmp_path, slower, own, kind):
    job = tmp_path / "job.md"
    comparison = found(slower, own)
    (said,) = publish_comparison(comparison, {"GITHUB_STEP_SUMMARY": str(job), "GITHUB_ACTIONS": "true"})
    assert said.startswith(f"::{kind} title=")
    assert job.read_text() == comparison_markdown(comparison) + "\n"
    assert publish_comparison(comparison, {}) == []
