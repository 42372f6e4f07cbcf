"""The audit's two verdicts: never true without evidence, never false without it."""

from __future__ import annotations

import json

import pytest

from harness.analysis.page_status import load_page_statuses
from harness.analysis.rows import load_rows
from harness.base.errors import RunFolderError
from harness.base.model import Outcome
from harness.judge import audit as audit_module
from harness.judge.audit import audit_run, load_audit
from harness.judge.verdict import judge_run
from harness.run_folder.journal import journal_file_name
from harness.run_folder.layout import StoreReadRecord, WorkerRecord
from reports.audit import describe_safety
from tests.support.run_builder import RunBuilder


def audited(folder):
    rows = load_rows(folder)
    return audit_run(folder, rows, load_page_statuses(folder, rows))


def delivered(path, stations=4, **record):
    made = RunBuilder(path, stations=stations, pages_each=2, **record)
    for page in range(2 * stations):
        made.attempt(page)
    made.store_all()
    return made


@pytest.mark.heavy
def test_a_run_whose_every_page_is_held_as_planned_is_safe_and_live(tmp_path):
    found = audited(delivered(tmp_path / "run").finish(at_s=5.0))
    assert (found.safety, found.liveness, found.doubts) == (True, True, [])
    assert found.sets.model_dump() == {"planned": 8, "attempted": 8, "acknowledged": 8, "refused": 0, "held": 8, "by_size": 0, "same_bytes": 0, "earlier": 0}  # fmt: skip
    assert (found.counts.ok, found.counts.unsafe, found.missed) == (8, 0, 0)


@pytest.mark.heavy
def test_a_lost_page_is_listed_with_what_was_expected_and_that_nothing_was_found(tmp_path):
    made = delivered(tmp_path / "run")
    made.store_all(but=[3])
    found = audited(made.finish(at_s=5.0))
    assert (found.safety, found.liveness, found.missed) == (False, False, 1)
    (page,) = found.pages["lost"]
    assert (page.station, page.form, page.page) == ("3509191001002", "ppwp", 2)
    assert page.acknowledged_s == pytest.approx(0.1)
    assert page.expected is not None
    assert (page.expected.sha256, page.expected.size_bytes) == (made.pages[3].sha256, 1_600_000)
    assert page.found == []


def test_a_misfiled_page_is_listed_under_its_own_key_with_the_place_where_it_was_found(tmp_path):
    made = delivered(tmp_path / "run")
    rows = [made.stored_row(page) for page in range(1, 8)]
    made.store([*rows, made.stored_row(0, station="3509191001999")])
    found = audited(made.finish(at_s=5.0))
    (page,) = found.pages["misfiled"]
    assert page.station == "3509191001001"
    assert [copy.station for copy in page.found] == ["3509191001999"]
    assert [copy.stored_at for copy in page.found] == [made.stored_row(0)["stored_at"]]


@pytest.mark.heavy
def test_a_page_that_took_anothers_place_is_misfiled_and_the_other_one_lost(tmp_path):
    made = delivered(tmp_path / "run")
    rows = [made.stored_row(page) for page in range(1, 8) if page != 2]
    made.store([*rows, made.stored_row(0, station=made.pages[2].station)])
    found = audited(made.finish(at_s=5.0))
    assert [page.station for page in found.pages["misfiled"]] == [made.pages[0].station]
    assert [page.station for page in found.pages["lost"]] == [made.pages[2].station]
    assert (found.counts.corrupted, found.counts.unsafe) == (0, 2)


@pytest.mark.heavy
def test_what_is_no_planned_page_is_unexpected_and_not_safe(tmp_path):
    made = delivered(tmp_path / "run")
    rows = [made.stored_row(page) for page in range(8)]
    made.store([*rows, made.stored_row(0, station="3509191001999", sha256="00" * 32)])
    found = audited(made.finish(at_s=5.0))
    (page,) = found.pages["unexpected"]
    assert (page.station, page.expected, len(page.found)) == ("3509191001999", None, 1)
    assert (found.safety, found.liveness, found.counts.ok) == (False, True, 8)


