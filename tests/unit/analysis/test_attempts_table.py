from __future__ import annotations

import shutil

import duckdb
import pytest

from harness.analysis import attempts_table, rows
from harness.analysis.attempts_table import is_up_to_date, read_given_up, write_attempts
from harness.analysis.rows import load_rows
from harness.analysis.summarise import compute_summary
from harness.base.errors import RunFolderError
from harness.base.model import MalformedReason, Outcome
from harness.run_folder.journal import RECORD, GiveUpReason, journal_file_name
from tests.support.run_builder import RunBuilder, brownout

COLUMNS = [
    "station",
    "form",
    "page",
    "attempt",
    "phase",
    "due_s",
    "sent_s",
    "connected_s",
    "body_sent_s",
    "first_byte_s",
    "done_s",
    "outcome",
    "status",
    "reason",
    "step",
    "sent_bytes",
    "resent_bytes",
    "retry_after_s",
    "login_s",
    "queue_s",
    "server_s",
    "worker",
]


def rows_of(folder, columns="*"):
    return duckdb.read_parquet(str(folder.attempts)).project(columns).fetchall()


@pytest.mark.heavy
def test_an_attempt_is_one_row_with_every_documented_column(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=1, pages_each=2)
    run.attempt(
        1, attempt=3, outcome=Outcome.UNAVAILABLE, due_s=1.0, sent_s=1.5, connected_s=1.625, body_sent_s=1.75,
        first_byte_s=1.875, done_s=2.0, status=503, sent_bytes=700, resent_bytes=600, retry_after_s=4.0, login_s=0.25,
        queue_s=0.125, server_s=0.5,
    )  # fmt: skip
    folder = run.finish(at_s=3.0)
    assert write_attempts(folder) == 1
    assert duckdb.read_parquet(str(folder.attempts)).columns == COLUMNS
    assert rows_of(folder) == [
        ("3509191001001", "ppwp", 2, 3, "clear", 1.0, 1.5, 1.625, 1.75, 1.875, 2.0, "unavailable", 503, None, None, 700, 600,
         4.0, 0.25, 0.125, 0.5, 0),
    ]  # fmt: skip


