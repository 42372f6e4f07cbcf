"""A store that isn't empty: what was there before a run is left out, or the run is refused."""

import pytest

from harness.base.errors import UsageError
from harness.plan import make_plan
from harness.scenario.loader import load_scenario
from harness.target.earlier_store import EarlierStore, read_earlier_store
from harness.target.planned_pages import stored_row


@pytest.fixture(scope="module")
def plan():
    return make_plan(load_scenario("smoke", ["photos.size=2KB", "photos.bank=1", "stations.count=2"]))


def planned_row(plan, number, key=None):
    page = plan.page(number)
    return stored_row(key or page.key, page.sha256, page.size_bytes)


def test_what_was_there_before_is_left_out_and_a_second_copy_of_it_is_not(plan):
    old = stored_row(("x", "ppwp", 1), "a" * 64, 7)
    earlier = read_earlier_store([old], plan)
    new = planned_row(plan, 0)
    assert earlier.copies == 1
    assert list(earlier.without([old, new])) == [new]
    assert list(earlier.without([new, old, old])) == [new, old]


def test_a_copy_that_the_run_replaced_is_the_runs_own(plan):
    key = plan.key(0)
    earlier = read_earlier_store([stored_row(key, "b" * 64, 7)], plan)  # an earlier run's photo, by another seed
    new = planned_row(plan, 0)
    assert list(earlier.without([new])) == [new]
    assert list(earlier.without([stored_row(key, "b" * 64, 7)])) == []  # never replaced: the page is lost


def test_a_store_with_pages_of_this_very_plan_refuses_the_run(plan):
    rows = [planned_row(plan, number) for number in range(5)]
    with pytest.raises(UsageError, match=r"already has 5 of the 6 pages.*empty the store, or use another --seed"):
        read_earlier_store(rows, plan)


def test_planned_bytes_under_another_key_refuse_the_run_too(plan):
    elsewhere = planned_row(plan, 1, key=("3509999999999", "ppwp", 1))  # stored again, it would look like this one
    with pytest.raises(UsageError, match="already has 1 of the 6 pages"):
        read_earlier_store([elsewhere], plan)


def test_without_an_earlier_store_nothing_is_left_out(plan):
    assert list(EarlierStore().without([planned_row(plan, 2)])) == [planned_row(plan, 2)]
