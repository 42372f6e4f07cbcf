from __future__ import annotations

import pytest

from harness.analysis.rows import load_rows
from harness.analysis.summarise import count_attempts, count_kelurahan, count_pages, count_stations, mean_rates
from harness.base.model import DELIVERED, Outcome
from harness.run_folder.journal import GiveUpReason
from tests.support.run_builder import RunBuilder, make_pages


def pages_of(folder):
    return count_pages(load_rows(folder))


def as_tuple(pages):
    return pages.delivered, pages.undelivered, pages.censored, pages.unattempted


@pytest.mark.heavy
@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_page_with_one_attempt_is_counted_by_its_outcome(tmp_path, outcome):
    run = RunBuilder(tmp_path / "run")
    if outcome is Outcome.WITHHELD:
        run.withhold(0)
    else:
        run.attempt(0, outcome=outcome)
    counted = pages_of(run.finish("deadline", at_s=72.0))
    expected = (
        (1, 0, 0, 0)
        if outcome in DELIVERED
        else (0, 0, 1, 0)
        if outcome is Outcome.CENSORED
        else (0, 0, 0, 1)
        if outcome is Outcome.WITHHELD
        else (0, 1, 0, 0)
    )
    assert as_tuple(counted) == expected
    assert counted.attempted == counted.planned - counted.unattempted


