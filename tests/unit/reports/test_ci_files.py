"""junit.xml, summary.md and metrics.txt."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from harness.judge.results import Verdict
from reports.ci import VALIDITY, junit_xml
from reports.markdown import metrics_text, summary_markdown
from tests.support import made_up_run


def suite(verdict: Verdict | None) -> ET.Element:
    found = made_up_run.parsed(junit_xml(made_up_run.summary(), verdict)).find("testsuite")
    assert found is not None
    return found


def counts(element: ET.Element) -> tuple[str | None, ...]:
    return tuple(element.get(name) for name in ("tests", "failures", "errors", "skipped"))


def test_junit_has_a_testcase_for_each_threshold_and_one_for_validity() -> None:
    element = suite(made_up_run.verdict("fail"))
    names = [case.get("name") for case in element.findall("testcase")]
    assert names[0] == VALIDITY
    assert names[1:] == [threshold.assertion for threshold in made_up_run.verdict("fail").thresholds]
    assert counts(element) == ("4", "2", "0", "0")


def test_a_breached_threshold_is_a_failure_with_what_was_observed_and_its_limit() -> None:
    failure = suite(made_up_run.verdict("fail")).find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "observed 93 %, limit 95 %"
    assert "2.5 points below the limit" in str(failure.text)


def test_a_passed_run_has_neither_failures_nor_errors() -> None:
    assert counts(suite(made_up_run.verdict("pass"))) == ("2", "0", "0", "0")


def test_an_invalid_run_is_an_error_and_its_thresholds_neither_pass_nor_fail() -> None:
    element = suite(made_up_run.verdict("invalid", ("a worker was lost", "no data")))
    assert counts(element) == ("4", "0", "1", "3")
    error = element.find("testcase/error")
    assert error is not None
    assert error.get("message") == "INVALID: a worker was lost"
    assert error.text == "a worker was lost\nno data"


def test_a_breach_that_stands_in_an_invalid_run_is_both() -> None:
    verdict = made_up_run.verdict("fail").model_copy(
        update={"validity": made_up_run.verdict("invalid", ("a worker was lost",)).validity}
    )
    assert counts(suite(verdict)) == ("4", "2", "1", "0")


def test_a_run_without_verdict_is_an_error() -> None:
    assert counts(suite(None)) == ("1", "0", "1", "0")


def test_junit_stays_xml_whatever_the_names_hold() -> None:
    verdict = made_up_run.verdict("invalid", ("<script> & \x00 \x1b[31m ]]>",))
    root = made_up_run.parsed(junit_xml(made_up_run.summary(name="<b>&\x00"), verdict))
    assert root.find("testsuite") is not None
    assert next(iter(root)).get("name") == "harness.<b>&\ufffd"


def test_junit_counts_are_repeated_on_the_root() -> None:
    root = made_up_run.parsed(junit_xml(made_up_run.summary(), made_up_run.verdict("fail")))
    assert counts(root) == counts(root[0])


def test_markdown_says_the_verdict_first_and_holds_a_row_for_each_threshold() -> None:
    text = summary_markdown(made_up_run.summary(), made_up_run.verdict("fail"), ["Goodput fell"])
    assert text.startswith("## ❌ FAIL: kaliwates\n\n2 of 3 thresholds were breached.\n")
    assert "| held | p95(delivery\\_seconds) \\< 10 | 1.8 s | 10 s | the whole run | 82 % to spare |" in text
    assert "| **breached** | stations.completed\\_by\\_deadline\\_ratio \\>= 95% | 93 % | 95 % |" in text
    assert "- Goodput fell" in text


def test_markdown_shows_an_invalid_run_as_neither() -> None:
    text = summary_markdown(made_up_run.summary(), made_up_run.verdict("invalid", ("a worker was lost",)), [])
    assert text.startswith("## ⚠️ INVALID: kaliwates\n")
    assert "- a worker was lost" in text
    assert "held" not in text
    assert "breached" not in text
    assert "PASS" not in text


def test_a_pipe_in_a_name_does_not_break_a_markdown_table() -> None:
    verdict = made_up_run.verdict("pass")
    odd = verdict.thresholds[0].model_copy(update={"assertion": 'p95(x{a="|"}) < 1'})
    text = summary_markdown(made_up_run.summary(), verdict.model_copy(update={"thresholds": [odd]}), [])
    row = next(line for line in text.splitlines() if "p95(x" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 7


def test_metrics_flatten_dotted_keys_and_keep_labels() -> None:
    lines = metrics_text(made_up_run.summary(), made_up_run.verdict("fail")).splitlines()
    assert "pages_delivered 1049" in lines
    assert "stations_completed_by_deadline_ratio 0.9254" in lines
    assert 'attempts_by_outcome{outcome="unavailable"} 230' in lines
    assert 'response_seconds_by_outcome_p50{outcome="accepted"} 0.4' in lines
    assert 'recovery_recovered_after_s{recovery="brownout"} 6.0' in lines
    assert 'kelurahan_completed_by_deadline{kelurahan="3509191007"} 88' in lines
    assert 'recovery_metastable{recovery="brownout"} 0' in lines
    assert lines[-1] == "# EOF"


def test_metrics_leave_out_what_does_not_exist() -> None:
    assert not [
        line for line in metrics_text(made_up_run.summary(), made_up_run.verdict("fail")).splitlines() if "None" in line
    ]
    assert "response_seconds_p99_9" not in metrics_text(made_up_run.summary(), made_up_run.verdict("fail"))


def test_every_metric_is_a_name_its_labels_and_a_number_and_stands_once() -> None:
    lines = metrics_text(made_up_run.summary(), made_up_run.verdict("fail")).splitlines()[:-1]
    pattern = re.compile(r'^[a-zA-Z_][a-zA-Z0-9_]*(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[\d.e+-]+$')
    assert [line for line in lines if not pattern.match(line)] == []
    keys = [line.rsplit(" ", 1)[0] for line in lines]
    assert len(keys) == len(set(keys))