def test_what_was_not_reached_is_null(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.attempt(0, outcome=Outcome.TIMEOUT_CONNECT, due_s=1.0, sent_s=1.0, done_s=11.0)
    folder = run.finish(at_s=12.0)
    write_attempts(folder)
    found = rows_of(folder, "connected_s, body_sent_s, first_byte_s, status, retry_after_s, login_s, queue_s, server_s")
    assert found == [(None,) * 8]


def test_an_attempt_that_never_ended_is_censored(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.begin(0, attempt=1, due_s=1.0, sent_s=1.25)
    folder = run.break_off()
    write_attempts(folder)
    assert rows_of(folder, "outcome, due_s, sent_s, done_s, sent_bytes") == [("censored", 1.0, 1.25, None, 0)]


def test_the_last_end_of_an_attempt_counts(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.attempt(0, outcome=Outcome.RESET, due_s=1.0)
    run.attempt(0, outcome=Outcome.ACCEPTED, due_s=1.0)
    run.begin(0, attempt=1, due_s=1.0, sent_s=1.0)
    folder = run.finish(at_s=3.0)
    assert write_attempts(folder) == 1
    assert rows_of(folder, "outcome") == [("accepted",)]


def test_rows_stand_by_due_time_then_page_then_attempt_whatever_worker_wrote_them(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=3, workers=2)
    run.attempt(2, due_s=1.0, worker=0)
    run.attempt(0, due_s=2.0, worker=0)
    run.attempt(1, attempt=2, due_s=1.0, worker=1)
    run.attempt(1, attempt=1, due_s=1.0, worker=1)
    folder = run.finish(at_s=3.0)
    write_attempts(folder)
    found = rows_of(folder, "due_s, station[-1:], attempt, worker")
    assert found == [(1.0, "2", 1, 1), (1.0, "2", 2, 1), (1.0, "3", 1, 0), (2.0, "1", 1, 0)]


def test_an_attempt_belongs_to_the_phase_in_which_it_fell_due(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=5, **brownout(20.0, 30.0, 40.0))
    for page, due_s in enumerate((-0.5, 19.999, 20.0, 30.0, 41.0)):
        run.attempt(page, due_s=due_s, done_s=50.0)
    folder = run.finish(at_s=50.0)
    write_attempts(folder)
    assert rows_of(folder, "phase") == [("clear",), ("clear",), ("brownout",), ("clear",), ("clear",)]


def test_a_torn_tail_costs_the_last_record_only(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=2)
    run.attempt(0, due_s=1.0)
    run.attempt(1, due_s=2.0)
    folder = run.break_off()
    path = folder.journal / journal_file_name(0)
    path.write_bytes(path.read_bytes()[:-3])
    write_attempts(folder)
    assert rows_of(folder, "outcome") == [("accepted",), ("censored",)]


def test_a_page_that_is_not_in_the_plan_is_a_broken_run(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=2)
    run.begin(2)
    folder = run.break_off()
    with pytest.raises(RunFolderError, match="names page 2, but the plan has 2 pages"):
        write_attempts(folder)


def test_an_outcome_that_this_program_does_not_know_is_a_broken_run(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.attempt(0)
    folder = run.break_off()
    path = folder.journal / journal_file_name(0)
    content = bytearray(path.read_bytes())
    content[RECORD.itemsize + 1] = 200
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match="outcome number 200"):
        write_attempts(folder)


def test_a_journal_that_is_not_a_worker_s_is_a_broken_run(tmp_path):
    folder = RunBuilder(tmp_path / "run").break_off()
    (folder.journal / "worker-x.journal").write_bytes(b"")
    with pytest.raises(RunFolderError, match="no worker rank"):
        write_attempts(folder)


def test_a_run_without_a_plan_is_a_broken_run(tmp_path):
    folder = RunBuilder(tmp_path / "run").break_off()
    folder.plan.unlink()
    with pytest.raises(RunFolderError, match=r"plan.parquet is missing"):
        write_attempts(folder)


def test_a_run_that_has_attempted_nothing_gives_an_empty_table(tmp_path):
    folder = RunBuilder(tmp_path / "run").break_off()
    assert write_attempts(folder) == 0
    assert rows_of(folder) == []


def test_the_table_is_behind_as_soon_as_the_journal_grows(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=2)
    run.attempt(0)
    folder = run.break_off()
    assert not is_up_to_date(folder, run.record)
    write_attempts(folder)
    assert is_up_to_date(folder, run.record)
    with (folder.journal / journal_file_name(0)).open("ab") as journal:
        journal.write(bytes(RECORD.itemsize))
    assert not is_up_to_date(folder, run.record)


def test_the_table_is_behind_when_the_phases_have_changed(tmp_path):
    run = RunBuilder(tmp_path / "run")
    folder = run.break_off()
    write_attempts(folder)
    later = run.record.model_copy(update=brownout(1.0, 2.0, 3.0))
    assert not is_up_to_date(folder, later.model_validate(later.model_dump()))


def test_a_table_whose_journal_is_gone_is_taken_as_it_is(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.attempt(0)
    folder = run.break_off()
    write_attempts(folder)
    (folder.journal / journal_file_name(0)).unlink()
    assert is_up_to_date(folder, run.record)
    folder.attempts.unlink()
    assert not is_up_to_date(folder, run.record)


@pytest.mark.heavy
def test_a_run_read_in_slices_is_the_same_as_in_one_piece(tmp_path, monkeypatch):
    """Slices so small that attempts and their records, of three workers, lie far apart."""
    run = RunBuilder(tmp_path / "run", stations=5, pages_each=3, workers=3, **brownout(2.0, 5.0, 20.0))
    for number in range(40):
        page, due_s = number * 7 % 15, (number * 11 % 40) / 4
        run.begin(page, attempt=1 + number // 15, due_s=due_s, sent_s=due_s, worker=number % 3)
        if number % 5:
            outcome = Outcome.ACCEPTED if number % 3 else Outcome.RESET
            run.attempt(page, attempt=1 + number // 15, outcome=outcome, due_s=due_s, worker=number % 3)
        run.gave_up(page, attempts=1, at_s=due_s, reason=GiveUpReason.ATTEMPTS_USED_UP, worker=number % 3)
    folder = run.break_off()
    assert write_attempts(folder) == 40
    whole, figures = rows_of(folder), compute_summary(folder, rows.load_rows(folder))
    folder.attempts.unlink()
    monkeypatch.setattr(attempts_table, "RECORDS_PER_READ", 4)
    monkeypatch.setattr(attempts_table, "ROWS_PER_PART", 7)
    monkeypatch.setattr(attempts_table, "PARALLEL_FROM_ROWS", 8)
    monkeypatch.setattr(rows, "_ROWS_PER_PART", 6)
    assert write_attempts(folder) == 40
    assert rows_of(folder) == whole
    assert is_up_to_date(folder, run.record)
    assert compute_summary(folder, rows.load_rows(folder)) == figures
    assert not [path for path in folder.path.iterdir() if path.name.startswith("attempts.") and path.is_dir()]


def test_a_page_is_given_up_once(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=3)
    run.gave_up(2, attempts=3, at_s=9.0, reason=GiveUpReason.ATTEMPTS_USED_UP)
    run.gave_up(0, attempts=0, at_s=5.0, reason=GiveUpReason.WITHHELD)
    run.gave_up(0, attempts=0, at_s=72.0, reason=GiveUpReason.DEADLINE)
    folder = run.break_off()
    found = read_given_up(folder.journal)
    assert found.page.tolist() == [0, 2]
    assert found.at_s.tolist() == [5.0, 9.0]
    assert found.reason.tolist() == [GiveUpReason.WITHHELD, GiveUpReason.ATTEMPTS_USED_UP]


def test_without_a_journal_nothing_was_given_up(tmp_path):
    assert read_given_up(tmp_path).page.tolist() == []


def test_failures_are_counted_by_status_and_reason_also_in_a_run_of_a_version_without_reasons(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=2, pages_each=2)
    for page, reason in enumerate([MalformedReason.NOT_HTTP, MalformedReason.NOT_HTTP, MalformedReason.TOKEN]):
        run.attempt(page, outcome=Outcome.MALFORMED, reason=reason)
    run.attempt(3, outcome=Outcome.UNAVAILABLE)
    run.attempt(3, attempt=2, outcome=Outcome.ACCEPTED, due_s=1.0)
    folder = run.finish(at_s=3.0)
    counted = [
        (failure.outcome, failure.status, failure.reason, failure.attempts) for failure in load_rows(folder).failures
    ]
    assert counted == [
        ("malformed", None, "not HTTP", 2),
        ("malformed", None, "no usable token in the login response", 1),
        ("unavailable", 503, "", 1),
    ]
    older = str(tmp_path / "older.parquet")
    duckdb.read_parquet(str(folder.attempts)).project("* EXCLUDE (reason)").write_parquet(older)
    for journal in folder.journal.glob("*"):
        journal.unlink()
    shutil.copy(older, folder.attempts)
    assert [failure.attempts for failure in load_rows(folder).failures] == [3, 1]
