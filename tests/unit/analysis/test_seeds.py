"""What many seeds have in common: bands of values that occurred, and honest probabilities."""

import pytest

from harness.analysis.run_figures import FIGURES, RunFigures, ThresholdOutcome
from harness.analysis.seeds import compute_band, make_odds, summarise_seeds
from reports.seeds import figure_rows, odds_rows, seeds_finding


def run(seed, ratio, passed=True, **values):
    known = {**dict.fromkeys(FIGURES), "completed_by_deadline_ratio": ratio, **values}
    return RunFigures(
        seed=seed, verdict="pass" if passed else "fail", safety=True, values=known, by_outcome={"accepted": 3},
        thresholds=[ThresholdOutcome(assertion="x < 1", observed=0.5, passed=passed)], curve_t_s=[0.0, 10.0], curve=[0.0, ratio],
    )  # fmt: skip


def test_a_band_has_values_that_occurred_and_what_never_came_is_above_all_of_them():
    band = compute_band([float(value) for value in range(1, 101)])
    assert (band.low, band.median, band.high, band.never) == (5.0, 50.0, 95.0, 0)
    band = compute_band([1.0, None, None])
    assert (band.low, band.median, band.high, band.never) == (1.0, None, None, 2)


@pytest.mark.parametrize(
    ("held", "seeds", "low", "high"), [(29, 29, 0.8806, 1.0), (0, 10, 0.0, 0.3085), (5, 10, 0.1871, 0.8129)]
)
def test_the_probability_that_a_threshold_holds_has_clopper_and_pearsons_interval(held, seeds, low, high):
    odds = make_odds("x < 1", held, seeds)
    assert [odds.low, odds.high] == pytest.approx([low, high], abs=1e-4)
    assert odds.ratio == held / seeds


def test_seeds_are_summarised_with_their_verdicts_and_thresholds():
    runs = [run(1, 0.2, passed=False), run(2, 0.4), run(3, 0.6)]
    found = summarise_seeds(runs, name="n", title="", deadline_s=10.0, time_scale=1.0)
    assert (found.seeds, found.verdicts, found.unsafe) == ([1, 2, 3], {"pass": 2, "fail": 1, "invalid": 0}, 0)
    assert (found.thresholds[0].held, found.thresholds[0].seeds) == (2, 3)
    alone = summarise_seeds(runs[:1], name="n", title="", deadline_s=10.0, time_scale=1.0)
    assert (alone.thresholds[0].held, alone.thresholds[0].seeds) == (0, 1)
    assert (
        seeds_finding(found)
        == "By the deadline 40 % of the stations are complete in the median of 3 seeds (20 % to 60 % in 90 %)"
    )
    assert odds_rows(found) == [["x < 1", "2 of 3", "67 % (9.4 % to 99 %)"]]


def test_figures_without_a_value_in_any_seed_have_no_row_but_never_finishing_is_said():
    found = summarise_seeds([run(1, 0.2), run(2, 0.2)], name="n", title="", deadline_s=10.0, time_scale=1.0)
    assert figure_rows(found) == [
        ["stations by the deadline", "20 %", "20 %"],
        ["last page delivered at", "never", "never"],
    ]
    assert "in the middle 90 % of 2 seeds" in seeds_finding(found)