@pytest.mark.heavy
@pytest.mark.parametrize("reading", ['{"100025": 1, "100027": 3, "100026": 2}', None])
def test_another_spelling_and_a_server_that_tells_no_readings_alter_nothing(tmp_path, reading):
    made = delivered(tmp_path / "run")
    made.store([made.stored_row(page, **({"reading": reading} if page == 1 else {})) for page in range(8)])
    assert audited(made.finish(at_s=5.0)).safety is True


@pytest.mark.heavy
@pytest.mark.parametrize("reading", ['{"100025":1,"100026":2}', '{"100025":true,"100026":2,"100027":3}', "", "no JSON"])
def test_another_reading_is_altered(tmp_path, reading):
    made = delivered(tmp_path / "run")
    made.store([made.stored_row(page, **({"reading": reading} if page == 1 else {})) for page in range(8)])
    found = audited(made.finish(at_s=5.0))
    assert (found.safety, found.counts.altered, found.liveness) == (False, 1, True)


@pytest.mark.heavy
@pytest.mark.parametrize("reason", ["GET /stored: HTTP status 500", ""])
def test_a_store_that_was_not_read_is_unknown_and_says_why(tmp_path, reason):
    made = delivered(tmp_path / "run")
    made.folder.stored.unlink()
    found = audited(made.finish(at_s=5.0, stock=StoreReadRecord(reason=reason)))
    assert (found.safety, found.liveness, found.missed, found.sets.held) == ("unknown", "unknown", None, None)
    assert found.doubts == ["what the server has stored is not known: " + (reason or "the server's store was not read")]
    assert (found.counts.lost, found.counts.unsafe, found.counts.unattempted) == (None, None, 0)
    assert found.pages == {}


def test_a_torn_file_of_what_is_stored_is_not_an_empty_store(tmp_path):
    made = delivered(tmp_path / "run")
    made.folder.stored.write_bytes(b"PAR1 torn")
    found = audited(made.finish(at_s=5.0))
    assert found.safety == "unknown"
    assert "stored.parquet can't be read" in found.doubts[0]


def test_a_server_that_holds_nothing_has_lost_everything(tmp_path):
    made = delivered(tmp_path / "run")
    made.store([])
    found = audited(made.finish(at_s=5.0))
    assert (found.safety, found.counts.lost) == (False, 8)


def test_nothing_acknowledged_proves_nothing(tmp_path):
    made = RunBuilder(tmp_path / "run")
    made.attempt(0, outcome=Outcome.TIMEOUT_RESPONSE)
    made.store_all()
    found = audited(made.finish("deadline", at_s=72.0))
    assert (found.safety, found.doubts) == ("unknown", ["nothing was acknowledged, so nothing is proved"])
    assert (found.counts.recovered, found.liveness) == (1, True)


def test_a_202_is_no_acknowledgement(tmp_path):
    made = RunBuilder(tmp_path / "run")
    made.attempt(0, outcome=Outcome.PENDING)
    made.store([])
    found = audited(made.finish("deadline", at_s=72.0))
    assert (found.counts.undelivered, found.counts.lost, found.safety) == (1, 0, "unknown")


@pytest.mark.heavy
def test_a_page_stored_although_every_answer_was_a_refusal_is_resurrected(tmp_path):
    made = delivered(tmp_path / "run")
    for attempt, outcome in enumerate((Outcome.REFUSED, Outcome.THROTTLED, Outcome.REJECTED), 1):
        made.attempt(0, attempt=attempt + 1, outcome=outcome)
    found = audited(made.finish(at_s=5.0))
    assert found.safety is True, "it was acknowledged before"
    made = RunBuilder(tmp_path / "other", stations=2)
    made.attempt(0)
    for attempt, outcome in enumerate((Outcome.REFUSED, Outcome.THROTTLED, Outcome.REJECTED), 1):
        made.attempt(1, attempt=attempt, outcome=outcome)
    made.store_all()
    found = audited(made.finish(at_s=5.0))
    assert (found.safety, found.counts.resurrected, found.sets.refused) == (False, 1, 1)


OPEN = [Outcome.RESET, Outcome.CLOSED, Outcome.TIMEOUT_SEND, Outcome.TIMEOUT_RESPONSE, Outcome.SERVER_ERROR, Outcome.UNAVAILABLE,
        Outcome.MALFORMED, Outcome.PENDING, Outcome.GENERATOR_ERROR]  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize("outcome", OPEN)
