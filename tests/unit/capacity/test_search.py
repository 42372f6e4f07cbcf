"""The search over ordered levels."""

import pytest

from harness.capacity.search import Bracket, LevelSearch, SearchInterruptedError, bracket_of


def search(levels, demand, start=0):
    """A search where every level from `demand` on passes, with the levels that it tried."""
    tried: list[int] = []

    def decide(level):
        tried.append(level)
        return "passes" if level >= demand else "fails"

    return LevelSearch(levels, decide, start), tried


@pytest.mark.parametrize("start", [0, 3, 40, 63])
@pytest.mark.parametrize("demand", [1, 2, 5, 31, 32, 63])
def test_the_bracket_is_as_narrow_as_the_levels_wherever_the_search_starts(demand, start):
    one, tried = search(64, demand, start)
    assert one.run() == Bracket(demand, demand - 1)
    assert one.is_complete
    assert len(tried) == len(set(tried)) <= 15


def test_a_range_whose_weakest_level_passes_has_no_level_that_fails():
    one, tried = search(64, 0)
    assert one.run() == Bracket(0, None)
    assert tried == [0, 1]


def test_a_range_in_which_nothing_passes_is_tried_up_to_its_strongest_level():
    one, tried = search(64, 64, start=2)
    assert one.run() == Bracket(None, 63)
    assert tried == [2, 3, 5, 9, 17, 33, 63]


def test_a_single_level_is_a_range():
    assert search(1, 0)[0].run() == Bracket(0, None)
    assert search(1, 1)[0].run() == Bracket(None, 0)


def test_a_stronger_level_that_does_not_pass_is_named():
    one = LevelSearch(8, lambda level: "passes" if level == 1 else "fails")
    assert one.run() == Bracket(1, 0, (), (3,))


def test_undecided_levels_widen_the_bracket():
    assert bracket_of({0: "fails", 1: "undecided", 2: "undecided", 3: "passes"}) == Bracket(3, 0, (1, 2))
    assert bracket_of({0: "fails", 1: "undecided", 3: "passes"}).width == 3


def test_an_interrupted_search_keeps_what_it_knows():
    def decide(level):
        if level == 5:
            raise SearchInterruptedError
        return "passes" if level >= 6 else "fails"

    one = LevelSearch(8, decide)
    assert one.run() == Bracket(7, 3)
    assert not one.is_complete
