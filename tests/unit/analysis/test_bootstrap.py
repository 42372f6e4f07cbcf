import math

import numpy as np
import pytest

from harness.analysis import bootstrap
from harness.analysis.bootstrap import block_length, bootstrap_change
from harness.analysis.comparable import QuantileStatistic, RateStatistic, RatioStatistic

TRUE = math.log(1.1)


def chained(rng, n, correlation):
    """A series whose neighbours are alike: first-order autoregression with standard deviation 1."""
    steps = rng.normal(size=n) * math.sqrt(1 - correlation**2)
    series = np.empty(n)
    series[0] = rng.normal()
    for place in range(1, n):
        series[place] = correlation * series[place - 1] + steps[place]
    return series


def two_runs(rng, stations, correlation):
    """Three pages a station, whose times two runs have mostly in common; the second is slower by 10 %."""
    common = np.repeat(chained(rng, stations, correlation) * 0.4, 3) + rng.normal(size=3 * stations) * 0.3
    own = [np.repeat(chained(rng, stations, correlation) * 0.1, 3) + rng.normal(size=3 * stations) * 0.05 for _ in "ab"]
    return np.exp(common + own[0]), np.exp(common + own[1] + TRUE)


def as_quantile(values, quantile=0.95):
    stations = len(values) // 3
    return QuantileStatistic(values, np.repeat(np.arange(stations), 3), stations, quantile)


def as_mean(values):
    stations = len(values) // 3
    return RatioStatistic(values.reshape(stations, 3).sum(axis=1), np.full(stations, 3.0))


def drawn(base, run, *, paired, rng):
    """What `bootstrap_change` finds, where there is enough to find."""
    found = bootstrap_change(base, run, paired=paired, rng=rng)
    assert found is not None
    return found


def coverage(make, *, stations, correlation, trials):
    """Share of intervals of 95 % that hold the true change."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(trials):
        base, run = (make(values) for values in two_runs(rng, stations, correlation))
        low, high = drawn(base, run, paired=True, rng=rng).interval(0.05)
        held += low <= TRUE <= high
    return held / trials


@pytest.fixture
def quick(monkeypatch):
    """Fewer replicates: intervals a little rougher, tests four times as fast."""
    monkeypatch.setattr(bootstrap, "REPLICATES", 400)


@pytest.mark.heavy
@pytest.mark.parametrize(("make", "correlation"), [(as_quantile, 0.5), (as_mean, 0.0), (as_mean, 0.5)])
def test_an_interval_of_95_percent_holds_the_true_change_about_so_often(quick, make, correlation):
    # of 50 trials with a true chance of 92 % all but 1 of 200 series have 82 % or more
    assert coverage(make, stations=120, correlation=correlation, trials=50) >= 0.82


@pytest.mark.slow
@pytest.mark.parametrize("make", [as_quantile, as_mean])
@pytest.mark.parametrize(("stations", "correlation", "least"), [(362, 0.0, 0.93), (362, 0.5, 0.89), (362, 0.9, 0.86)])
def test_an_interval_holds_the_true_change_also_where_many_neighbours_wait_together(make, stations, correlation, least):
    assert coverage(make, stations=stations, correlation=correlation, trials=400) >= least


@pytest.mark.heavy
def test_single_stations_for_blocks_would_claim_far_too_much_where_neighbours_wait_together(quick, monkeypatch):
    blocks = coverage(as_mean, stations=362, correlation=0.9, trials=60)
    monkeypatch.setattr(bootstrap, "block_length", lambda _: 1.0)
    single = coverage(as_mean, stations=362, correlation=0.9, trials=60)
    assert single < 0.7 < blocks


def test_what_two_runs_have_in_common_drops_out_of_their_difference(quick):
    base, run = two_runs(np.random.default_rng(2), 120, 0.5)
    widths = []
    for paired in (True, False):
        low, high = drawn(as_mean(base), as_mean(run), paired=paired, rng=np.random.default_rng(3)).interval(0.05)
        widths.append(high - low)
    assert widths[0] < widths[1] / 2


def test_a_replicate_that_draws_every_block_once_is_the_figure_itself():
    rng = np.random.default_rng(4)
    values = rng.lognormal(size=9_000)
    values[rng.choice(9_000, 30)] = np.inf
    every_block_once = np.ones((1, 10))
    rate = RateStatistic(np.full(3_000, 3.0), np.ones(3_000), 25.0)
    for statistic in (as_quantile(values), as_quantile(values, 0.5), as_mean(np.minimum(values, 9.0)), rate):
        block = np.arange(statistic.units) * 10 // statistic.units
        assert statistic.resampled(block, every_block_once)[0] == pytest.approx(statistic.value(), rel=1e-12)


def test_a_percentile_among_what_never_arrived_is_without_end_in_every_replicate():
    values = np.full(300, np.inf)
    values[:30] = 1.0
    found = drawn(
        as_quantile(np.linspace(1.0, 2.0, 300)), as_quantile(values), paired=True, rng=np.random.default_rng(1)
    )
    assert found.interval(0.05) == (math.inf, math.inf)


def test_a_percentile_that_may_or_may_not_have_arrived_has_no_upper_bound():
    values = np.linspace(1.0, 2.0, 300)
    lost = values.copy()
    lost[np.random.default_rng(5).choice(300, 14, replace=False)] = np.inf
    found = drawn(as_quantile(values), as_quantile(lost), paired=True, rng=np.random.default_rng(1))
    low, high = found.interval(0.05)
    assert math.isfinite(low)
    assert high == math.inf


def test_a_smaller_chance_to_miss_needs_a_wider_interval():
    base, run = two_runs(np.random.default_rng(6), 120, 0.0)
    found = drawn(as_mean(base), as_mean(run), paired=True, rng=np.random.default_rng(1))
    (low, high), (lower, higher) = found.interval(0.05), found.interval(0.01)
    assert lower < low < found.log_ratio < high < higher


def test_blocks_are_as_long_as_neighbours_are_alike():
    rng = np.random.default_rng(7)
    lengths = {c: np.mean([block_length(chained(rng, 400, c)) for _ in range(30)]) for c in (0.0, 0.5, 0.9)}
    assert lengths[0.0] < 5 < lengths[0.5] < 20 < lengths[0.9]


def test_blocks_are_as_long_whatever_the_unit():
    series = chained(np.random.default_rng(8), 400, 0.7)
    assert block_length(1000.0 * series) == pytest.approx(block_length(series))
    assert block_length(0.001 * series) == pytest.approx(block_length(series))


def test_a_series_that_never_changes_needs_no_blocks():
    assert block_length(np.full(100, 3.0)) == 1.0


def test_a_handful_of_stations_has_no_interval():
    few = as_mean(np.arange(1.0, 58.0))
    assert bootstrap_change(few, few, paired=True, rng=np.random.default_rng(1)) is None


def test_a_rate_is_as_sure_as_the_end_of_the_run():
    stations, took = 100, np.random.default_rng(8).uniform(0.5, 1.0, 100)
    base = RateStatistic(np.full(stations, 3.0), took, 10.0)
    same = RateStatistic(np.full(stations, 3.0), took + np.random.default_rng(9).normal(size=100) * 0.01, 10.02)
    slow = RateStatistic(np.full(stations, 3.0), took * 3, 12.0)
    low, high = drawn(base, same, paired=True, rng=np.random.default_rng(1)).interval(0.05)
    assert low < math.log(10 / 10.02) < high
    assert high - low < 0.02
    assert drawn(base, slow, paired=True, rng=np.random.default_rng(1)).interval(0.05)[1] < 0
