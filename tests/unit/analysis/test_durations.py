from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.durations import DURATION_METRICS, DurationSamples, compute_distribution
from harness.analysis.rows import load_rows
from harness.base.model import ANSWERED, TIMED_OUT, Outcome
from tests.support.run_builder import RunBuilder


def samples_of(folder):
    return DurationSamples(load_rows(folder))


def test_a_late_attempt_counts_from_its_due_time(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.attempt(0, due_s=1.0, sent_s=4.0, done_s=4.5)
    found = samples_of(run.finish(at_s=5.0))
    assert found.response.tolist() == [3.5]
    assert found.service.tolist() == [0.5]
    assert found.lateness.tolist() == [3.0]
    assert found.delivery.tolist() == [3.5]
    assert found.completion.tolist() == [4.5]


@pytest.mark.heavy
@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.WITHHELD])
def test_responses_are_those_of_answered_and_timed_out_attempts(tmp_path, outcome):
    run = RunBuilder(tmp_path / "run")
    run.attempt(0, outcome=outcome, due_s=1.0, sent_s=1.25, done_s=2.0)
    found = samples_of(run.finish(at_s=5.0))
    counts = outcome in ANSWERED | TIMED_OUT
    assert found.response.tolist() == ([1.0] if counts else [])
    assert found.service.tolist() == ([0.75] if counts else [])
    assert found.lateness.tolist() == [0.25]
    split = found.distribution_by_outcome("response_seconds")
    assert split.count == (1 if counts else 0)
    assert split.by_outcome[str(outcome)].max == 1.0


def test_quick_refusals_stand_beside_the_whole(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=2)
    run.attempt(0, outcome=Outcome.UNAVAILABLE, sent_s=0.0, done_s=0.25)
    run.attempt(1, outcome=Outcome.ACCEPTED, sent_s=0.0, done_s=8.0)
    split = samples_of(run.finish(at_s=9.0)).distribution_by_outcome("service_seconds")
    assert (split.count, split.mean, split.max) == (2, 4.125, 8.0)
    assert {name: one.mean for name, one in split.by_outcome.items()} == {"accepted": 8.0, "unavailable": 0.25}


def test_an_unfinished_attempt_has_lateness_and_nothing_else(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.begin(0, due_s=1.0, sent_s=1.5)
    found = samples_of(run.break_off())
    assert found.lateness.tolist() == [0.5]
    assert found.response.tolist() == []


def test_a_withheld_attempt_was_not_late(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.withhold(0, due_s=1.0)
    assert samples_of(run.finish(at_s=2.0)).lateness.tolist() == []


def test_delivery_counts_from_the_first_due_time_over_all_attempts(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.attempt(0, attempt=1, outcome=Outcome.RESET, due_s=1.0)
    run.attempt(0, attempt=2, due_s=5.0, done_s=6.0)
    assert samples_of(run.finish(at_s=7.0)).delivery.tolist() == [5.0]


def test_a_second_acknowledgement_does_not_count(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.attempt(0, attempt=1, due_s=1.0, done_s=2.0)
    run.attempt(0, attempt=2, outcome=Outcome.REPLAYED, due_s=5.0, done_s=6.0)
    assert samples_of(run.finish(at_s=7.0)).delivery.tolist() == [1.0]


def test_what_never_arrived_is_infinitely_late(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=3)
    run.attempt(0, due_s=1.0, done_s=2.0)
    run.attempt(1, outcome=Outcome.RESET, due_s=1.0)
    run.begin(2, due_s=1.0, sent_s=1.0)
    found = samples_of(run.finish("deadline", at_s=72.0))
    assert found.delivery.tolist() == [1.0, np.inf, np.inf]
    assert found.completion.tolist() == [2.0, np.inf, np.inf]


def test_pages_starved_behind_a_slow_one_never_arrived(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=1, pages_each=3)
    run.attempt(0, outcome=Outcome.TIMEOUT_RESPONSE, due_s=0.0, done_s=10.0)
    assert samples_of(run.finish("deadline", at_s=72.0)).delivery.tolist() == [np.inf] * 3


def test_stations_whose_time_never_came_are_not_late(tmp_path):
    run = RunBuilder(tmp_path / "run", due_s=[0.0, 50.0], pages_each=2)
    run.attempt(0, due_s=0.0, done_s=1.0)
    run.attempt(1, due_s=1.0, done_s=2.0)
    found = samples_of(run.finish("interrupted", at_s=20.0))
    assert found.delivery.tolist() == [1.0, 1.0]
    assert found.completion.tolist() == [2.0]


def test_the_warm_up_is_in_no_sample(tmp_path):
    run = RunBuilder(tmp_path / "run", due_s=[1.0, 6.0], warm_up_s=5.0)
    run.attempt(0, due_s=1.0, done_s=5.5)
    run.attempt(1, due_s=6.0, done_s=6.25)
    found = samples_of(run.finish(at_s=7.0))
    assert [found.sample(metric).tolist() for metric in DURATION_METRICS] == [[0.25], [0.25], [0.25], [0.25], [0.0]]
    assert list(found.distribution_by_outcome("response_seconds").by_outcome) == ["accepted"]
    assert found.distribution_by_outcome("response_seconds").by_outcome["accepted"].count == 1


def test_a_page_that_is_starved_to_the_end_counts_though_its_station_came_in_the_warm_up(tmp_path):
    run = RunBuilder(tmp_path / "run", due_s=[1.0], pages_each=2, warm_up_s=5.0)
    run.attempt(0, outcome=Outcome.RESET, due_s=1.0)
    assert samples_of(run.finish("deadline", at_s=72.0)).delivery.tolist() == [np.inf]


def test_there_is_no_sample_by_another_name(tmp_path):
    found = samples_of(RunBuilder(tmp_path / "run").break_off())
    with pytest.raises(KeyError, match="rows"):
        found.sample("rows")


def test_a_spread_has_the_figures_that_its_sample_bears():
    found = compute_distribution(np.arange(1.0, 201.0))
    assert (found.count, found.mean, found.max, found.never) == (200, 100.5, 200.0, 0)
    assert (found.p50, found.p90, found.p95, found.p99, found.p99_9) == (100.0, 180.0, 190.0, None, None)
    assert set(found.intervals) == {"p50", "p90", "p95"}
    assert found.intervals["p95"] == (184.0, 197.0)


def test_a_percentile_that_never_arrived_is_none_and_says_how_many():
    found = compute_distribution(np.append(np.arange(1.0, 151.0), np.full(50, np.inf)))
    assert (found.count, found.never, found.mean, found.max) == (200, 50, None, None)
    assert (found.p50, found.p90, found.p95) == (100.0, None, None)
    assert set(found.intervals) == {"p50"}


def test_an_empty_sample_has_no_figures():
    found = compute_distribution(np.empty(0))
    assert (found.count, found.never, found.mean, found.p50, found.max) == (0, 0, None, None, None)
