"""What became of reads: their own table and figures, and no part of any other."""

import duckdb
import pytest

from harness.analysis.rows import load_rows
from harness.analysis.run_data import RunData
from harness.analysis.summarise import load_summary, summarise
from harness.base.model import Outcome
from harness.judge.thresholds.evaluate import evaluate_thresholds
from harness.plan.readers import count_reads
from harness.run_folder.layout import WorkerRecord
from harness.scenario.readers import ReaderOptions
from tests.support.run_builder import RunBuilder

READERS = {"rate": "20/s", "levels": ["nation", "station"]}
OPTIONS = ReaderOptions.model_validate(READERS)
SCENARIO = {"name": "made", "stations": {"region": "kaliwates"}, "thresholds": [], "readers": READERS}


def made(path, *, reads=True, **record):
    """A run of 10 s: 200 reads that take 1 to 200 ms, two that were refused, one that timed out after 3 s."""
    run = RunBuilder(path, workers=2, scenario=SCENARIO, **record)
    run.attempt(0)
    for number in range(200 if reads else 0):
        run.read(number % 2, due_s=number / 20, took_s=(number + 1) / 1000, worker=number % 2)
    if reads:
        run.read(0, outcome=Outcome.REFUSED, due_s=5.01, took_s=0.0)
        run.read(0, outcome=Outcome.UNAVAILABLE, due_s=5.02, took_s=0.001)
        run.read(1, outcome=Outcome.TIMEOUT_RESPONSE, due_s=5.03, took_s=3.0)
    workers = [WorkerRecord(rank=rank, reads_until_s=10.5) for rank in range(2)]
    return run.finish(at_s=11.0, workers=workers)


def test_what_was_due_is_answered_failed_or_unfinished(tmp_path):
    readers = summarise(made(tmp_path / "run")).readers
    assert readers is not None
    planned = sum(count_reads(OPTIONS, 1, 10.5, rank, 2) for rank in range(2))
    assert (readers.answered, readers.failed) == (200, 3)
    assert readers.planned == max(planned, 203)
    assert readers.planned == readers.answered + readers.failed + readers.unfinished
    assert readers.answered_ratio == 200 / readers.planned
    assert readers.by_outcome == {"accepted": 200, "unavailable": 1, "timeout_response": 1, "refused": 1}


def test_percentiles_are_those_of_reads_that_were_answered_or_timed_out(tmp_path):
    readers = summarise(made(tmp_path / "run")).readers
    assert readers is not None
    assert readers.reader_seconds.count == 202, "without the refused one, which took no time"
    assert readers.reader_seconds.p50 == pytest.approx(0.1, abs=0.002)
    assert readers.reader_seconds.max == pytest.approx(3.0)


def test_reads_change_no_other_figure(tmp_path):
    with_reads, without = (summarise(made(tmp_path / str(reads), reads=reads)) for reads in (True, False))
    assert without.readers is not None
    assert without.readers.answered == 0
    same = {"readers": None}
    assert with_reads.model_copy(update=same) == without.model_copy(update=same)


def test_a_run_without_readers_has_no_figures_of_them(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.attempt(0)
    folder = run.finish(at_s=1.0)
    assert summarise(folder).readers is None
    assert load_summary(folder).readers is None
    assert not folder.reads.exists()


def test_the_table_has_a_row_per_read_in_the_order_of_time(tmp_path):
    folder = made(tmp_path / "run")
    summarise(folder)
    query = "SELECT resource, outcome, status, worker, due_s FROM read_parquet(?)"
    rows = duckdb.connect().execute(query, [str(folder.reads)]).fetchall()
    assert len(rows) == 203
    assert rows[:2] == [("nation", "accepted", 200, 0, 0.0), ("station", "accepted", 200, 1, 0.05)]
    assert [row[4] for row in rows] == sorted(row[4] for row in rows)


def test_the_table_is_enough_without_the_journal(tmp_path):
    folder = made(tmp_path / "run")
    before = summarise(folder).readers
    for journal in folder.journal.iterdir():
        journal.unlink()
    assert summarise(folder).readers == before


def test_a_torn_run_is_counted_up_to_its_last_row(tmp_path):
    run = RunBuilder(tmp_path / "run", scenario=SCENARIO)
    run.attempt(0, done_s=4.0)
    run.read(0, due_s=1.0)
    readers = summarise(run.break_off()).readers
    assert readers is not None
    assert (readers.planned, readers.answered) == (count_reads(OPTIONS, 1, 4.0), 1)


def judge(folder, *assertions):
    summary = summarise(folder)
    results = evaluate_thresholds(assertions, summary, RunData(folder, load_rows(folder)))
    return [(result.passed, result.observed, result.reason) for result in results]


def test_thresholds_judge_reads(tmp_path):
    results = judge(
        made(tmp_path / "run"),
        "p95(reader_seconds) < 1s",
        'max(reader_seconds{resource="nation"}) < 250ms',
        'ratio(reads{outcome="accepted"}) >= 99%',
        'count(reads{outcome=~"timeout_.*", worker="0"}) == 1',
        "rate(reads) >= 10/s over 2s",
        "readers.failed <= 2",
        "readers.reader_seconds.p95 < 1s",
    )
    assert [passed for passed, *_ in results] == [True, True, False, True, True, False, True]
    assert results[2][1] == pytest.approx(200 / 203)


def test_a_threshold_on_readers_fails_where_there_are_none(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.attempt(0)
    results = judge(run.finish(at_s=1.0), "p95(reader_seconds) < 1s", "readers.answered_ratio > 0.5")
    assert [passed for passed, *_ in results] == [False, False]
    assert [reason for *_, reason in results] == [
        "no data: there is nothing to count",
        "no data: the run had no readers",
    ]