def test_a_refusal_after_an_attempt_without_a_clear_end_is_no_proof_of_anything(tmp_path, outcome):
    made = RunBuilder(tmp_path / "run", stations=2)
    made.attempt(0)
    made.attempt(1, outcome=outcome)
    made.attempt(1, attempt=2, outcome=Outcome.REJECTED)
    made.store_all()
    found = audited(made.finish(at_s=5.0))
    assert (found.safety, found.counts.recovered) == (True, 1)


def test_an_attempt_in_flight_at_the_end_leaves_open_whether_the_page_was_taken(tmp_path):
    made = RunBuilder(tmp_path / "run", stations=3)
    made.attempt(0)
    made.begin(1)
    made.begin(2)
    made.store_all(but=[2])
    found = audited(made.finish("interrupted", at_s=1.0))
    assert (found.safety, found.counts.recovered, found.counts.undelivered) == (True, 1, 1)


@pytest.mark.heavy
@pytest.mark.parametrize("how", [None, "crashed"])
def test_a_run_that_was_broken_off_is_never_called_safe(tmp_path, how):
    made = delivered(tmp_path / "run")
    found = audited(made.break_off() if how is None else made.finish(how, at_s=5.0))
    assert (found.safety, found.liveness) == ("unknown", True)
    assert "broken off" in found.doubts[0]


@pytest.mark.heavy
def test_what_a_broken_off_run_shows_to_be_lost_is_lost(tmp_path):
    made = delivered(tmp_path / "run")
    made.store_all(but=[0])
    assert audited(made.break_off()).safety is False


def test_a_lost_worker_leaves_acknowledgements_unknown_and_resurrects_nothing(tmp_path):
    workers = [WorkerRecord(rank=0, lost=True), WorkerRecord(rank=1)]
    made = RunBuilder(tmp_path / "run", stations=2, workers=2)
    made.attempt(0, worker=1)
    made.attempt(1, outcome=Outcome.THROTTLED)  # the attempt after it was acknowledged, and its record is gone
    made.store_all()
    found = audited(made.finish("deadline", at_s=72.0, workers=workers))
    assert (found.safety, found.counts.resurrected, found.counts.recovered) == ("unknown", 0, 1)


@pytest.mark.heavy
def test_a_journal_with_fewer_attempts_than_were_made_is_never_called_safe(tmp_path):
    made = delivered(tmp_path / "run")
    folder = made.finish(at_s=5.0, workers=[WorkerRecord(rank=0, attempts=8)])
    assert audited(folder).safety is True
    journal = folder.journal / journal_file_name(0)
    journal.write_bytes(journal.read_bytes()[:-200])
    found = audited(folder)
    assert found.safety == "unknown"
    assert found.doubts[-1].startswith("the journal contains 7 of the 8 attempts")


def test_a_page_acknowledged_or_stored_after_the_deadline_is_safe_and_not_live(tmp_path):
    made = RunBuilder(tmp_path / "run", stations=2, deadline_s=10.0, t0_epoch=1000.0)
    made.attempt(0, due_s=9.0, done_s=9.5)
    made.attempt(1, due_s=9.9, done_s=11.0)
    made.store([made.stored_row(0, stored_at=1009.4), made.stored_row(1, stored_at=1010.9)])
    found = audited(made.finish("deadline", at_s=11.0))
    assert (found.safety, found.liveness, found.missed, found.counts.ok) == (True, False, 1, 2)
    assert found.missed_by == {"late": 1}


@pytest.mark.heavy
def test_the_pages_that_missed_the_deadline_are_told_apart_and_add_up(tmp_path):
    made = RunBuilder(tmp_path / "run", stations=8, pages_each=1, deadline_s=10.0, t0_epoch=1000.0)
    for page in range(5):
        made.attempt(page, due_s=9.0, done_s=9.5 if page != 1 else 11.0)
    made.attempt(5, due_s=9.0, done_s=9.9, outcome=Outcome.RESET)
    held = [made.stored_row(0, stored_at=1009.4), made.stored_row(1, stored_at=1010.9)]
    damaged = made.stored_row(2, stored_at=1009.4, sha256="0" * 64)
    misfiled = made.stored_row(3, stored_at=1009.4, station="3509191001999")
    made.store([*held, damaged, misfiled])
    found = audited(made.finish("deadline", at_s=11.0))
    assert found.missed_by == {"late": 1, "misfiled": 1, "corrupted": 1, "lost": 1, "undelivered": 1, "unattempted": 2}
    assert found.missed == sum(found.missed_by.values()) == 7


