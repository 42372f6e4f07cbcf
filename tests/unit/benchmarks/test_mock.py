"""What `make bench` says of the mock server, and when it is not satisfied."""

import pytest

from benchmarks.mock import MockRound, format_table


def rounds(per_cpu_s: float = 1200.0, lags: tuple[float, ...] = (0.003, 0.004)) -> list[tuple[str, MockRound]]:
    mine = [("mock server", MockRound(5000, per_cpu_s, 900.0, lag)) for lag in lags]
    return [
        *mine,
        ("aiohttp, digest", MockRound(5500, 1000.0, 950.0)),
        ("aiohttp, discard", MockRound(6000, 2400.0, 1000.0)),
    ]


def test_everything_that_was_measured_stands_in_one_table():
    text, is_good = format_table(rounds(), (100_000, 1.5))
    assert is_good
    for word in ("1,200", "1,000", "2,400", "1.20", "0.50", ">= 1,000", "4.0 ms", "< 20 ms", "+1.5 MB", "100,000"):
        assert word in text


@pytest.mark.parametrize(
    ("found", "memory"),
    [
        (rounds(per_cpu_s=999.0), None),
        (rounds(lags=(0.003, 0.021)), None),
        (rounds(), (100_000, 8.0)),
    ],
)
def test_too_slow_too_late_once_or_growing_is_not_good(found, memory):
    assert format_table(found, memory)[1] is False
