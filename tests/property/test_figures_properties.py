from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.durations import compute_distribution
from harness.analysis.percentile import min_sample_size, percentile, percentile_interval
from harness.analysis.recovery import PageEvents, compute_recovery
from harness.analysis.time_series import counter_total, without_resets
from harness.run_folder.layout import FaultRecord

values = st.lists(st.floats(0, 1e6), min_size=20, max_size=400)
moments = st.lists(st.floats(0, 100), max_size=60).map(sorted).map(lambda found: np.array(found, dtype=np.float64))


@given(values, st.data())
def test_merging_the_rows_of_workers_gives_the_percentile_of_the_whole(sample, data):
    cut = data.draw(st.integers(0, len(sample)))
    workers = np.sort(sample[:cut]), np.sort(sample[cut:])
    whole = np.sort(sample)
    assert compute_distribution(np.sort(np.concatenate(workers))) == compute_distribution(whole)


@given(values, st.sampled_from([0.5, 0.9, 0.95, 0.25]))
def test_at_most_a_share_q_lies_below_a_percentile_and_at_most_the_rest_above(sample, quantile):
    rising = np.sort(np.array(sample))
    value = percentile(rising, quantile)
    if len(rising) < min_sample_size(quantile):
        assert value is None
        return
    assert (rising < value).sum() < quantile * len(rising) + 1e-9
    assert (rising > value).sum() <= (1 - quantile) * len(rising) + 1e-9


@given(values, st.sampled_from([0.5, 0.9, 0.95]))
def test_a_percentile_lies_in_its_interval(sample, quantile):
    rising = np.sort(np.array(sample))
    bounds, value = percentile_interval(rising, quantile), percentile(rising, quantile)
    if bounds is None or value is None:
        assert bounds is None
        assert value is None
        return
    low, high = bounds
    assert low is None or low <= value
    assert high is None or value <= high


@given(values, st.integers(0, 30))
def test_what_never_arrives_only_makes_percentiles_worse(sample, lost):
    arrived = np.sort(np.array(sample))
    all_of_them = np.append(arrived, np.full(lost, np.inf))
    before, after = compute_distribution(arrived), compute_distribution(all_of_them)
    assert after.never == lost
    assert after.count == before.count + lost
    if before.p50 is not None and after.p50 is not None:
        assert after.p50 >= before.p50
    assert (after.max is None) == (lost > 0)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40), st.sets(st.integers(0, 39)))
def test_a_counter_counts_all_its_steps_whatever_restarts_between(steps, restarts):
    seen, level = [], 0
    for place, step in enumerate(steps):
        level = step if place in restarts else level + step
        seen.append(float(level))
    known = np.array(seen)
    joined = without_resets(known)
    assert (np.diff(joined) >= 0).all()
    assert counter_total(known) == joined[-1] >= known[-1]
    assert counter_total(known) <= sum(steps)


@settings(max_examples=60)
@given(moments, moments)
def test_recovery_is_found_within_the_run_or_not_at_all(due_s, delays):
    delivered_s = np.sort(due_s[: len(delays)] + delays[: len(due_s)])
    curves = PageEvents(due_s, delivered_s, np.empty(0), 100.0)
    found = compute_recovery(FaultRecord(name="f", kind="capacity", start_s=20.0, end_s=30.0), curves)
    if found.recovered_after_s is None:
        return
    assert 0 <= found.recovered_after_s <= 70.0
    assert not found.metastable
    at = np.array([30.0 + found.recovered_after_s])
    assert curves.backlog(at)[0] <= curves.backlog(np.append(due_s, 15.0)).max()
