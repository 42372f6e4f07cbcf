"""When a level is decided."""

import pytest

from harness.capacity.sampling import SamplingRule, VoteCount, count_votes


@pytest.mark.parametrize(("probability", "seeds"), [(0.9, 29), (0.95, 59), (0.99, 299)])
def test_a_level_without_a_failure_passes_after_as_many_seeds_as_the_confidence_needs(probability, seeds):
    rule = SamplingRule(probability)
    assert rule.fewest == seeds
    assert rule.decide(seeds - 1, 0) is None
    assert rule.decide(seeds, 0) == "passes"


def test_two_failures_at_once_show_that_a_level_fails_and_one_does_not():
    rule = SamplingRule()
    assert rule.decide(0, 1) is None
    assert rule.decide(0, 2) == "fails"
    assert rule.decide(57, 2) is None


def test_a_level_that_fails_now_and_then_passes_only_after_many_seeds():
    rule = SamplingRule()
    assert (rule.most, rule.failures_allowed) == (236, 2)
    assert rule.decide(233, 2) is None
    assert rule.decide(234, 2) == "passes"
    assert rule.decide(233, 3) == "undecided"


def test_the_interval_is_clopper_and_pearsons():
    rule = SamplingRule()
    low, high = rule.interval(59, 0)
    assert (low, high) == pytest.approx((0.05 ** (1 / 59), 1.0))
    assert rule.interval(0, 2) == pytest.approx((0.0, 1 - 0.05**0.5))
    assert rule.interval(0, 0) == (0.0, 1.0)


def test_votes_are_taken_only_until_they_decide():
    votes = iter([False, None, False, True, True])
    assert count_votes(votes, SamplingRule()) == VoteCount(0, 2, 1, "fails")
    assert list(votes) == [True, True]


def test_votes_that_end_too_early_decide_nothing():
    assert count_votes([True] * 58, SamplingRule()) == VoteCount(58, 0, 0, "undecided")


def test_a_level_of_which_nobody_can_tell_is_undecided_and_ends():
    rule = SamplingRule(0.9)
    assert count_votes((None for _ in range(10_000)), rule) == VoteCount(0, 0, rule.most + 1, "undecided")
