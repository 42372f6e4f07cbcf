from __future__ import annotations

import json
import shutil

import duckdb
import numpy as np
import pytest

from harness.analysis.attempts_table import write_attempts
from harness.analysis.rows import load_rows
from harness.analysis.summarise import load_summary, summarise
from harness.base.errors import RunFolderError
from harness.base.model import Outcome
from harness.run_folder.journal import journal_file_name
from tests.support.run_builder import RunBuilder, brownout
from tests.support.synthetic_run import kaliwates_run


@pytest.fixture(scope="module")
def evening(tmp_path_factory):
    return kaliwates_run(tmp_path_factory.mktemp("evening") / "run")


@pytest.fixture
def copied(evening, tmp_path):
    shutil.copytree(evening.path, tmp_path / "run")
    return type(evening)(tmp_path / "run")


@pytest.mark.heavy
def test_a_whole_evening_is_summarised(evening):
    found = summarise(evening)
    assert (found.name, found.seed, found.ended) == ("kaliwates", 1, "completed")
    assert (found.stations.planned, found.stations.completed_by_deadline_ratio) == (362, 1.0)
    assert (found.pages.planned, found.pages.delivered, found.audit.lost) == (1_086, 1_086, 0)
    assert found.attempts.total == sum(found.attempts.by_outcome.values()) == 1_106
    assert found.delivery_seconds.count == 1_086
    assert found.completion_seconds.count == 362
    assert [phase.name for phase in found.phases] == ["clear", "brownout", "clear"]
    assert sum(phase.attempts for phase in found.phases) == found.attempts.total
    assert [one.fault for one in found.recovery] == ["brownout"]
    assert sum(one.stations for one in found.kelurahan) == 362


def test_rows_and_scrapes_agree(evening):
    found = summarise(evening)
    assert found.generator.scraped["attempts"] == found.attempts.total
    assert found.generator.scraped["delivered"] == found.pages.delivered
    assert found.generator.scraped["due"] == found.pages.planned
    assert found.generator.scraped["stations_completed"] == found.stations.completed
    assert found.server.stored == found.pages.delivered
    assert found.server.shed == found.attempts.by_outcome["unavailable"]


@pytest.mark.heavy
def test_the_server_that_is_too_small_for_the_load_never_recovers(tmp_path):
    found = summarise(kaliwates_run(tmp_path / "run", workers=1))
    (recovery,) = found.recovery
    assert (recovery.recovered_after_s, recovery.metastable) == (None, True)
    assert found.ended == "deadline"
    pages = found.pages
    assert pages.planned == pages.delivered + pages.undelivered + pages.censored + pages.unattempted
    assert found.delivery_seconds.never == pages.planned - pages.delivered
    assert found.delivery_seconds.p95 is None


@pytest.mark.heavy
def test_every_figure_agrees_with_sql_over_the_rows(evening):
    found = summarise(evening)
    rows = duckdb.connect()
    rows.execute(f"CREATE VIEW attempts AS FROM '{evening.attempts}'")
    query = (
        "SELECT count(*), quantile_disc(done_s - due_s, [0.5, 0.95]), quantile_disc(sent_s - due_s, 0.99) FROM attempts"
    )
    count, (p50, p95), lateness = rows.sql(query).fetchall()[0]
    assert (count, p50, p95, lateness) == (
        found.attempts.total,
        found.response_seconds.p50,
        found.response_seconds.p95,
        found.lateness_seconds.p99,
    )


def test_what_is_written_is_what_is_given(copied):
    written = summarise(copied)
    assert load_summary(copied) == written
    assert json.loads(copied.summary.read_text())["delivery_seconds"]["p95"] == written.delivery_seconds.p95


@pytest.mark.heavy
def test_a_second_summary_of_the_same_folder_is_the_same(copied):
    assert summarise(copied).model_dump_json() == summarise(copied).model_dump_json()


