"""Sums over what is stored."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.tally import Tally, region_path, with_rows, with_stations


def row(row_id: int, code: str, page: int, votes: dict[str, int] | None) -> tuple[int, str, int, str, float, str]:
    reading = "" if votes is None else json.dumps({"chart": votes})
    return (row_id, code, page, reading, float(row_id), f"receipt {row_id}")


codes = st.sampled_from(["3509191001001", "3509191001002", "3509191002001", "3510011001001", "1101012001001"])
uploads = st.lists(
    st.tuples(
        codes,
        st.integers(1, 3),
        st.dictionaries(st.sampled_from(["100025", "100026"]), st.integers(0, 500), max_size=2),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(uploads)
def test_at_every_level_the_sums_of_the_children_are_the_sum_of_the_region(drawn):
    tally = with_rows(Tally(), [row(n, code, page, votes) for n, (code, page, votes) in enumerate(drawn, 1)])
    for code, region in tally.regions.items():
        below = [tally.regions.get(child) for child in region.children]
        if len(code) == 10:
            stations = [tally.stations[child] for child in region.children]
            published = sum(station.has_votes for station in stations)
            votes = [station.votes for station in stations]
            count = len(stations)
        else:
            published = sum(child.published for child in below if child)
            votes = [child.votes for child in below if child]
            count = sum(child.stations for child in below if child)
        assert (region.published, region.stations) == (published, count)
        for candidate in ("100025", "100026"):
            assert region.votes.get(candidate, 0) == sum(table.get(candidate, 0) for table in votes)


@settings(max_examples=100, deadline=None)
@given(uploads, st.integers(0, 40))
def test_going_on_from_a_snapshot_gives_the_same_as_beginning_anew(drawn, cut):
    rows = [row(n, code, page, votes) for n, (code, page, votes) in enumerate(drawn, 1)]
    assert with_rows(with_rows(Tally(), rows[:cut]), rows[cut:]) == with_rows(Tally(), rows)


def test_a_snapshot_is_not_changed_by_the_next_one():
    first = with_stations(Tally(), ["3509191001001"])
    with_rows(first, [row(1, "3509191001001", 2, {"100025": 7})])
    assert first.regions["35"].votes == {}
    assert first.stations["3509191001001"].has_votes is False


def test_a_code_is_below_all_its_regions():
    assert region_path("350919") == ["", "35", "3509", "350919"]
