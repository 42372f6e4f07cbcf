import pytest

from harness.analysis.comparable import COMPARABLE, GATED, SHOWN, Missing, plan_digest, statistics
from harness.analysis.page_status import fates_of
from harness.analysis.rows import load_rows
from harness.analysis.summarise import figures_of
from harness.judge.thresholds.summary_keys import unit_of_key, value_of
from tests.support.synthetic_run import kaliwates_run


@pytest.fixture(scope="module", params=[8, 1], ids=["an evening", "an evening at a server far too small"])
def evening(request, tmp_path_factory):
    folder = kaliwates_run(tmp_path_factory.mktemp("evening") / "run", workers=request.param)
    rows = load_rows(folder)
    return rows, figures_of(folder, rows, fates_of(folder, rows))


def test_every_figure_that_can_be_compared_is_the_figure_of_the_summary(evening):
    rows, summary = evening
    found = statistics(rows, summary, list(COMPARABLE))
    for key, statistic in found.items():
        said = value_of(summary, key)
        if isinstance(statistic, Missing) or statistic.value() == float("inf"):
            assert said is None, key
        else:
            assert statistic.value() == pytest.approx(said, rel=1e-9), key
    assert sum(not isinstance(statistic, Missing) for statistic in found.values()) > 15


def test_a_percentile_that_the_sample_cannot_bear_says_what_it_needs(evening):
    rows, summary = evening
    missing = statistics(rows, summary, ["delivery_seconds.p99_9"])["delivery_seconds.p99_9"]
    assert missing == Missing("n/a (needs 10,000; there are 1,086)")


def test_what_is_judged_and_shown_can_be_compared_and_has_the_unit_of_its_key():
    assert set(GATED) | set(SHOWN) <= set(COMPARABLE)
    for key, figure in COMPARABLE.items():
        assert figure.unit == unit_of_key(key), key


def test_the_same_seed_has_the_same_plan_and_another_seed_another(tmp_path):
    plans = [
        plan_digest(load_rows(kaliwates_run(tmp_path / name, seed=seed)))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert plans[0] == plans[1] != plans[2]
