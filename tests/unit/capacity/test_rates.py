"""Doubling, then bisecting, on targets of which the capacity is known."""

import pytest

from harness.capacity.rates import RateSearch
from harness.capacity.search import SearchInterruptedError


def search(capacity, *, start=4.0, most=100.0, least=0.5, undecided=(), stop_after=99):
    tried: list[float] = []

    def decide(rate):
        if len(tried) == stop_after:
            raise SearchInterruptedError
        tried.append(rate)
        return "undecided" if rate in undecided else "sustained" if rate <= capacity else "grows"

    found = RateSearch(decide, start, most, 1.05, least)
    found.run()
    return found, tried


@pytest.mark.parametrize("capacity", [0.7, 3.0, 13.3, 62.5, 99.0])
def test_the_capacity_lies_between_the_two_within_the_width(capacity):
    found, tried = search(capacity)
    assert found.is_complete
    assert found.bears <= capacity < found.fails
    assert found.fails / found.bears <= 1.05
    assert max(tried) <= 100
    assert len(tried) <= 12


def test_it_doubles_until_the_greatest_rate_and_goes_no_further():
    found, tried = search(1000)
    assert tried == [4, 8, 16, 32, 64, 100]
    assert (found.bears, found.fails, found.is_complete) == (100, None, True)


def test_a_target_that_bears_nothing_is_tried_down_to_the_least():
    found, tried = search(0.1)
    assert tried == [4, 1, 0.5]
    assert (found.bears, found.fails) == (None, 0.5)


def test_what_is_undecided_is_not_borne():
    found, _ = search(50, undecided={32.0})
    assert found.fails <= 32
    assert found.bears < 32


def test_an_interruption_leaves_what_is_known():
    found, tried = search(13.3, stop_after=3)
    assert (len(tried), found.is_complete, found.bears, found.fails) == (3, False, 8, 16)
