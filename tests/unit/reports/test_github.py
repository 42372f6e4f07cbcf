"""What GitHub Actions hears: the job's summary and the annotations."""

from __future__ import annotations

import pytest

from harness.judge.results import ThresholdResult, Window
from reports.ci import MAX_SUMMARY_BYTES, junit_xml, publish_run, run_annotations
from reports.markdown import metrics_text, summary_markdown
from tests.support import made_up_audits, made_up_run


def breach(**more):
    fields = {
        "assertion": "p95(x) < 1s over 10s",
        "observed": 2.0,
        "limit": 1.0,
        "unit": "s",
        "passed": False,
        "reason": "1 s above",
    }
    return ThresholdResult(**{**fields, "window": Window(from_s=20.0, to_s=30.0), **more})


def test_every_breach_is_an_error_with_observed_limit_and_window():
    verdict = made_up_run.verdict("fail").model_copy(
        update={"thresholds": [breach(), breach(assertion="fine", passed=True)]}
    )
    (line,) = run_annotations("kaliwates", verdict, made_up_audits.audit())
    assert line == (
        "::error title=FAIL%3A kaliwates::p95(x) < 1s over 10s%0Aobserved 2 s, limit 1 s, window 20 s to 30 s%0A1 s above"
    )


def test_an_invalid_run_is_one_warning_with_its_reasons_and_nothing_of_its_thresholds():
    (line,) = run_annotations(
        "kaliwates", made_up_run.verdict("invalid", ("a worker was lost", "100% busy")), made_up_audits.audit()
    )
    assert line.startswith("::warning title=INVALID%3A kaliwates::")
    assert line.endswith("%0Aa worker was lost%0A100%25 busy")


def test_a_pass_is_a_notice():
    (line,) = run_annotations("kaliwates", made_up_run.verdict("pass"), made_up_audits.audit())
    assert line.startswith("::notice title=PASS%3A kaliwates::")


def test_a_server_that_is_not_safe_is_an_error_whatever_the_thresholds_say():
    verdict = made_up_run.verdict("pass").model_copy(update={"verdict": "fail", "safety": False})
    (line,) = run_annotations("kaliwates", verdict, made_up_audits.unsafe())
    assert line.startswith("::error title=FAIL%3A kaliwates::Not safe: ")


def test_the_summary_is_added_to_the_jobs_where_there_is_one(tmp_path):
    job = tmp_path / "summary"
    job.write_text("before\n")
    said = "## PASS\n", "x", made_up_run.verdict("pass"), made_up_audits.audit()
    assert publish_run(*said, {"GITHUB_STEP_SUMMARY": str(job)}) == []
    assert job.read_text() == "before\n## PASS\n\n"
    assert len(publish_run(*said, {"GITHUB_ACTIONS": "true"})) == 1
    assert publish_run(*said, {}) == []


def test_a_summary_that_github_would_drop_is_cut(tmp_path):
    said = "é\n" * MAX_SUMMARY_BYTES, "x", made_up_run.verdict("pass"), made_up_audits.audit()
    job = tmp_path / "summary"
    job.write_text("what an earlier command wrote\n" * 10_000)
    for _ in range(2):  # the second one finds no room
        publish_run(*said, {"GITHUB_STEP_SUMMARY": str(job)})
        text = job.read_text("utf-8")
        assert MAX_SUMMARY_BYTES - 4 <= len(text.encode()) <= MAX_SUMMARY_BYTES
        assert text.endswith(
            "é\n\n\n(cut: GitHub shows at most 1 MiB per step; the whole text is in the run folder's summary.md)\n"
        )


def test_junit_and_markdown_say_in_which_window_it_was():
    verdict = made_up_run.verdict("fail").model_copy(update={"thresholds": [breach()]})
    failure = made_up_run.parsed(junit_xml(made_up_run.summary(), verdict)).find("testsuite/testcase/failure")
    assert failure is not None
    assert str(failure.text).splitlines() == [
        "p95(x) < 1s over 10s", "observed 2 s", "limit 1 s", "window 20 s to 30 s", "1 s above",
    ]  # fmt: skip
    assert "| 2 s | 1 s | 20 s to 30 s | 1 s above |" in summary_markdown(made_up_run.summary(), verdict, [])


@pytest.mark.parametrize("word", ["pass", "fail", "invalid"])
def test_metrics_say_the_verdict_in_its_own_word(word):
    verdict = made_up_run.verdict(word, ("late",) if word == "invalid" else ())
    lines = metrics_text(made_up_run.summary(), verdict).splitlines()
    assert [line for line in lines if line.startswith("verdict{") and line.endswith(" 1")] == [
        f'verdict{{verdict="{word}"}} 1'
    ]
    assert any(line.startswith("threshold_passed") for line in lines) == (word != "invalid")
    assert any(line.startswith("threshold_observed") for line in lines)


def test_metrics_of_a_run_that_was_not_judged_say_so():
    assert 'verdict{verdict="not judged"} 1' in metrics_text(made_up_run.summary(), None).splitlines()


@pytest.mark.parametrize("character", ["\x00", "\x85", "\ud83d", "\ufffe", "\x1b"])
def test_junit_has_no_character_that_xml_forbids(character):
    verdict = made_up_run.verdict("fail").model_copy(update={"thresholds": [breach(reason=f"a{character}b")]})
    text = junit_xml(made_up_run.summary(), verdict).encode("utf-8")
    assert "a\ufffdb" in str(made_up_run.parsed(text.decode()).findtext("testsuite/testcase/failure"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a|b", r"a\|b"), ("$x$", r"\$x\$"), ("a\u2028b\u2029c", "a b c"), ("\x07\u202e", "\ufffd\ufffd")],
)
def test_a_cell_of_the_summary_is_one_cell_of_one_line(text, shown):
    verdict = made_up_run.verdict("fail").model_copy(update={"thresholds": [breach(assertion=text)]})
    (row,) = [
        line for line in summary_markdown(made_up_run.summary(), verdict, []).splitlines() if "**breached**" in line
    ]
    assert f" {shown} |" in row
