"""The table [readers]."""

import pytest

from harness.base.errors import ConfigurationError
from harness.scenario.loader import load_scenario
from harness.scenario.scenario import parse_resolved

TARGET = 'target={path="/p", stored={kind="none"}}'


def problem(*overrides):
    with pytest.raises(ConfigurationError) as caught:
        load_scenario("smoke", overrides)
    return str(caught.value)


def test_nobody_reads_unless_the_scenario_says_so():
    assert load_scenario("smoke").readers is None


def test_a_rate_suffices_and_every_level_is_read_from_the_cache():
    readers = load_scenario("smoke", ["readers.rate=3000/min"]).readers
    assert readers is not None
    assert (readers.rate, readers.cached, readers.conditional) == (50.0, True, False)
    assert readers.levels == ("nation", "province", "kabupaten", "kecamatan", "kelurahan", "station")


def test_what_is_resolved_reads_back():
    loaded = load_scenario("smoke", ["readers.rate=7/s", 'readers.paths=["/a"]', "readers.cached=false"])
    assert parse_resolved(loaded.resolved()) == loaded


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("readers.rate=50", "readers.rate"),
        ("readers.rate=0/s", "readers.rate"),
        ("readers.cached=true", "readers.rate"),
    ],
)  # fmt: skip
def test_a_rate_needs_its_unit_and_must_be_above_0(override, message):
    assert message in problem(override)


def test_a_path_begins_with_a_slash():
    assert "should be a path that begins with /" in problem("readers.rate=1/s", 'readers.paths=["status.json"]')
    assert "should be a path that begins with /" in problem(
        "readers.rate=1/s", 'readers.paths=["/a HTTP/1.1\\r\\nX: y"]'
    )


def test_levels_and_paths_exclude_each_other():
    assert "leave one of them out" in problem("readers.rate=1/s", 'readers.paths=["/a"]', 'readers.levels=["nation"]')


def test_the_longest_run_ends_with_the_last_read():
    loaded = load_scenario("smoke", ["readers.rate=1/s", "readers.timeout=1m"])
    assert loaded.longest_s == loaded.deadline + 60
