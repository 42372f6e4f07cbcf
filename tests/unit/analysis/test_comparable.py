import pytest

from harness.analysis.comparable import (
    COMPARABLE_FIGURES,
    JUDGED_FIGURES,
    SHOWN_FIGURES,
    MissingFigure,
    arrivals_digest,
    compute_statistics,
)
from harness.analysis.page_status import load_page_statuses
from harness.analysis.rows import load_rows
from harness.analysis.summarise import compute_summary
from harness.judge.thresholds.metrics import summary_value, unit_of_key
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
