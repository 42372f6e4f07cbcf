"""Uneven kelurahan: the factor is the gamma process that it should be, and only unevenness is added."""

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy import stats

from harness.base.model import Station
from harness.plan import make_plan
from harness.plan.arrivals import assign_due_times
from harness.plan.rate_shapes import gamma_ar1
from harness.scenario.arrivals import Arrivals
from harness.scenario.loader import load_scenario

BURST = {"cv": 0.8, "correlation": "2s", "step": "1s"}
EACH, VILLAGES = 900, 40
STATIONS = [
    Station(f"350919{village:04d}{number:03d}", f"VILLAGE {village}")
    for village in range(1, VILLAGES + 1)
    for number in range(1, EACH + 1)
]


def due(burst, seed=5, kind="surge", **keys):
    table: Any = TypeAdapter(Arrivals).validate_python({"kind": kind, "burst": burst, **(keys or {"over": "30s"})})
    return assign_due_times(table, STATIONS, np.random.default_rng(seed), seed)


def dispersion(times):
    """Mean over kelurahan of the index of dispersion of counts a second."""
    counts = np.array([np.histogram(part, bins=30, range=(0, 30))[0] for part in times.reshape(VILLAGES, EACH)])
    return float((counts.var(axis=1, ddof=1) / counts.mean(axis=1)).mean())


def test_the_factor_is_gamma_with_mean_1_and_the_given_spread():
    values = gamma_ar1(60_000, cv=0.8, correlation=0.5, rng=np.random.default_rng(1))
    thinned = values[::12]  # correlated by less than 1/4000
    shape = 1 / 0.8**2
    assert stats.kstest(thinned, stats.gamma(shape, scale=1 / shape).cdf).pvalue > 0.01
    assert values.mean() == pytest.approx(1.0, abs=0.02)
    assert values.std() == pytest.approx(0.8, abs=0.02)


@pytest.mark.heavy
@pytest.mark.parametrize("correlation", [0.3, 0.9])
def test_the_factor_s_autocorrelation_falls_by_the_same_ratio_with_each_step(correlation):
    values = gamma_ar1(100_000, cv=0.5, correlation=correlation, rng=np.random.default_rng(2))
    measured = [np.corrcoef(values[:-lag], values[lag:])[0, 1] for lag in (1, 2, 4)]
    assert measured == pytest.approx([correlation**lag for lag in (1, 2, 4)], abs=0.03)


@pytest.mark.heavy
def test_bursts_disperse_the_counts_of_a_kelurahan_as_much_as_they_should():
    """A mixed Poisson count's variance is mean + mean²·cv².

    As the number of stations is given, a kelurahan's factors are divided by their mean over its 30 s, which takes about a
    tenth of their variance away here.
    """
    mean = EACH / 30
    assert dispersion(due(None)) == pytest.approx(1.0, abs=0.06)
    factors = np.array([gamma_ar1(30, 0.8, np.exp(-0.5), np.random.default_rng(n)) for n in range(4000)])
    factors /= factors.mean(axis=1, keepdims=True)
    expected = 1 + mean * factors.var(axis=1, ddof=1).mean()
    assert expected > 10
    assert dispersion(due(BURST)) == pytest.approx(expected, rel=0.2)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("surge", {"start": "3s", "over": "30s"}),
        ("curve", {"points": [["0s", 0.0], ["8s", 0.5], ["36s", 1.0]]}),
        ("ramp", {"over": "30s", "first": 1.0, "last": 3.0}),
        ("deadline_rush", {"until": "30s", "cut_off": "1s"}),
    ],
)
def test_within_a_step_and_a_kelurahan_stations_follow_the_kind_s_own_curve(kind, keys):
    """Of the unevenness nothing is left where the factor stays the same: with one step there is none."""
    uneven = due({**BURST, "step": "1h"}, kind=kind, **keys)
    even = due(None, seed=6, kind=kind, **keys)
    assert stats.ks_2samp(uneven, even).pvalue > 0.01


def test_kelurahan_are_uneven_each_in_its_own_way():
    counts = np.array([np.histogram(part, bins=30, range=(0, 30))[0] for part in due(BURST).reshape(VILLAGES, EACH)])
    between = np.corrcoef(counts)[np.triu_indices(VILLAGES, 1)]
    assert abs(between.mean()) < 0.05


@pytest.mark.heavy
def test_stations_keep_their_luck_when_the_burst_changes():
    """Common random numbers: the order in which a kelurahan's stations turn up stays."""
    calm, wild = due({**BURST, "cv": 0.1}), due({**BURST, "cv": 2.0})
    assert not (calm == wild).all()
    for village in range(VILLAGES):
        part = slice(village * EACH, (village + 1) * EACH)
        assert (np.argsort(calm[part]) == np.argsort(wild[part])).all()


@pytest.mark.heavy
def test_a_burst_changes_when_stations_turn_up_and_nothing_else_of_the_plan():
    even = ["photos.size=2KB", "photos.bank=3"]
    plain, uneven = make_plan(load_scenario("kaliwates", even)), make_plan(load_scenario("kaliwates", [*even, 'arrivals.burst={cv=1.0, correlation="3s"}']))  # fmt: skip
    assert (plain.body_of_page == uneven.body_of_page).all()
    assert [page.sha256 for page in plain][:20] == [page.sha256 for page in uneven][:20]
    assert not (plain.due_s == uneven.due_s).any()
    assert uneven.due_s.max() <= 36.0
