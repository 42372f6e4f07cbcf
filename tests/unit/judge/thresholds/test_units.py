from __future__ import annotations

import pytest

from harness.judge.thresholds.units import format_value, parse_limit, unit_from_name


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("10", "s", 10.0),
        ("10s", "s", 10.0),
        ("50ms", "s", 0.05),
        ("95%", "ratio", 0.95),
        ("99.9 %", "ratio", 0.999),
        ("0.95", "ratio", 0.95),
        ("1.5MB", "B", 1_500_000.0),
        ("100", "B", 100.0),
        ("8Mbit/s", "B/s", 1_000_000.0),
        ("20/s", "per_s", 20.0),
        ("20", "per_s", 20.0),
        ("1e3", "", 1_000.0),
        ("false", "", 0.0),
        ("true", "", 1.0),
    ],
)
def test_a_limit_is_read_in_the_unit_of_its_figure(text, unit, value):
    assert parse_limit(text, unit) == value


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("50 parsecs", "s", '"50 parsecs" is not a duration'),
        ("5%", "s", "is not a duration"),
        ("10s", "", '"10s" is not a number'),
        ("ten", "per_s", '"ten" is not a number'),
        ("ten/s", "per_s", "is not a number"),
        ("1MB", "B/s", "is not a rate"),
        ("95 percent", "ratio", "is not a ratio"),
        ("95", "ratio", '95 would be 9500 %: write "95%"'),
        ("nan", "s", '"nan" is not a valid limit'),
        ("inf", "s", '"inf" is not a valid limit'),
    ],
)
def test_a_limit_in_another_unit_is_refused_with_what_is_allowed(text, unit, message):
    with pytest.raises(ValueError, match=message):
        parse_limit(text, unit)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("sent_bytes_per_s", "B/s"),
        ("goodput_per_s", "per_s"),
        ("memory_max_bytes", "B"),
        ("completed_ratio", "ratio"),
        ("loop_lag_max_s", "s"),
        ("amplification", ""),
        ("stations", ""),
    ],
)
def test_a_name_tells_its_unit(name, unit):
    assert unit_from_name(name) == unit


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "s", "0 s"),
        (0.0123, "s", "12.3 ms"),
        (1.0, "s", "1 s"),
        (72.46, "s", "72.5 s"),
        (12_345.6, "s", "12,346 s"),
        (-0.25, "s", "-250 ms"),
        (0.9214, "ratio", "92.1 %"),
        (1_086.0, "", "1,086"),
        (1.018, "", "1.02"),
        (1_769_600_000.0, "B", "1.77 GB"),
        (512.0, "B", "512 B"),
        (48_659_133.4, "B/s", "48.7 MB/s"),
        (29.86, "per_s", "29.9/s"),
    ],
)
def test_figures_are_shown_to_three_digits_with_their_unit(value, unit, text):
    assert format_value(value, unit) == text
