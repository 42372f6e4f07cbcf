"""A comparison in the forms that CI reads: what could not be told is never a pass."""

from xml.etree import ElementTree as ET

import pytest

from harness.judge.compare.compare import compare_sides
from harness.judge.compare.figure import Sides
from harness.judge.compare.tolerances import Tolerances
from reports.comparison.ci import VALID, comparison_junit, comparison_markdown, publish_comparison
from tests.support.compared_runs import compared, pages


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


def test_a_figure_that_is_worse_is_a_failure_with_both_values_and_the_change(worse):
    suite, by_name = cases(worse)
    failure = by_name["delivery_seconds.p95 is no more than 5 % worse"].find("failure")
    assert failure.get("message") == "base 692 ms, run 824 ms, change +19 %"
    assert int(suite.get("failures")) == sum(figure.verdict == "fail" for figure in worse.figures) > 0
    assert by_name[VALID].find("*") is None


def test_what_could_not_be_told_is_skipped_with_the_reason_and_not_passed(unsure):
    assert unsure.verdict == "inconclusive"
    suite, by_name = cases(unsure)
    open_still = [figure for figure in unsure.figures if figure.verdict == "inconclusive"]
    assert int(suite.get("skipped")) >= len(open_still) > 0
    for figure in open_still:
        skipped = by_name[f"{figure.key} is no more than 5 % worse"].find("skipped")
        assert skipped.get("message").startswith("inconclusive: ")
        assert figure.reason in skipped.get("message")


def test_a_figure_that_held_is_a_testcase_and_one_that_is_only_shown_is_none():
    same = found()
    suite, by_name = cases(same)
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    assert by_name["delivery_seconds.p95 is no more than 5 % worse"].find("*") is None
    assert len(by_name) == 1 + sum(figure.tolerance is not None for figure in same.figures)


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
