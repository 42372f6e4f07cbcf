"""Due times follow the distribution they are drawn from."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.plan.arrivals import due_times, inverted
from harness.scenario import Constant, Curve, Poisson, Surge

STATIONS = 5_000
POINTS = (("0s", 0.0), ("8s", 0.5), ("36s", 1.0))
KINDS: dict[str, Any] = {
    "constant": Constant.model_validate({"kind": "constant", "start": "2s", "over": "10s"}),
    "poisson": Poisson.model_validate({"kind": "poisson", "start": "2s", "over": "10s"}),
    "surge": Surge.model_validate({"kind": "surge", "start": "2s", "over": "10s"}),
    "curve": Curve.model_validate({"kind": "curve", "points": POINTS}),
}


def drawn(kind, seed=7):
    return due_times(KINDS[kind], STATIONS, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", list(KINDS))
def test_due_times_rise_and_are_the_same_for_the_same_seed(kind):
    times = drawn(kind)
    assert times.shape == (STATIONS,)
    assert (np.diff(times) >= 0).all()
    assert (times == drawn(kind)).all()
    if kind != "constant":
        assert not (times == drawn(kind, seed=8)).all()


def test_constant_arrivals_are_equal_steps_apart():
    times = drawn("constant")
    assert times[0] == 2.0
    assert np.diff(times) == pytest.approx(10 / STATIONS)


def test_poisson_gaps_are_exponential_with_the_right_mean():
    gaps = np.diff(drawn("poisson"), prepend=2.0)
    assert stats.kstest(gaps, stats.expon(scale=10 / STATIONS).cdf).pvalue > 0.01


def test_poisson_counts_are_as_dispersed_as_they_should_be():
    times = drawn("poisson")
    counts = np.histogram(times, bins=200, range=(2.0, times[-1]))[0]
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.3)  # 3 standard errors of 200 counts


def test_a_surge_is_uniform_over_its_window():
    times = drawn("surge")
    assert stats.kstest(times, stats.uniform(2, 10).cdf).pvalue > 0.01


def test_a_curve_is_followed():
    times = drawn("curve")

    def cdf(t):
        return np.interp(t, [0, 8, 36], [0, 0.5, 1])

    assert stats.kstest(times, cdf).pvalue > 0.01
    assert (times <= 8).mean() == pytest.approx(0.5, abs=0.03)


def test_nobody_turns_up_where_the_curve_is_flat():
    times = inverted(np.array([0.0, 1.0, 5.0, 6.0]), np.array([0.0, 0.5, 0.5, 1.0]), np.linspace(0.001, 0.999, 999))
    assert not ((times > 1.0) & (times < 5.0)).any()
