"""The shape of a load from a log: its uploads if it has any, and a scenario that loads."""

import tomllib

import pytest

from harness.base.errors import UsageError
from harness.scenario.access_log import parse_access_log, read_access_log, with_logged_arrivals
from harness.scenario.loader import load_scenario, scenario_template

LOG = [
    '9.9.9.9 - - [14/Feb/2024:17:44:00 +0700] "GET / HTTP/1.1" 200 5',
    '9.9.9.9 - - [14/Feb/2024:17:44:10 +0700] "PUT /a HTTP/1.1" 201 5 "-" "curl"',
    '9.9.9.9 - - [14/Feb/2024:10:44:50 +0000] "POST /c HTTP/1.1" 201 5',
    '9.9.9.9 - - [14/Feb/2024:17:44:30 +0700] "PUT /b HTTP/1.1" 201 5',
    "garbage",
]


def test_uploads_are_counted_from_the_first_whatever_zone_or_order_they_are_in():
    found = parse_access_log(LOG, "x.log")
    assert (found.at_s, found.only_uploads, found.unread, found.peak_per_s) == ((0.0, 20.0, 40.0), True, 1, 1)


def test_a_log_without_uploads_counts_every_request_and_json_lines_are_read_too():
    lines = [f'{{"time": "2024-02-14T17:44:0{second}Z", "method": "GET"}}' for second in (0, 4)]
    found = parse_access_log(lines, "x.log")
    assert (found.at_s, found.only_uploads) == ((0.0, 4.0), False)


def test_the_curve_rises_from_nothing_to_all_in_the_order_of_time():
    points = parse_access_log(LOG, "x.log").points()
    times, shares = zip(*points, strict=True)
    assert (points[0], points[-1]) == ((0.0, 0.0), (40.0, 1.0))
    assert list(times) == sorted(set(times))
    assert list(shares) == sorted(shares)
    assert dict(points)[20.0] == pytest.approx(2 / 3, abs=1e-6)


def test_what_is_written_is_a_scenario_with_as_many_pages_as_uploads(tmp_path):
    lines = [f'- - - [14/Feb/2024:17:{n // 60:02d}:{n % 60:02d} +0700] "PUT /a HTTP/1.1" 201 5' for n in range(1500)]
    text = with_logged_arrivals(scenario_template("mine"), parse_access_log(lines, "x.log"), "x.log")
    (tmp_path / "mine.toml").write_text(text, "utf-8")
    scenario = load_scenario(str(tmp_path / "mine.toml"))
    assert (scenario.stations.region, scenario.stations.count, scenario.deadline) == ("jember", 500, 1799.0)
    assert tomllib.loads(text)["arrivals"]["kind"] == "curve"
    assert "1,500 uploads over 1,499 s, at most 1 in a second" in text


@pytest.mark.parametrize(("lines", "why"), [([], "no line with a time"), (LOG[:1], "all its requests in one second")])
def test_a_log_without_a_shape_is_refused(lines, why):
    with pytest.raises(UsageError, match=why):
        parse_access_log(lines, "x.log")


def test_a_log_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="can't be read"):
        read_access_log(tmp_path / "none.log")
