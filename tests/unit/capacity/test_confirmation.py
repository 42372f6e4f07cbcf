"""A bracket that is held against measured runs."""

from itertools import count

from harness.analysis.capacity import PlayedSeed
from harness.capacity.confirmation import INTERRUPTED, MOST_MOVES, BracketConfirmer
from harness.capacity.sampling import SamplingRule
from harness.capacity.search import SearchInterruptedError

LEVELS = 16


def run(seed, met):
    return PlayedSeed(
        seed=seed, met=met, completed_ratio=1.0, complete_95_s=1.0, finish_s=1.0, amplification=1.0,
        why_unknown="late" if met is None else "",
    )  # fmt: skip


def confirm(passes, real, most_likely=lambda _: 0.05):
    """Confirm that `passes` is the least level; `real` gives the votes of a level, the last one for ever."""
    measured: list[int] = []

    def measure(level):
        measured.append(level)
        votes = real(level)
        for number in count():
            yield run(number, votes[min(number, len(votes) - 1)])

    found = BracketConfirmer(LEVELS, SamplingRule(), measure, most_likely).confirm(passes)
    return found, measured


def from_level(needed):
    return lambda level: [level >= needed]


def test_a_bracket_that_the_runs_bear_out_is_confirmed_by_three_of_each():
    found, measured = confirm(5, from_level(5))
    assert (found.passes, found.fails, found.state, measured) == (5, 4, "confirmed", [5, 4])
    assert {level: [one.met for one in runs] for level, runs in found.measured.items()} == {
        5: [True] * 3,
        4: [False] * 3,
    }


def test_a_level_whose_runs_fail_moves_the_bracket_up():
    found, measured = confirm(5, from_level(6))
    assert (found.passes, found.fails, found.state, measured) == (6, 5, "moved", [5, 6])


def test_a_level_below_whose_runs_pass_moves_the_bracket_down():
    found, measured = confirm(5, from_level(4))
    assert (found.passes, found.fails, found.state, measured) == (4, 3, "moved", [5, 4, 3])


def test_one_failure_of_three_contradicts_nothing():
    found, _ = confirm(5, lambda level: [True, False, True] if level == 5 else [False])
    assert (found.passes, found.fails, found.state) == (5, 4, "confirmed")


def test_three_passes_contradict_only_a_level_of_which_the_twin_is_sure():
    found, _ = confirm(5, from_level(4), most_likely=lambda _: 0.8)
    assert (found.passes, found.fails, found.state) == (5, 4, "confirmed")


def test_the_weakest_level_has_none_below_it():
    found, measured = confirm(0, from_level(0))
    assert (found.passes, found.fails, found.state, measured) == (0, None, "confirmed", [0])


def test_a_strongest_level_whose_runs_fail_leaves_nothing_in_the_range():
    found, _ = confirm(LEVELS - 1, from_level(LEVELS))
    assert (found.passes, found.fails, found.state) == (None, LEVELS - 1, "moved")


def test_an_invalid_run_is_repeated_and_is_no_vote():
    found, _ = confirm(5, lambda level: [None, level >= 5])
    assert (found.state, [one.met for one in found.measured[5]]) == ("confirmed", [None, True, True, True])


def test_nobody_can_tell_if_the_runs_stay_invalid():
    found, _ = confirm(5, lambda _: [None])
    assert (found.state, len(found.measured[5])) == ("unknown", 6)
    assert found.why_unknown == "6 of 6 measured runs were INVALID: late"


def test_twin_and_reality_that_disagree_again_and_again_give_no_number():
    # a brownout that the model does not know: however many workers, the runs fail
    found, measured = confirm(2, lambda _: [False])
    assert found.state == "unknown"
    assert "simulated and measured runs disagree" in found.why_unknown
    assert len(measured) == MOST_MOVES + 1


def test_interrupted_runs_leave_the_rest_unknown():
    def measure(level):
        if level == 4:
            raise SearchInterruptedError
        yield from (run(number, met=True) for number in count())

    found = BracketConfirmer(LEVELS, SamplingRule(), measure, lambda _: 0.05).confirm(5)
    assert (found.state, found.why_unknown, list(found.measured)) == ("unknown", INTERRUPTED, [5, 4])
