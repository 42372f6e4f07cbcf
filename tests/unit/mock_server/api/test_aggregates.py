"""Sums over what is stored."""

import gc
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.api import aggregates
from mock_server.api.aggregates import Region, VoteAggregates, region_path, with_rows, with_stations
from mock_server.http.forms import VOTES_PAGE


def row(row_id: int, code: str, page: int, votes: dict[str, int]) -> tuple[int, str, str]:
    return (row_id, code, json.dumps({"chart": votes}) if page == VOTES_PAGE else "")


codes = st.sampled_from(["3509191001001", "3509191001002", "3509191002001", "3510011001001", "1101012001001"])
uploads = st.lists(
    st.tuples(
        codes,
        st.integers(1, 3),
        st.dictionaries(st.sampled_from(["100025", "100026"]), st.integers(0, 500), max_size=2),
    ),
    max_size=40,
)


@pytest.mark.heavy
@settings(max_examples=150, deadline=None)
@given(uploads)
def test_at_every_level_the_sums_of_the_children_are_the_sum_of_the_region(drawn):
    found = with_rows(VoteAggregates(), [row(n, code, page, votes) for n, (code, page, votes) in enumerate(drawn, 1)])
    for code, region in found.regions.items():
        below = [found.regions.get(child) for child in region.children]
        if len(code) == 10:
            votes = [found.votes[child] for child in region.children]
            published, count = sum(map(bool, votes)), len(votes)
        else:
            published = sum(child.published for child in below if child)
            votes = [child.votes for child in below if child]
            count = sum(child.stations for child in below if child)
        assert (region.published, region.stations) == (published, count)
        for candidate in ("100025", "100026"):
            assert region.votes.get(candidate, 0) == sum(table.get(candidate, 0) for table in votes)


@pytest.mark.heavy
@settings(max_examples=100, deadline=None)
@given(uploads, st.integers(0, 40))
def test_going_on_from_a_snapshot_gives_the_same_as_beginning_anew(drawn, cut):
    rows = [row(n, code, page, votes) for n, (code, page, votes) in enumerate(drawn, 1)]
    assert with_rows(with_rows(VoteAggregates(), rows[:cut]), rows[cut:]) == with_rows(VoteAggregates(), rows)


MANY = [row(n, f"35{n:011d}", 2, {"100025": 1}) for n in range(1, 5001)]


def test_a_region_is_made_once_however_many_stations_it_has(monkeypatch):
    made = []

    def counted(*fields: object) -> Region:
        made.append(fields)
        return Region(*fields)  # type: ignore[arg-type]

    monkeypatch.setattr(aggregates, "Region", counted)
    found = with_rows(VoteAggregates(), MANY)
    assert len(made) == 2 * len(found.regions), "once to begin with, once in the end"
    assert found.regions["35"].votes == {"100025": 5000}


@pytest.mark.heavy
def test_the_garbage_collector_has_nothing_to_do_with_the_stations():
    gc.collect()
    before = len(gc.get_objects())
    found = with_rows(VoteAggregates(), MANY)
    assert len(gc.get_objects()) - before < 200, "a few for each region, none for a station"
    assert len(found.votes) == 5000


def test_what_is_asked_for_again_without_news_is_the_same_snapshot():
    found = with_rows(VoteAggregates(), MANY)
    assert with_rows(found, []) is found


def test_a_snapshot_is_not_changed_by_the_next_one():
    first = with_stations(VoteAggregates(), ["3509191001001"])
    with_rows(first, [row(1, "3509191001001", 2, {"100025": 7})])
    assert first.regions["35"].votes == {}
    assert first.votes["3509191001001"] == {}


def test_a_code_is_below_all_its_regions():
    assert region_path("350919") == ["", "35", "3509", "350919"]
