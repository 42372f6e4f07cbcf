import numpy as np
import pytest

from harness.analysis.comparable import (
    COMPARABLE_FIGURES,
    JUDGED_FIGURES,
    SHOWN_FIGURES,
    MissingFigure,
    RateStatistic,
    arrivals_digest,
    compute_statistics,
)
from harness.analysis.page_status import load_page_statuses
from harness.analysis.rows import load_rows
from harness.analysis.summarise import compute_summary
from harness.judge.thresholds.metrics import summary_value, unit_of_key
from tests.support.run_builder import RunBuilder
from tests.support.synthetic_run import kaliwates_run


@pytest.fixture(scope="module", params=[8, 1], ids=["an evening", "an evening at a server far too small"])
def evening(request, tmp_path_factory):
    folder = kaliwates_run(tmp_path_factory.mktemp("evening") / "run", workers=request.param)
    rows = load_rows(folder)
    return rows, compute_summary(folder, rows, load_page_statuses(folder, rows))


@pytest.mark.heavy
def test_every_figure_that_can_be_compared_is_the_figure_of_the_summary(evening):
    rows, summary = evening
    found = compute_statistics(rows, summary, list(COMPARABLE_FIGURES))
    for key, statistic in found.items():
        said = summary_value(summary, key)
        if isinstance(statistic, MissingFigure) or statistic.value() == float("inf"):
            assert said is None, key
        else:
            assert statistic.value() == pytest.approx(said, rel=1e-9), key
    assert sum(not isinstance(statistic, MissingFigure) for statistic in found.values()) > 15


def test_a_percentile_that_the_sample_cannot_bear_says_what_it_needs(evening):
    rows, summary = evening
    missing = compute_statistics(rows, summary, ["delivery_seconds.p99_9"])["delivery_seconds.p99_9"]
    assert missing == MissingFigure("n/a (needs 10,000; there are 1,086)")


def test_what_is_judged_and_shown_can_be_compared_and_has_the_unit_of_its_key():
    assert set(JUDGED_FIGURES) | set(SHOWN_FIGURES) <= set(COMPARABLE_FIGURES)
    for key, figure in COMPARABLE_FIGURES.items():
        assert figure.unit == unit_of_key(key), key


@pytest.mark.heavy
def test_the_same_seed_has_the_same_plan_and_another_seed_another(tmp_path):
    plans = [
        arrivals_digest(load_rows(kaliwates_run(tmp_path / name, seed=seed)))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert plans[0] == plans[1] != plans[2]


def statistic(folder, key):
    rows = load_rows(folder)
    return compute_statistics(rows, compute_summary(folder, rows, load_page_statuses(folder, rows)), [key])[key]


def test_a_station_that_is_complete_just_at_the_deadline_is_in_time(tmp_path):
    made = RunBuilder(tmp_path / "run", stations=3, deadline_s=72.0)
    for page, done_s in enumerate((71.0, 72.0, 72.001)):
        made.attempt(page, due_s=70.0, done_s=done_s)
    found = statistic(made.finish("deadline", at_s=73.0), "stations.completed_by_deadline_ratio")
    assert found.value() == pytest.approx(2 / 3)


def test_a_rate_knows_how_long_each_station_took_in_the_order_of_their_times(tmp_path):
    made = RunBuilder(tmp_path / "run", due_s=[5.0, 0.0, 9.0], deadline_s=72.0)
    made.attempt(0, due_s=5.0, done_s=7.5)
    made.attempt(1, due_s=0.0, done_s=4.0)
    found = statistic(made.finish("deadline", at_s=72.0), "rates.goodput_per_s")
    assert isinstance(found, RateStatistic)
    assert found.took_s.tolist() == pytest.approx([4.0, 2.5, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("stations", "ends"), [(40, range(20, 40)), (400, range(360, 400)), (5, range(5))], ids=["20", "a tenth", "all"]
)
def test_a_replicate_ends_as_much_later_as_one_of_the_last_stations_took_longer(stations, ends):
    took_s = np.where(np.arange(stations) < ends[0], 1000.0, 10.0 + np.arange(stations) % 2)
    mean_s = took_s[ends].mean()
    rate = RateStatistic(np.ones(stations), took_s, over_s=100.0)
    weights = np.ones((2 * len(ends), 1))
    found = rate.resampled(np.zeros(stations, dtype=np.int64), weights)
    later_s = np.tile(took_s[ends] - mean_s, 2)
    assert found.tolist() == pytest.approx((stations / (100.0 + later_s)).tolist())


def test_a_rate_of_which_no_station_ended_ends_when_it_ended():
    rate = RateStatistic(np.ones(4), np.full(4, np.nan), over_s=100.0)
    assert rate.resampled(np.zeros(4, dtype=np.int64), np.ones((3, 1))).tolist() == [0.04] * 3