def test_a_page_stored_in_time_and_acknowledged_too_late_is_live(tmp_path):
    made = RunBuilder(tmp_path / "run", deadline_s=10.0, t0_epoch=1000.0)
    made.attempt(0, due_s=9.0, done_s=12.0)
    made.store([made.stored_row(0, stored_at=1009.4)])
    assert audited(made.finish("deadline", at_s=12.0)).liveness is True


@pytest.mark.heavy
@pytest.mark.parametrize(("stored_at", "t0"), [(None, 1000.0), (1009.4, None)])
def test_liveness_is_unknown_where_no_clock_tells(tmp_path, stored_at, t0):
    made = RunBuilder(tmp_path / "run", deadline_s=10.0, t0_epoch=t0)
    made.attempt(0, due_s=9.0, done_s=12.0)
    made.store([made.stored_row(0, stored_at=stored_at)])
    assert audited(made.finish("deadline", at_s=12.0)).liveness == "unknown"


def test_a_page_that_was_never_attempted_is_known_to_be_missing_without_looking(tmp_path):
    made = RunBuilder(tmp_path / "run", stations=2)
    made.attempt(0)
    found = audited(made.finish("deadline", at_s=72.0, stock=StoreReadRecord(reason="gone")))
    assert (found.safety, found.liveness, found.counts.unattempted) == ("unknown", False, 1)


def test_the_warm_up_is_audited_too(tmp_path):
    made = delivered(tmp_path / "run", warm_up_s=3.0)
    made.store_all(but=[0])
    assert audited(made.finish(at_s=5.0)).counts.lost == 1


def test_a_long_list_is_cut_and_says_so_while_the_counts_stay_exact(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_module, "MAX_LISTED_PAGES", 3)
    made = delivered(tmp_path / "run")
    made.store([])
    found = audited(made.finish(at_s=5.0))
    assert (len(found.pages["lost"]), found.not_listed["lost"], found.counts.lost) == (3, 5, 8)


def test_judging_writes_the_audit_as_documented(tmp_path):
    folder = delivered(tmp_path / "run").finish(at_s=5.0)
    assert load_audit(folder) is None
    judge_run(folder, [])
    written = json.loads(folder.audit.read_text())
    assert (written["format"], written["safety"], written["liveness"]) == (1, True, True)
    assert load_audit(folder) == audited(folder)


def test_what_is_no_audit_is_a_broken_run(tmp_path):
    folder = delivered(tmp_path / "run").finish(at_s=5.0)
    folder.audit.write_text('{"safety": "yes"}')
    with pytest.raises(RunFolderError, match=r"audit\.json"):
        load_audit(folder)


def test_what_the_way_to_the_store_cannot_show_is_unknown_and_named_never_nought(tmp_path):
    made = delivered(tmp_path / "run")
    made.store([made.stored_row(page, reading=None) for page in range(8)])
    found = audited(made.finish(at_s=5.0, stock=StoreReadRecord(unseen=["unexpected"])))
    assert (found.safety, found.counts.unexpected, found.counts.altered) == (True, None, None)
    assert (found.counts.lost, found.counts.unsafe) == (0, 0)
    assert describe_safety(found) == (
        "Safe: every acknowledged page (8 pages) is stored once, as sent; unknown, because the store does not expose it: "
        "the readings, pages under unplanned keys."
    )


def test_what_a_way_to_the_store_cannot_show_and_yet_did_counts(tmp_path):
    made = delivered(tmp_path / "run")
    rows = [made.stored_row(page) for page in range(8)]
    made.store([*rows, made.stored_row(0, station="x", form="", page=0, sha256="f" * 64)])
    found = audited(made.finish(at_s=5.0, stock=StoreReadRecord(unseen=["unexpected", "misfiled"])))
    assert (found.safety, found.counts.unexpected, found.counts.misfiled, found.counts.altered) == (False, 1, None, 0)
