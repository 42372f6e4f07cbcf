"""The audit in words: on the page, in Markdown, in JUnit and on the terminal."""

from __future__ import annotations

import io

from harness.judge.results import Audit
from reports.junit import SAFETY, junit
from reports.markdown import markdown
from reports.nothing_lost import category_rows, liveness_sentence, safety_sentence, unsafe_rows
from reports.page import page
from reports.terminal import console, print_audit
from tests.unit.reports import evening

KEY = {"station": "3509191001001", "form": "ppwp", "page": 2}
READING = '{"chart":{"100025":%d,"100026":7}}'


def audit(**changed: object) -> Audit:
    """A safe and live run of 1,086 pages; `changed` replaces fields, counts by name."""
    names = ("misfiled", "corrupted", "altered", "duplicated", "resurrected", "lost", "unexpected")
    counts = {**dict.fromkeys(names, 0), "ok": 1086, "recovered": 0, "undelivered": 0, "unattempted": 0, "unsafe": 0}
    content = {
        "run": "r", "safety": True, "liveness": True, "doubts": [], "counts": counts, "missed": 0, "pages": {}, "not_listed": {},
        "sets": {"planned": 1086, "attempted": 1086, "acknowledged": 1086, "refused": 0, "held": 1086},
    }  # fmt: skip
    counts.update({name: changed.pop(name) for name in list(changed) if name in counts})
    return Audit.model_validate({**content, **changed})


def unsafe() -> Audit:
    copy = {**KEY, "sha256": "cd" * 32, "size_bytes": 9, "stored_at": 1.0}
    expected = {"sha256": "ab" * 32, "size_bytes": 9, "reading": READING % 105}
    seen = {**KEY, "acknowledged_s": 1.25, "expected": expected}
    pages = {
        "altered": [{**seen, "found": [{**copy, "sha256": "ab" * 32, "reading": READING % 705}]}],
        "lost": [{**seen, "page": number, "found": []} for number in range(1, 31)],
        "unexpected": [
            {
                **seen,
                "station": "<script>",
                "acknowledged_s": None,
                "expected": None,
                "found": [{**copy, "reading": ""}],
            }
        ],
    }
    return audit(
        safety=False, liveness=False, missed=30, pages=pages, altered=1, lost=30, unexpected=1, ok=1055, unsafe=32
    )


def unknown() -> Audit:
    return audit(
        safety="unknown", liveness="unknown", missed=None, unsafe=None, lost=None, ok=None,
        doubts=["what the server holds is not known: gone"],
    )  # fmt: skip


def test_each_verdict_has_its_sentence() -> None:
    assert safety_sentence(audit()) == "Safe: what was acknowledged (1,086 pages) is held once, as sent."
    assert liveness_sentence(audit()) == "Live: all 1,086 pages were held by the deadline."
    assert safety_sentence(audit(recovered=2)).endswith("; 2 more whose acknowledgement never arrived.")
    assert safety_sentence(unsafe()) == "Not safe: 1 altered, 30 lost, 1 unexpected."
    late = audit(liveness=False, missed=9, undelivered=3, unattempted=2)
    assert liveness_sentence(late) == (
        "Not live: 9 of 1,086 pages not held as planned by the deadline (3 undelivered, 2 unattempted)."
    )
    assert liveness_sentence(unsafe()) == "Not live: 30 of 1,086 pages not held as planned by the deadline."
    assert safety_sentence(unknown()) == "Safety is unknown: what the server holds is not known: gone."
    assert liveness_sentence(unknown()).startswith("Liveness is unknown")
    assert liveness_sentence(audit(liveness=False, missed=None, unattempted=5)) == "Not live: 5 unattempted."


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


def test_the_page_shows_the_audit_and_escapes_what_the_server_said() -> None:
    def html(found: Audit | None) -> str:
        return page(evening.record(), evening.summary(), evening.series(), evening.verdict("fail"), [], found)

    shown = html(unsafe())
    assert '<h2 id="audit">Nothing lost</h2>' in shown
    assert "Not safe: 1 altered, 30 lost, 1 unexpected." in shown.replace("\N{NO-BREAK SPACE}", " ")
    assert "&lt;script&gt; ppwp" in shown.replace("\N{NO-BREAK SPACE}", " ")
    assert "<script> ppwp" not in shown
    assert 'id="unsafe"' not in html(audit())
    assert 'id="audit"' not in html(None)


def test_markdown_shows_the_categories_that_occurred() -> None:
    text = markdown(evening.summary(), evening.verdict("fail"), [], unsafe())
    assert "### Nothing lost" in text
    assert "| lost | 30 | safety | acknowledged, and not held |" in text
    assert "| misfiled |" not in text
    assert "| unexpected | \\<script\\> ppwp 2 |" in text


def safety_case(word: str, found: Audit):
    root = evening.parsed(junit(evening.summary(), evening.verdict(word), found))
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
    print_audit(unsafe(), console(stream))
    stream.flush()
    text = raw.getvalue().decode()
    assert text.startswith("Not safe: 1 altered")
    for name, *_ in category_rows(audit()):
        assert name in text
    assert "25 more in audit.json." in text
