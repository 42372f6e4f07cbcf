from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from harness.analysis.percentile import QUANTILES, min_sample_size, order_statistic, percentile, percentile_interval


def rising(n):
    return np.arange(1.0, n + 1)


@pytest.mark.parametrize(
    ("quantile", "least"),
    [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1_000), (0.999, 10_000), (0.05, 200), (0.25, 40)],
)
def test_a_percentile_is_refused_until_ten_values_lie_beyond_it(quantile, least):
    assert min_sample_size(quantile) == least
    assert percentile(rising(least - 1), quantile) is None
    assert percentile(rising(least), quantile) == np.ceil(quantile * least)


def test_a_percentile_is_a_value_that_was_seen_never_one_between():
    values = np.array([1.0] * 10 + [2.0] * 10)
    assert percentile(values, 0.5) == 1.0


@pytest.mark.parametrize("n", [100, 101, 199, 1_000, 1_086])
@pytest.mark.parametrize("quantile", [0.5, 0.9])
def test_it_is_the_inverted_cdf_that_numpy_gives(n, quantile):
    values = np.sort(np.random.default_rng(n).lognormal(size=n))
    assert percentile(values, quantile) == np.quantile(values, quantile, method="inverted_cdf")


def test_a_share_is_taken_as_written_not_as_a_float_has_it():
    assert percentile(rising(100), 0.9) == 90.0
    assert min_sample_size(0.9) == 100


def test_infinity_is_a_value_like_any_other():
    values = np.append(rising(94), np.full(106, np.inf))
    assert percentile(values, 0.5) == np.inf
    assert percentile(np.append(rising(150), np.full(50, np.inf)), 0.5) == 100.0


def test_a_small_sample_has_an_order_statistic_for_rules_but_no_percentile():
    assert percentile(rising(3), 0.99) is None
    assert order_statistic(rising(3), 0.99) == 3.0


def test_no_values_have_no_order_statistic():
    with pytest.raises(ValueError, match="no values"):
        order_statistic(np.empty(0), 0.5)


@pytest.mark.parametrize("quantile", [0.0, 1.0, 1.5, -0.1])
def test_a_share_that_is_no_quantile_is_refused(quantile):
    with pytest.raises(ValueError, match="between 0 and 1"):
        min_sample_size(quantile)


@pytest.mark.parametrize(("n", "quantile", "bounds"), [(100, 0.5, (41.0, 61.0)), (20, 0.5, (6.0, 15.0))])
def test_the_interval_of_a_median_is_the_one_in_the_tables(n, quantile, bounds):
    assert percentile_interval(rising(n), quantile) == bounds


@pytest.mark.parametrize("quantile", QUANTILES.values())
@pytest.mark.parametrize("factor", [1, 3, 50])
def test_the_interval_covers_with_95_percent_and_no_rank_can_be_spared(quantile, factor):
    n = min_sample_size(quantile) * factor
    bounds = percentile_interval(rising(n), quantile)
    assert bounds is not None
    j, k = bounds
    assert j is not None
    assert k is not None

    def covered(low, high):
        return binom.cdf(high - 1, n, quantile) - binom.cdf(low - 1, n, quantile)

    assert covered(j, k) >= 0.95
    assert covered(j + 1, k) < 0.95
    assert covered(j, k - 1) < 0.95


def test_a_refused_percentile_has_no_interval():
    assert percentile_interval(rising(199), 0.95) is None


def test_a_bound_at_infinity_is_no_bound():
    values = np.append(rising(192), np.full(8, np.inf))
    bounds = percentile_interval(values, 0.95)
    assert percentile(values, 0.95) == 190.0
    assert bounds == (184.0, None)