def test_one_acknowledgement_among_failures_delivers_a_page(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.attempt(0, attempt=1, outcome=Outcome.RESET, due_s=1.0)
    run.attempt(0, attempt=2, outcome=Outcome.REPLAYED, due_s=2.0)
    run.attempt(0, attempt=3, outcome=Outcome.REJECTED, due_s=3.0)
    run.begin(0, attempt=4, due_s=4.0, sent_s=4.0)
    assert as_tuple(pages_of(run.break_off())) == (1, 0, 0, 0)


def test_a_page_is_censored_only_if_its_last_attempt_is(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=2)
    run.begin(0, attempt=1, due_s=1.0, sent_s=1.0)
    run.attempt(0, attempt=2, outcome=Outcome.RESET, due_s=2.0)
    run.attempt(1, attempt=1, outcome=Outcome.RESET, due_s=1.0)
    run.begin(1, attempt=2, due_s=2.0, sent_s=2.0)
    assert as_tuple(pages_of(run.break_off())) == (0, 1, 1, 0)


def test_a_withheld_attempt_after_one_in_flight_leaves_the_page_censored(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.begin(0, attempt=1, due_s=1.0, sent_s=1.0)
    run.withhold(0, attempt=2, due_s=2.0)
    assert as_tuple(pages_of(run.break_off())) == (0, 0, 1, 0)


def test_the_parts_add_up_to_what_was_planned(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=4, pages_each=3, workers=2)
    for page in range(4):
        run.attempt(page, due_s=float(page), worker=page % 2)
    run.attempt(6, outcome=Outcome.TIMEOUT_RESPONSE, due_s=5.0)
    run.begin(9, due_s=6.0, sent_s=6.0, worker=1)
    counted = pages_of(run.break_off())
    assert counted.planned == 12 == sum(as_tuple(counted))
    assert as_tuple(counted) == (4, 1, 1, 6)


def test_an_acknowledgement_at_the_deadline_is_in_time_and_one_after_it_is_not(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=3, deadline_s=10.0)
    run.attempt(0, due_s=9.0, done_s=10.0)
    run.attempt(1, due_s=9.0, done_s=10.001)
    rows = load_rows(run.finish("deadline", at_s=12.0))
    assert count_pages(rows).delivered == 2
    assert count_pages(rows).delivered_by_deadline == 1
    stations = count_stations(rows)
    assert (stations.completed, stations.completed_by_deadline) == (2, 1)
    assert stations.completed_ratio == pytest.approx(2 / 3)
    assert stations.completed_by_deadline_ratio == pytest.approx(1 / 3)


def test_a_station_is_completed_when_its_last_page_is_acknowledged(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=2, pages_each=2)
    run.attempt(0)
    run.attempt(1)
    run.attempt(2)
    run.attempt(3, outcome=Outcome.UNAVAILABLE)
    stations = count_stations(load_rows(run.finish(at_s=5.0)))
    assert (stations.planned, stations.begun, stations.completed) == (2, 2, 1)


def test_a_station_is_due_once_its_time_came_before_the_run_stopped(tmp_path):
    run = RunBuilder(tmp_path / "run", due_s=[1.0, 9.0, 10.0, 11.0], deadline_s=10.0)
    stations = count_stations(load_rows(run.finish("deadline", at_s=20.0)))
    assert (stations.planned, stations.due, stations.begun) == (4, 2, 0)


def test_reasons_for_giving_up_are_counted_but_for_pages_that_arrived_all_the_same(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=4)
    run.attempt(0)
    run.gave_up(0, attempts=1, at_s=2.0, reason=GiveUpReason.DEADLINE)
    run.gave_up(1, attempts=0, at_s=2.0, reason=GiveUpReason.DEADLINE)
    run.gave_up(2, attempts=5, at_s=2.0, reason=GiveUpReason.ATTEMPTS_USED_UP)
    run.gave_up(3, attempts=5, at_s=2.0, reason=GiveUpReason.ATTEMPTS_USED_UP)
    assert pages_of(run.finish(at_s=5.0)).gave_up_by_reason == {"attempts_used_up": 2, "deadline": 1}


def test_amplification_counts_attempts_that_were_made_for_each_page_attempted(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=3)
    run.attempt(0, attempt=1, outcome=Outcome.RESET, sent_bytes=100)
    run.attempt(0, attempt=2, outcome=Outcome.RESET, sent_bytes=100, resent_bytes=100)
    run.attempt(0, attempt=3, sent_bytes=200, resent_bytes=100)
    run.attempt(1, sent_bytes=100)
    run.withhold(1, attempt=2)
    run.withhold(2)
    counted = count_attempts(load_rows(run.finish(at_s=5.0)))
    assert counted.total == 6 == sum(counted.by_outcome.values())
    assert counted.by_outcome == {"accepted": 2, "reset": 2, "withheld": 2}
    assert counted.amplification == 2.0
    assert (counted.sent_bytes, counted.resent_bytes, counted.resent_ratio) == (500, 200, 0.4)


def test_without_attempts_there_is_no_amplification_and_no_rate(tmp_path):
    rows = load_rows(RunBuilder(tmp_path / "run").finish(at_s=5.0))
    counted = count_attempts(rows)
    assert (counted.total, counted.by_outcome, counted.amplification, counted.resent_ratio) == (0, {}, None, None)
    rates = mean_rates(rows)
    assert rates.over_s == 5.0
    assert (rates.offered_per_s, rates.goodput_per_s, rates.throughput_per_s) == (None, None, None)


def test_rates_are_means_to_the_last_attempt_s_end(tmp_path):
    run = RunBuilder(tmp_path / "run", due_s=[0.0, 1.0, 2.0])
    run.attempt(0, attempt=1, outcome=Outcome.UNAVAILABLE, due_s=0.0, sent_bytes=100)
    run.attempt(0, attempt=2, due_s=1.0, done_s=2.0, sent_bytes=100)
    run.attempt(1, due_s=1.0, done_s=9.0, sent_bytes=100)
    run.attempt(2, due_s=2.0, done_s=10.0, sent_bytes=100)
    rates = mean_rates(load_rows(run.finish(at_s=20.0)))
    assert rates.over_s == 10.0
    assert (rates.offered_per_s, rates.goodput_per_s, rates.throughput_per_s) == (0.3, 0.3, 0.4)
    assert rates.sent_bytes_per_s == 40.0


def test_what_comes_after_the_deadline_is_in_no_rate_and_neither_is_its_time(tmp_path):
    run = RunBuilder(tmp_path / "run", due_s=[0.0, 1.0, 2.0, 30.0], deadline_s=8.0)
    run.attempt(0, attempt=1, outcome=Outcome.UNAVAILABLE, due_s=0.0, sent_bytes=100)
    run.attempt(0, attempt=2, due_s=1.0, done_s=2.0, sent_bytes=100)
    run.attempt(1, due_s=1.0, done_s=9.0, sent_bytes=100)
    run.attempt(2, outcome=Outcome.TIMEOUT_SEND, due_s=2.0, done_s=10.0, sent_bytes=100)
    rates = mean_rates(load_rows(run.finish("deadline", at_s=20.0)))
    assert rates.over_s == 8.0
    assert (rates.offered_per_s, rates.goodput_per_s, rates.throughput_per_s) == (3 / 8, 1 / 8, 2 / 8)
    assert rates.sent_bytes_per_s == 25.0


def test_rates_leave_the_warm_up_out(tmp_path):
    run = RunBuilder(tmp_path / "run", due_s=[0.0, 6.0], warm_up_s=5.0)
    run.attempt(0, due_s=0.0, done_s=5.5, sent_bytes=100)
    run.attempt(1, due_s=6.0, done_s=7.0, sent_bytes=100)
    folder = run.finish(at_s=8.0)
    rates = mean_rates(load_rows(folder))
    assert rates.over_s == 2.0
    assert (rates.offered_per_s, rates.goodput_per_s, rates.throughput_per_s) == (0.5, 0.5, 0.5)
    assert rates.sent_bytes_per_s == 50.0
    assert pages_of(folder).delivered == 2


def test_a_kelurahan_is_counted_under_its_name(tmp_path):
    codes = ["3509191001001", "3509191001002", "3509191007001"]
    run = RunBuilder(tmp_path / "run", pages=make_pages([0.0] * 3, 1, codes))
    run.attempt(0)
    run.attempt(2)
    found = count_kelurahan(load_rows(run.finish(at_s=5.0)))
    assert [(one.code, one.name.title(), one.stations, one.completed_by_deadline) for one in found] == [
        ("3509191001", "Mangli", 2, 1),
        ("3509191007", "Tegalbesar", 1, 1),
    ]


@pytest.mark.parametrize("scenario", [{}, {"stations": {}}, {"stations": {"region": "gone.csv"}}])
def test_a_kelurahan_without_a_known_name_goes_by_its_code(tmp_path, scenario):
    run = RunBuilder(tmp_path / "run", scenario=scenario)
    (found,) = count_kelurahan(load_rows(run.finish(at_s=5.0)))
    assert found.name == found.code == "3509191001"
