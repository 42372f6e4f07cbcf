"""The audit as text: on the page, in Markdown, in JUnit and on the terminal."""

from __future__ import annotations

import io

import pytest

from harness.judge.results import Audit
from reports.audit import category_rows, describe_liveness, describe_safety, unsafe_rows
from reports.ci import SAFETY, junit_xml
from reports.html import render_page
from reports.markdown import summary_markdown
from reports.terminal import make_console, print_audit
from tests.support import made_up_run
from tests.support.made_up_audits import audit, unknown, unsafe


def test_each_verdict_has_its_sentence() -> None:
    assert describe_safety(audit()) == "Safe: every acknowledged page (1,086 pages) is stored once, as sent."
    assert describe_liveness(audit()) == "In time: all 1,086 pages were stored by the deadline."
    assert describe_safety(audit(recovered=2)).endswith("; so are 2 more that were not acknowledged.")
    assert describe_safety(unsafe()) == "Not safe: 1 altered, 30 lost, 1 unexpected."
    parts = {"late": 25, "lost": 1, "undelivered": 213, "unattempted": 410}
    assert describe_liveness(audit(liveness=False, missed=649, missed_by=parts)) == (
        "Late or missing at the deadline: 649 of 1,086 pages (410 not attempted, 213 undelivered, 25 late, 1 lost)."
    )
    assert describe_liveness(unsafe()) == "Late or missing at the deadline: 30 of 1,086 pages."
    assert describe_safety(unknown()) == "Safety is unknown: what the server holds is not known: gone."
    assert describe_liveness(unknown()).startswith("Liveness is unknown")
    assert (
        describe_liveness(audit(liveness=False, missed=None, unattempted=5))
        == "Missing at the deadline: 5 pages that were not attempted."
    )


def test_every_category_has_a_row_and_the_verdict_that_it_counts_against() -> None:
    rows = {name: against for name, _, against, _ in category_rows(audit())}
    assert list(rows.values()) == ["safety"] * 7 + [""] * 2 + ["liveness"] * 2


def test_unsafe_pages_are_shown_with_what_was_expected_and_found_and_a_note_on_the_rest() -> None:
    rows, more = unsafe_rows(unsafe())
    assert rows[0] == ("altered", "3509191001001 ppwp 2", "at 1.2 s", "chart.100025 105", "chart.100025 705")
    assert rows[1] == ("lost", "3509191001001 ppwp 1", "at 1.2 s", "abababababab…", "nothing")
    assert rows[-1] == ("unexpected", "<script> ppwp 2", "never", "nothing", "3509191001001 ppwp 2: cdcdcdcdcdcd…")
    assert [row[0] for row in rows].count("lost") == 5
    assert more == "25 more in audit.json."


def test_a_reading_that_is_no_json_is_shown_as_it_is() -> None:
    found = unsafe().pages["altered"][0]
    copy = found.found[0].model_copy(update={"reading": "torn{"})
    torn = unsafe().model_copy(update={"pages": {"altered": [found.model_copy(update={"found": [copy]})]}})
    ((*_, held),), _ = unsafe_rows(torn)
    assert held == '"torn{"'


@pytest.mark.heavy
def test_the_page_shows_the_audit_and_escapes_what_the_server_said() -> None:
    def html(found: Audit | None) -> str:
        return render_page(
            made_up_run.record(), made_up_run.summary(), made_up_run.series(), made_up_run.verdict("fail"), [], found
        )

    shown = html(unsafe())
    assert '<h2 id="audit">Is anything lost?</h2>' in shown
    assert "Not safe: 1 altered, 30 lost, 1 unexpected." in shown.replace("\N{NO-BREAK SPACE}", " ")
    assert "&lt;script&gt; ppwp" in shown.replace("\N{NO-BREAK SPACE}", " ")
    assert "<script> ppwp" not in shown
    assert 'id="unsafe"' not in html(audit())
    assert 'id="audit"' not in html(None)


def test_markdown_shows_the_categories_that_occurred() -> None:
    text = summary_markdown(made_up_run.summary(), made_up_run.verdict("fail"), [], unsafe())
    assert "### Is anything lost?" in text
    assert "| lost | 30 | safety | acknowledged but not stored |" in text
    assert "| misfiled |" not in text
    assert "| unexpected | \\<script\\> ppwp 2 |" in text


def safety_case(word: str, found: Audit):
    root = made_up_run.parsed(junit_xml(made_up_run.summary(), made_up_run.verdict(word), found))
    (case,) = [case for case in root.iter("testcase") if case.get("name") == SAFETY]
    return case


def test_junit_has_one_testcase_for_safety_that_fails_errs_or_is_skipped() -> None:
    assert len(safety_case("pass", audit())) == 0
    failure = safety_case("fail", unsafe()).find("failure")
    assert failure is not None
    assert failure.get("message") == "Not safe: 1 altered, 30 lost, 1 unexpected."
    assert "expected: chart.100025 105, found: chart.100025 705" in str(failure.text)
    assert [element.tag for element in safety_case("invalid", unknown())] == ["error"]
    assert [element.tag for element in safety_case("pass", unknown())] == ["skipped"], "the scenario accepts it"


def test_the_terminal_shows_the_whole_table() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "utf-8")
    print_audit(unsafe(), make_console(stream))
    stream.flush()
    text = raw.getvalue().decode()
    assert text.startswith("Not safe: 1 altered")
    for name, *_ in category_rows(audit()):
        assert name in text
    assert "25 more in audit.json." in text
