"""Times of day: placed after T0, in election time, and refused where nobody can tell when T0 is."""

import pytest

from harness.base.errors import ConfigurationError
from harness.scenario.loader import load_scenario

EVENING = """
name = "evening"
starts_at = "17:00"
deadline = "21:00"
time_scale = 60
[arrivals]
kind = "curve"
points = [["17:30", 0.0], ["20:00", 0.5], ["20:45", 1.0]]
[[faults]]
kind = "capacity"
factor = 0.5
start = "18:00"
duration = "30s"
"""


def load(tmp_path, text, *overrides):
    file = tmp_path / "evening.toml"
    file.write_text(text, "utf-8")
    return load_scenario(str(file), overrides)


def test_times_of_day_count_from_t0_in_election_time(tmp_path):
    found = load(tmp_path, EVENING)
    assert (found.deadline, found.faults[0].start, found.faults[0].duration) == (240.0, 60.0, 30.0)
    assert found.arrivals.points == ((30.0, 0.0), (180.0, 0.5), (225.0, 1.0))
    assert found.resolved()["deadline"] == "240s"  # nothing else has to know of times of day


def test_a_time_of_day_before_the_start_is_the_next_mornings(tmp_path):
    assert load(tmp_path, EVENING, "deadline=03:00", "time_scale=3600").deadline == 10.0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (('starts_at = "17:00"\n', ""), 'deadline = "21:00" is a time of day: add starts_at'),
        (('starts_at = "17:00"', 'starts_at = "five"'), "should be a time of day from 00:00 to 23:59:59"),
        (('deadline = "21:00"', 'deadline = "25:00"'), "deadline"),
    ],
)
def test_a_time_that_cannot_be_placed_is_refused_by_name(tmp_path, change, why):
    with pytest.raises(ConfigurationError, match=why):
        load(tmp_path, EVENING.replace(*change))
