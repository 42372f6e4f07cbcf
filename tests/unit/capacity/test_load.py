"""More and fewer stations."""

import pytest

from harness.base.errors import ConfigurationError, UsageError
from harness.capacity.load import parse_loads, scale_load
from harness.plan.regions import load_region
from harness.scenario.arrivals import ClosedArrivals
from tests.support.simulations import scenario


def test_loads_are_ascending_factors():
    assert parse_loads("2x,0.5x, 1x,1x") == (0.5, 1.0, 2.0)


@pytest.mark.parametrize("text", ["", "1", "x", "0x", "-1x", "1.2.3x", "1x,,2x", "5000x"])
def test_what_is_not_a_factor_is_refused(text):
    with pytest.raises(UsageError):
        parse_loads(text)


def test_fewer_stations_are_spread_over_the_region(tmp_path):
    whole = scenario(stations={"region": "kaliwates"})
    assert scale_load(whole, 0.5, tmp_path).stations.count == 181
    assert scale_load(whole, 1, tmp_path) is whole


def test_more_stations_than_the_region_has_are_made_in_proportion(tmp_path):
    found = scale_load(scenario(stations={"region": "kaliwates"}), 2.5, tmp_path)
    stations = load_region(found.stations.region)
    assert len(stations) == 905
    names = [station.kelurahan_name for station in stations]
    assert names.count("MANGLI") in {125, 126} or names.count("Mangli") in {125, 126}


def test_the_region_is_written_once_because_simulations_may_be_reading_it(tmp_path):
    whole = scenario(stations={"region": "kaliwates"})
    path = tmp_path / "region-724.csv"
    assert scale_load(whole, 2, tmp_path).stations.region == str(path)
    before = path.stat()
    assert scale_load(whole, 2, tmp_path).stations.region == str(path)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert list(tmp_path.iterdir()) == [path]


def test_a_closed_loop_gets_more_phones_too(tmp_path):
    closed = scenario(arrivals={"kind": "closed", "phones": 3, "think": "1s"})
    found = scale_load(closed, 2, tmp_path)
    assert isinstance(found.arrivals, ClosedArrivals)
    assert (found.stations.count, found.arrivals.phones) == (4, 6)


def test_a_replay_is_refused(tmp_path):
    replay = scenario(arrivals={"kind": "replay", "due": {"3509191001001": 0.0}})
    with pytest.raises(ConfigurationError, match="due times for its own stations"):
        scale_load(replay, 2, tmp_path)


def test_a_kelurahan_that_would_be_too_large_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="at most 999"):
        scale_load(scenario(stations={"region": "kaliwates"}), 50, tmp_path)
