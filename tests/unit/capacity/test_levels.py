"""The levels of a varied key."""

import pytest

from harness.base.errors import UsageError
from harness.capacity.levels import parse_varied_key


def test_whole_numbers_go_up_by_one():
    one = parse_varied_key("server.workers=1..64")
    assert (one.key, len(one.values), one.step) == ("server.workers", 64, "1")
    assert [one.override(level) for level in (0, 63)] == ["server.workers=1", "server.workers=64"]


def test_quantities_go_up_by_five_percent_at_most_and_end_where_they_should():
    one = parse_varied_key("server.ingress=1MB/s..50MB/s")
    assert (one.text(0), one.text(len(one.values) - 1)) == ("1MB/s", "50MB/s")
    ratios = [b / a for a, b in zip(one.values, one.values[1:], strict=False)]
    assert 1.04 < min(ratios) <= max(ratios) < 1.052


def test_the_unit_may_stand_at_the_end_alone():
    assert parse_varied_key("client.timeout=4..8s", "1s").values == (4, 5, 6, 7, 8)
    assert parse_varied_key("client.timeout=4..8s", "1s").text(0) == "4s"


def test_a_range_runs_from_the_weakest_to_the_strongest_downwards_too():
    one = parse_varied_key("server.service_time=200ms..100ms", "50ms")
    assert [one.text(level) for level in range(3)] == ["200ms", "150ms", "100ms"]
    assert one.nearest(160) == 1


def test_percent_steps_of_whole_numbers_stay_whole_and_distinct():
    one = parse_varied_key("server.workers=1..64", "5%")
    assert one.values[:3] == (1.0, 2.0, 3.0)
    assert all(value.is_integer() for value in one.values)
    assert len(one.values) == len(set(one.values)) < 64


def test_the_last_step_may_be_shorter():
    assert parse_varied_key("server.workers=1..6", "2").values == (1, 3, 5, 6)


@pytest.mark.parametrize(
    "text", ["server.workers=8..1", "server.ingress=50MB/s..1MB/s", "server.service_time.median=20ms..400ms"]
)
def test_a_range_that_begins_with_the_strongest_is_refused(text):
    with pytest.raises(UsageError, match=r"begins with the strongest: write KEY=WEAKEST\.\.STRONGEST"):
        parse_varied_key(text)


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("server.workers", None), ("server.workers=4", None), ("server.workers=1..1", None), ("server.workers=0..4", None),
        ("server.ingress=1MB/s..50KB/s", None), ("server.workers=1..64", "0"), ("server.workers=1..64", "wide"),
        ("server.workers=1..99999999", None), ("server.workers=1.2.3..4", None), ("server.workers=1..64", "1.2.3"),
    ],
)  # fmt: skip
def test_what_is_not_a_range_is_refused(text, width):
    with pytest.raises(UsageError):
        parse_varied_key(text, width)
