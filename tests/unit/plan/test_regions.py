"""Region files, right and wrong."""

import pytest

from harness.base.errors import ConfigurationError
from harness.plan.regions import load_kelurahan_names, load_region, parse_region


@pytest.mark.heavy
@pytest.mark.parametrize(("region", "stations"), [("kaliwates", 362), ("jember", 7_706), ("provinces", 823_332)])
def test_a_shipped_region_has_its_published_number_of_stations(region, stations):
    found = load_region(region)
    codes = [station.code for station in found]
    assert len(set(codes)) == stations
    assert codes == sorted(codes)
    assert {len(code) for code in codes} == {13}


@pytest.mark.heavy
@pytest.mark.parametrize("region", ["kaliwates", "provinces"])
def test_names_are_those_of_the_stations(region):
    assert load_kelurahan_names(region) == {
        station.kelurahan: station.kelurahan_name for station in load_region(region)
    }


def test_a_station_is_the_same_whether_asked_for_by_its_place_or_in_its_turn():
    found = parse_region("3509191002,B,2\n3509191001,A,3\n11,ACEH,1001\n", "x")
    assert len(found) == 1006
    one_by_one = list(found)
    assert [found[place] for place in range(1006)] == one_by_one == found[:]
    assert [one.code for one in found[-5:]] == [
        "3509191001001", "3509191001002", "3509191001003", "3509191002001", "3509191002002",
    ]  # fmt: skip
    assert (found[1003].kelurahan_name, found[-1].kelurahan_name) == ("A", "B")
    assert found[500].code == "1199999001501"
    assert found[501].code == "1199999002001"
    for place in (1006, -1007):
        with pytest.raises(IndexError):
            found[place]


def test_where_only_totals_are_known_stations_sit_in_synthetic_kelurahan_of_at_most_999():
    found = parse_region("code,name,stations\n11,ACEH,2000\n", "x")
    sizes: dict[str, int] = {}
    for station in found:
        sizes[station.kelurahan] = sizes.get(station.kelurahan, 0) + 1
    assert sizes == {"1199999001": 667, "1199999002": 667, "1199999003": 666}
    assert found[0].kelurahan_name == "ACEH (synthetic 1)"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("3509191001,MANGLI", "has 2 fields"),
        ("35091910,MANGLI,5", 'code "35091910" should have 10 digits'),
        ("3509191001,MANGLI,0", 'stations "0" should be a number from 1'),
        ("3509191001,MANGLI,-4", 'stations "-4"'),
        ("3509191001,MANGLI,1000", "at most 999"),
        ("٣٥٠٩١٩١٠٠١,MANGLI,5", "should have 10 digits"),
    ],
)
def test_a_wrong_line_is_named(line, said):
    with pytest.raises(ConfigurationError) as caught:
        parse_region(f"code,name,stations\n3509191002,SEMPUSARI,3\n{line}\n", "mine.csv")
    assert said in str(caught.value)
    assert "line 3" in str(caught.value)
    assert "mine.csv" in str(caught.value)


def test_a_kelurahan_that_stands_twice_is_refused():
    with pytest.raises(ConfigurationError, match="duplicate code"):
        parse_region("3509191001,A,3\n3509191001,B,3\n", "x")


def test_more_stations_than_any_election_has_are_refused_before_they_are_made():
    with pytest.raises(ConfigurationError, match="more than 2,000,000"):
        parse_region("11,A,1999999\n12,B,1999999\n", "x")


def test_an_empty_file_is_refused():
    with pytest.raises(ConfigurationError, match="no stations"):
        parse_region("code,name,stations\n", "x")


def test_a_file_of_wrong_lines_is_given_up_after_fifty():
    text = "\n".join(f"x{number},NAME,3" for number in range(1_000))
    with pytest.raises(ConfigurationError) as refused:
        parse_region(text, "region.csv")
    assert len(refused.value.problems) == 51
    assert refused.value.problems[-1] == "possibly more: this is not a region file"


def test_a_byte_order_mark_is_understood(tmp_path):
    (tmp_path / "r.csv").write_bytes(b'\xef\xbb\xbfcode,name,stations\r\n3509191001,"Jember, Kidul",3\r\n')
    stations = load_region(str(tmp_path / "r.csv"))
    assert [(one.code, one.kelurahan_name) for one in stations][-1] == ("3509191001003", "Jember, Kidul")


def test_semicolons_are_refused_by_name(tmp_path):
    (tmp_path / "r.csv").write_text("code;name;stations\n3509191001;Mangli;3\n", "utf-8")
    with pytest.raises(ConfigurationError, match="fields separated by semicolons, expected 3 separated by commas"):
        load_region(str(tmp_path / "r.csv"))
