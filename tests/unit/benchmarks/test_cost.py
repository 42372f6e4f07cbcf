"""What an upload costs, from what was seen of the rounds."""

import pytest

from benchmarks.peers.cost import CostRound, compute_cost, evaluate_goals, summarise_costs
from benchmarks.peers.round import ProcessCost


def steady(cpu_per_s, beside_per_s=0.0, seconds=10):
    moments = [float(second) for second in range(seconds + 1)]
    return ProcessCost(
        moments, [cpu_per_s * at for at in moments], [beside_per_s * at for at in moments], peak_bytes=50_000_000
    )


def cost(tool, cpu_us, number=0, case="small", per_s=3_000.0):
    return CostRound(tool, case, number, int(per_s * 5), 5.0, cpu_us, 0.0, cpu_us * per_s / 1e6, 40.0, 0)


def test_cpu_is_divided_by_the_uploads_of_the_same_time_and_starting_and_ending_are_left_out():
    answered = [2.0 + number / 100 for number in range(601)]  # from 2.0 to 8.0: judged from 3.0 to 7.5
    tally = steady(0.2, 0.05)
    tally.cpu_s = [used + 5.0 * (at >= 1) for at, used in zip(tally.at_s, tally.cpu_s, strict=True)]  # a dear start
    found = compute_cost("k6", "small", 3, answered, tally, errors=2)
    assert (found.uploads, found.seconds, found.round) == (450, 4.5, 3)
    assert found.cpu_us == pytest.approx(0.2 / 100 * 1e6)
    assert found.beside_cpu_us == pytest.approx(0.05 / 100 * 1e6)
    assert found.core_ratio == pytest.approx(0.2)
    assert (found.peak_mb, found.errors, found.per_s) == (50.0, 2, 100.0)


@pytest.mark.parametrize("answered", [[], [1.0], [1.0, 3.4]])
def test_a_round_too_short_to_be_measured_is_refused(answered):
    with pytest.raises(ValueError, match=r"at least 2|too short"):
        compute_cost("k6", "small", 0, answered, steady(0.2), 0)


def test_uploads_that_nobody_watched_are_refused_rather_than_guessed():
    with pytest.raises(ValueError, match="no samples"):
        compute_cost("k6", "small", 0, [6.0, 20.0], steady(0.2), 0)


def test_a_ratio_is_taken_round_by_round_even_where_a_round_is_missing():
    rounds = [cost("ours", 60, 0), cost("ours", 90, 2), cost("k6", 120, 0), cost("k6", 10, 1), cost("k6", 100, 2)]
    (ours, k6) = summarise_costs(rounds)
    assert ours.ratio is None
    assert k6.ratio is not None
    assert k6.ratio.median == pytest.approx(0.7)
    assert (k6.ratio.least, k6.ratio.greatest, k6.ratio.rounds) == (0.5, 0.9, 2)


@pytest.mark.parametrize(("ours_us", "met"), [(79.0, True), (80.0, True), (81.0, False)])
def test_a_goal_is_met_up_to_its_limit(ours_us, met):
    found = {
        (one.goal.case, one.goal.against): one
        for one in evaluate_goals(summarise_costs([cost("ours", ours_us), cost("k6", 100.0)]))
    }
    assert found["small", "k6"].met is met
    assert found["photos", "wrk"].met is None


@pytest.mark.parametrize(("per_s", "met"), [(9_999.0, False), (10_000.0, True)])
def test_the_rate_of_one_core_has_to_be_reached(per_s, met):
    found = evaluate_goals(summarise_costs([cost("ours", 80.0, case="saturation", per_s=per_s)]))
    assert [one.met for one in found if not one.goal.against] == [met]
