"""The places of stations: digits of a region's codes, or the groups of the user's own list."""

import numpy as np

from harness.analysis.places import Places, load_places

REGION = np.array(["3509191001001", "3509191001002", "3509191002001"], dtype=object)
OWN = np.array(["A", "B", "Ω"], dtype=object)
OWN_TABLE = {"file": "sites.csv", "groups": ["zone", "health district"]}


def test_a_regions_places_are_the_leading_digits():
    places = load_places(REGION, {"stations": {"region": "kaliwates"}}, None, None)
    names, number = places.numbered("kelurahan")
    assert (names, number.tolist()) == (["3509191001", "3509191002"], [0, 0, 1])
    assert places.numbered("province")[0] == ["35"]
    assert (places.group_label, places.of("3509191002001"), places.name("3509191001").upper()) == (
        "kelurahan", "3509191002", "MANGLI",
    )  # fmt: skip


def test_own_groups_are_columns_of_the_runs_own_copy(tmp_path):
    copy = tmp_path / "stations.csv"
    copy.write_text("code,zone,health district\nA,N,x\nB,N,y\nΩ,S,x\n", "utf-8")
    places = load_places(OWN, {"stations": OWN_TABLE}, None, copy)
    assert (places.labels, places.group_label, places.is_region) == (
        ("zone", "health district", "station"), "health district", False,
    )  # fmt: skip
    names, number = places.numbered("zone")
    assert (names, number.tolist()) == (["N", "S"], [0, 0, 1])
    assert (places.of("Ω"), places.numbered("station")[0]) == ("x", ["A", "B", "Ω"])


def test_a_copy_that_is_gone_leaves_empty_groups_and_breaks_nothing(tmp_path):
    places = load_places(OWN, {"stations": OWN_TABLE}, None, tmp_path / "gone.csv")
    assert (places.of("A"), places.numbered("zone")[0]) == ("", [""])


def test_stations_without_groups_have_no_places_but_themselves():
    places = Places(OWN, ("station",), groups_of={})
    assert (places.group_label, places.of("A"), places.numbered("station")[1].tolist()) == ("", "", [0, 1, 2])
