"""The offset of another machine's clocks, from round trips whose delays are known."""

import random

import pytest

from harness.base.errors import UsageError
from harness.drive.distributed.leader_client import (
    ClockOffset,
    RoundTrip,
    clock_drift_s,
    estimate_offset,
    parse_clock_reply,
)

MONOTONIC_S, WALL_S = 1_234.5, -0.08
"""Our clocks less theirs."""


def trip(at_s, there_s, back_s):
    """A question asked at that moment of our clock, with what the ways took."""
    return RoundTrip(
        sent_s=at_s,
        received_s=at_s + there_s + back_s,
        sent_wall_s=1.7e9 + at_s,
        theirs_s=at_s + there_s - MONOTONIC_S,
        theirs_wall_s=1.7e9 + at_s + there_s - WALL_S,
    )


def test_ways_that_take_equally_long_give_the_exact_offset():
    offset = estimate_offset([trip(100.0, 0.02, 0.02)])
    assert offset.monotonic_s == pytest.approx(MONOTONIC_S, abs=1e-6)
    assert offset.wall_s == pytest.approx(WALL_S, abs=1e-5)
    assert offset.uncertainty_s == pytest.approx(0.02, abs=1e-6)


def test_of_several_the_round_trip_that_waited_least_decides():
    waited = [trip(100.0 + number, 0.3, 0.001) for number in range(15)]
    offset = estimate_offset([*waited, trip(120.0, 0.001, 0.001)])
    assert offset.monotonic_s == pytest.approx(MONOTONIC_S, abs=1e-6)
    assert offset.uncertainty_s == pytest.approx(0.001, abs=1e-6)


def test_whichever_way_took_longer_the_truth_lies_within_the_uncertainty():
    rng = random.Random(7)
    for _ in range(200):
        trips = [trip(rng.uniform(0, 1e5), rng.expovariate(50), rng.expovariate(50)) for _ in range(16)]
        offset = estimate_offset(trips)
        assert abs(offset.monotonic_s - MONOTONIC_S) <= offset.uncertainty_s + 1e-6
        assert abs(offset.wall_s - WALL_S) <= offset.uncertainty_s + 1e-5


def test_only_what_the_uncertainties_do_not_explain_is_drift():
    first = ClockOffset(5.0, 0.0, 0.01)
    assert clock_drift_s(first, ClockOffset(5.02, 0.0, 0.01)) == pytest.approx(0.0)
    assert clock_drift_s(first, ClockOffset(5.05, 0.0, 0.01)) == pytest.approx(0.03)
    assert clock_drift_s(first, ClockOffset(4.95, 0.0, 0.01)) == pytest.approx(-0.03)


@pytest.mark.parametrize("answer", [None, "now", {"theirs_s": 1.0}, {"sent_s": 1.0, "zone": "WIB"}])
def test_a_reply_of_another_version_is_a_usage_error_and_not_a_bug(answer):
    with pytest.raises(UsageError, match="install the same version of upload-harness on every machine"):
        parse_clock_reply(answer, 2.0)
