"""One word for one thing: what is not acknowledged may be on the server; what is lost was acknowledged."""

from __future__ import annotations

import pytest

from harness.analysis.summary import Summary
from harness.base.model import Outcome
from harness.judge.verdict import Judgement, evaluate_run
from reports import audit as audit_text
from reports.ci import junit_xml
from reports.key_figures import list_key_figures
from reports.markdown import summary_markdown
from reports.tables import phases_table
from reports.terminal import print_verdict
from tests.support import made_up_run
from tests.support.run_builder import RunBuilder
from tests.support.screen import screen

P95 = "p95(delivery_seconds) < 10s"


def note_of(summary: Summary, name: str) -> str:
    return next(figure.note for figure in list_key_figures(summary) if figure.name == name)


@pytest.fixture
def judged(tmp_path) -> Judgement:
    """Of 300 pages 200 are acknowledged and stored, 80 time out and are stored all the same, 15 are not, 5 are withheld."""
    run = RunBuilder(tmp_path / "run", stations=300, deadline_s=10.0)
    for page in range(295):
        outcome = Outcome.ACCEPTED if page < 200 else Outcome.TIMEOUT_RESPONSE
        run.attempt(page, outcome=outcome, due_s=0.0, done_s=1.0 if page < 200 else 5.0)
    for page in range(295, 300):
        run.withhold(page)
    run.store([run.stored_row(page, stored_at=1_707_901_201.0) for page in range(280)])
    run.scrape_idle_generator(12)
    return evaluate_run(run.finish("deadline", at_s=12.0), [P95])


def test_pages_that_the_server_has_are_not_called_undelivered(judged) -> None:
    pages, audit = judged.summary.pages, judged.audit.counts
    assert (pages.delivered, pages.undelivered, pages.unattempted) == (200, 95, 5)
    assert (audit.recovered, audit.undelivered, audit.unattempted) == (80, 15, 5)
    assert (
        note_of(judged.summary, "Pages delivered") == "95 not acknowledged (of which 80 on the server), 5 not attempted"
    )


def test_the_audit_says_the_same_in_its_own_words(judged) -> None:
    assert audit_text.describe_safety(judged.audit) == (
        "Safe: every acknowledged page (200 pages) is stored once, as sent; so are 80 more that were not acknowledged."
    )
    assert audit_text.describe_liveness(judged.audit) == (
        "Late or missing at the deadline: 20 of 300 pages (15 undelivered, 5 not attempted)."
    )


def test_a_percentile_among_pages_that_were_not_acknowledged_is_infinite(judged) -> None:
    (threshold,) = judged.verdict.thresholds
    assert threshold.reason == "p95 is infinite: 100 of 300 pages were never acknowledged"


def test_page_terminal_junit_and_markdown_use_the_same_words(judged) -> None:
    assert judged.verdict.verdict == "fail", judged.verdict.validity.reasons
    stream, out = screen(200)
    print_verdict(judged.verdict, judged.summary, out)
    texts = [
        junit_xml(judged.summary, judged.verdict, judged.audit),
        summary_markdown(judged.summary, judged.verdict, [], judged.audit),
        stream.getvalue(),
    ]
    assert not [text for text in texts if "arrived" in text or "never attempted" in text]
    for text in texts:
        assert "100 of 300 pages were never acknowledged" in " ".join(text.split())


def test_if_the_server_has_all_of_them_it_is_said_in_a_word() -> None:
    summary = made_up_run.summary(
        pages={"undelivered": 285, "censored": 0, "unattempted": 0}, audit={"recovered": 285, "undelivered": 0}
    )
    assert note_of(summary, "Pages delivered") == "285 not acknowledged (all of them on the server)"


def test_pages_in_flight_at_the_end_are_among_those_not_acknowledged() -> None:
    summary = made_up_run.summary(pages={"undelivered": 20, "censored": 4, "unattempted": 0}, audit={"recovered": 2})
    assert note_of(summary, "Pages delivered") == (
        "24 not acknowledged (of which 4 in flight at the end and 2 on the server)"
    )


def test_where_the_store_is_not_known_nothing_is_claimed_of_it() -> None:
    summary = made_up_run.summary(pages={"undelivered": 20, "unattempted": 0}, audit={"recovered": None})
    assert note_of(summary, "Pages delivered") == "20 not acknowledged"


def test_stations_never_finish_and_pages_are_never_acknowledged() -> None:
    summary = made_up_run.summary()
    assert note_of(summary, "Completion of a station") == "27 stations never finished"
    assert note_of(summary, "Delivery of a page") == "37 of 1,086 pages never acknowledged"


def test_rates_are_pages_a_second_of_those_due_over_one_window() -> None:
    figure = next(figure for figure in list_key_figures(made_up_run.summary()) if figure.name == "Delivered")
    assert (figure.value, figure.note) == ("14.6 of 15.1 pages/s due", "by the deadline; mean over 72 s")


def test_phases_have_accepted_uploads_by_themselves_and_refusals_beside_them() -> None:
    table = phases_table(made_up_run.summary())
    assert table.headers[4:] == ["Attempts", "Accepted", "p50", "p95", "Failed", "Failed, p50"]
    clear, brownout, _ = [[cell.text for cell in row[4:]] for row in table.rows]
    assert clear == ["700", "700", "400 ms", "1.2 s", "0", "n/a"]
    assert brownout == ["420", "120", "2.4 s", "n/a (needs 200)", "296", "12 ms"]
