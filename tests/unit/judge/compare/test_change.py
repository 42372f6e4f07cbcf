"""Intervals over runs and over seeds are Student's and Welch's, as scipy computes them."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest
from scipy import stats

from harness.judge.compare.change import LogChange, RunStatistic, compute_change

BEFORE = [1.0, 1.3, 0.9, 1.15]
AFTER = [1.6, 1.2, 1.9, 1.4, 2.4]


class Fixed:
    """A figure that is known."""

    def __init__(self, value: float) -> None:
        self._value = value

    def value(self) -> float:
        return self._value


def side(values: list[float], seeds: list[int] | None = None) -> list[RunStatistic]:
    seeds = [1] * len(values) if seeds is None else seeds
    return [RunStatistic(seed, "", cast("Any", Fixed(value))) for seed, value in zip(seeds, values, strict=True)]


def change(base: list[RunStatistic], run: list[RunStatistic]) -> LogChange:
    return compute_change(base, run, 0.05, np.random.default_rng(1))


def test_several_runs_on_both_sides_have_welchs_interval():
    found = change(side(BEFORE), side(AFTER))
    wanted = stats.ttest_ind(np.log(AFTER), np.log(BEFORE), equal_var=False).confidence_interval(0.95)
    assert found.estimate == pytest.approx(np.log(AFTER).mean() - np.log(BEFORE).mean())
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_runs_that_all_agree_have_no_width():
    found = change(side([2.0, 2.0]), side([3.0, 3.0, 3.0]))
    assert (found.low, found.high) == pytest.approx((math.log(1.5), math.log(1.5)))


@pytest.mark.parametrize(("before", "after", "sign"), [([1.1], AFTER, 1), (AFTER, [1.1], -1)])
def test_a_single_run_is_taken_to_be_as_noisy_as_the_others(before, after, sign):
    found = change(side(before), side(after))
    logs = np.log(AFTER)
    half = stats.t.ppf(0.975, 4) * logs.std(ddof=1) * math.sqrt(1 + 1 / 5)
    estimate = sign * (logs.mean() - math.log(1.1))
    assert (found.estimate, found.low, found.high) == pytest.approx((estimate, estimate - half, estimate + half))


def test_the_same_seeds_on_both_sides_have_the_interval_of_their_differences():
    seeds = [1, 2, 3, 4]
    found = change(side(BEFORE, seeds), side(AFTER[:4][::-1], seeds[::-1]))
    wanted = stats.ttest_rel(np.log(AFTER[:4]), np.log(BEFORE)).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_a_change_knows_how_many_runs_its_smaller_side_has():
    seeds = [1, 2, 3, 4]
    assert change(side(BEFORE, seeds), side(AFTER[:4], seeds)).runs == 4
    assert change(side(BEFORE), side(AFTER)).runs == 4
    assert change(side(BEFORE[:1]), side(AFTER)).runs == 1


def test_figures_that_are_infinite_in_some_runs_leave_the_change_open():
    found = change(side([1.0, 2.0]), side([math.inf, 2.0]))
    assert (found.estimate, found.low, found.high) == (0.0, -math.inf, math.inf)
    assert "0 or infinite in some of the runs" in found.uninformative
    worse = change(side([1.0, 2.0]), side([math.inf, math.inf]))
    assert (worse.low, worse.high, worse.uninformative) == (math.inf, math.inf, "")