@pytest.mark.heavy
def test_two_workers_give_the_figures_of_one(tmp_path):
    def run_of(workers):
        run = RunBuilder(tmp_path / str(workers), stations=60, pages_each=2, workers=workers)
        rng = np.random.default_rng(7)
        for page in range(120):
            run.attempt(page, due_s=page / 10, done_s=page / 10 + rng.exponential(), worker=(page // 2) % workers)
        return summarise(run.finish(at_s=20.0))

    one, two = run_of(1), run_of(2)
    assert one.response_seconds == two.response_seconds
    assert one.pages == two.pages
    assert one.completion_seconds == two.completion_seconds
    assert (one.generator.workers, two.generator.workers) == (1, 2)


def test_a_run_killed_at_once_still_has_a_summary(tmp_path):
    found = summarise(RunBuilder(tmp_path / "run", stations=2).break_off())
    assert (found.ended, found.duration_s) == ("broken_off", 0.0)
    assert (found.attempts.total, found.pages.unattempted, found.stations.due) == (0, 2, 0)
    assert (found.delivery_seconds.count, found.delivery_seconds.p50) == (0, None)
    assert (found.server.scrapes, found.generator.scrapes) == (0, 0)
    assert found.audit.unsafe is None


def test_a_run_killed_in_the_middle_keeps_what_was_flushed(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=3, **brownout(20.0, 30.0, 72.0))
    run.attempt(0, due_s=0.0, done_s=1.0)
    run.begin(1, due_s=2.0, sent_s=2.0)
    run.scrape("server", 1.0, {("mock_server_queue_depth", ()): 4.0})
    folder = run.break_off()
    journal = folder.journal / journal_file_name(0)
    journal.write_bytes(journal.read_bytes() + b"\x01torn")
    scrapes = folder.scrapes / "server.gz"
    scrapes.write_bytes(scrapes.read_bytes() + b"\x1f\x8btorn")
    found = summarise(folder)
    assert (found.pages.delivered, found.pages.censored, found.pages.unattempted) == (1, 1, 1)
    assert found.duration_s == 2.0
    assert found.server.queue_depth_max == 4.0
    assert found.recovery == []
    assert [phase.attempts for phase in found.phases] == [2, 0, 0]
    assert [phase.offered_per_s for phase in found.phases] == [1.5, None, None]


def test_phases_have_their_own_figures(tmp_path):
    run = RunBuilder(tmp_path / "run", due_s=[10.0, 25.0, 29.0, 35.0], **brownout(20.0, 30.0, 40.0))
    run.attempt(0, due_s=10.0, done_s=11.0)
    run.attempt(1, attempt=1, outcome=Outcome.UNAVAILABLE, due_s=25.0, done_s=25.5)
    run.attempt(1, attempt=2, due_s=28.0, done_s=32.0)
    run.attempt(2, due_s=29.0, done_s=29.5)
    run.attempt(3, due_s=35.0, done_s=36.0)
    before, during, after = summarise(run.finish(at_s=40.0)).phases
    assert (before.attempts, during.attempts, after.attempts) == (1, 3, 1)
    assert during.by_outcome == {"accepted": 2, "unavailable": 1}
    assert during.response_seconds.max == 4.0
    assert (before.offered_per_s, during.offered_per_s, after.offered_per_s) == (0.05, 0.2, 0.1)
    assert (before.goodput_per_s, during.goodput_per_s, after.goodput_per_s) == (0.05, 0.1, 0.2)


def test_the_last_phase_s_rates_end_with_the_deadline(tmp_path):
    """Attempts that are on their way at the deadline may take the client's timeout, but no page falls due any more."""
    run = RunBuilder(tmp_path / "run", due_s=[31.0, 35.0], deadline_s=40.0, **brownout(20.0, 30.0, 45.0))
    run.attempt(0, due_s=31.0, done_s=32.0)
    run.attempt(1, due_s=35.0, done_s=45.0)
    last = summarise(run.finish("deadline", at_s=45.0)).phases[-1]
    assert (last.end_s, last.offered_per_s, last.goodput_per_s) == (45.0, 0.2, 0.1)


def test_while_stations_arrive_planned_and_delivered_stand_apart_whatever_the_drain_brings(tmp_path):
    """Eight pages come in four seconds, two are delivered meanwhile, the rest a minute later: all are, in the end."""
    run = RunBuilder(tmp_path / "run", due_s=[float(half) / 2 for half in range(1, 9)], deadline_s=90.0)
    for page in range(8):
        run.attempt(page, due_s=(page + 1) / 2, done_s=1.5 + page if page < 2 else 60.0 + page)
    found = summarise(run.finish(at_s=70.0))
    assert found.arrivals is not None
    assert found.arrivals.model_dump() == {"over_s": 4.0, "planned_per_s": 2.0, "goodput_per_s": 0.5, "backlog": 6}
    assert found.rates.offered_per_s == found.rates.goodput_per_s  # over the drain too these tell nothing of it


def test_stations_that_come_all_at_once_or_in_a_closed_loop_have_no_rate_of_arrival(tmp_path):
    run = RunBuilder(tmp_path / "run", due_s=[0.0, 0.0], deadline_s=9.0)
    run.attempt(0, due_s=0.0, done_s=1.0)
    assert summarise(run.finish(at_s=2.0)).arrivals is None


def test_a_phase_has_accepted_and_failed_uploads_apart(tmp_path):
    """In an outage refusals are quick: over all responses it would be the best phase."""
    run = RunBuilder(tmp_path / "run", stations=4, **brownout(20.0, 30.0, 40.0))
    run.attempt(0, due_s=1.0, done_s=3.0)
    run.attempt(1, outcome=Outcome.UNAVAILABLE, due_s=21.0, done_s=21.002)
    run.attempt(1, attempt=2, due_s=22.0, done_s=27.0)
    run.attempt(2, outcome=Outcome.REFUSED, due_s=23.0, done_s=23.001)
    run.attempt(3, outcome=Outcome.TIMEOUT_RESPONSE, due_s=24.0, done_s=34.0)
    before, during, after = summarise(run.finish("deadline", at_s=40.0)).phases
    assert (before.accepted_seconds.max, before.failed_seconds.count) == (2.0, 0)
    assert (during.accepted_seconds.count, during.accepted_seconds.max) == (1, 5.0)
    assert (during.failed_seconds.count, during.failed_seconds.max) == (3, 10.0)
    assert (after.accepted_seconds.count, after.accepted_seconds.max) == (0, None)


def test_a_run_without_phases_is_one_clear_phase(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.attempt(0)
    (phase,) = summarise(run.finish(at_s=4.0)).phases
    assert (phase.name, phase.start_s, phase.end_s, phase.attempts) == ("clear", 0.0, 4.0, 1)


@pytest.mark.parametrize("name", ["run.json", "plan.parquet"])
def test_without_run_json_or_plan_there_is_no_summary(tmp_path, name):
    folder = RunBuilder(tmp_path / "run").finish(at_s=1.0)
    (folder.path / name).unlink()
    with pytest.raises(RunFolderError, match=name.split(".")[0]):
        summarise(folder)


def test_a_torn_attempts_table_is_made_again(copied):
    write_attempts(copied)
    copied.attempts.write_bytes(copied.attempts.read_bytes()[:200])
    assert summarise(copied).attempts.total == 1_106


@pytest.mark.heavy
def test_rows_without_a_journal_are_taken_from_the_table(copied):
    before = summarise(copied)
    for journal in copied.journal.iterdir():
        journal.unlink()
    after = summarise(copied)
    assert after.attempts == before.attempts
    assert after.delivery_seconds == before.delivery_seconds


@pytest.mark.heavy
def test_a_table_of_another_run_is_a_broken_run(tmp_path, copied):
    summarise(copied)
    other = RunBuilder(tmp_path / "other").finish(at_s=1.0)
    shutil.copy(copied.attempts, other.attempts)
    (other.journal / journal_file_name(0)).unlink()
    with pytest.raises(RunFolderError, match="belong to different runs"):
        load_rows(other)


@pytest.mark.parametrize("content", [None, "{", '{"format": 1}'])
def test_a_summary_that_is_missing_or_torn_is_a_broken_run(tmp_path, content):
    folder = RunBuilder(tmp_path / "run").finish(at_s=1.0)
    if content is not None:
        folder.summary.write_text(content)
    with pytest.raises(RunFolderError, match=r"summary\.json"):
        load_summary(folder)
