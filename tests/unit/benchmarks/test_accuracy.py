"""What is true of a tool's responses, and how far from it a tool may be."""

import pytest

from benchmarks.peers.accuracy import (
    AccuracyRound,
    lag_p99_s,
    percentiles,
    responses_from_due,
    scheduled_responses,
    summarise_accuracy,
)
from benchmarks.peers.reference_server import ObservedRequest

TRUE = {"p50": 0.020, "p99": 0.200, "p99_9": 0.300}


def seen(arrived_s, took_s=0.01, path="/x"):
    return ObservedRequest(path, arrived_s, arrived_s + took_s, arrived_s + took_s)


def truth(told, tool="ours", service=None, lateness=None):
    return AccuracyRound(tool, "200/s", 1000, 200.0, told, TRUE, service or {}, 0.001, lateness or {})


def test_a_true_response_counts_from_the_due_time_not_from_the_arrival():
    rows = [seen(10.0, path="/a"), seen(13.0, path="/b")]
    assert responses_from_due(rows, {"/a": 9.9, "/b": 11.0}) == pytest.approx([0.11, 2.01])


def test_those_who_come_while_the_server_is_frozen_wait_until_it_thaws_even_if_the_tool_sent_nothing():
    """A tool of one connection sends 100/s for a second, then is stuck in the one request that the freeze caught."""
    rows = (
        [seen(number / 100) for number in range(100)] + [seen(1.0, 2.01)] + [seen(3.02 + n / 100) for n in range(100)]
    )
    found = scheduled_responses(rows, freeze_after_s=1.0)
    late = sorted(one for one in found if one > 0.02)
    assert len(found) == 400
    assert len(late) == pytest.approx(199, abs=1)
    assert late[-1] == pytest.approx(2.01)
    assert percentiles(late)["p50"] == pytest.approx(1.01, abs=0.02)


def test_without_a_freeze_the_truth_is_what_each_request_met():
    assert scheduled_responses([seen(1.0, 0.02), seen(2.0, 0.03)], None) == pytest.approx([0.02, 0.03])


def test_the_servers_own_lag_is_what_it_answered_after_the_moment_that_was_drawn():
    assert lag_p99_s([ObservedRequest("/", 1.0, 1.02, 1.025)]) == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("told", "holds"),
    [
        ({"p50": 0.0219, "p99": 0.2039, "p99_9": 0.3149}, True),
        ({"p50": 0.0221, "p99": 0.2039, "p99_9": 0.3149}, False),
        ({"p50": 0.0219, "p99": 0.2041, "p99_9": 0.3149}, False),
        ({"p50": 0.0219, "p99": 0.2039, "p99_9": 0.3151}, False),
        ({"p50": 0.0179, "p99": 0.2039, "p99_9": 0.3149}, False),
    ],
)
def test_what_is_told_holds_within_two_milliseconds_or_two_percent_and_five_in_the_far_tail(told, holds):
    (line,) = summarise_accuracy([truth(told)])
    assert line.holds is holds


def test_rounds_that_are_off_to_either_side_do_not_cancel():
    (line,) = summarise_accuracy([truth({"p50": 0.020 + off}) for off in (-0.003, -0.003, 0.003, 0.003)])
    assert line.percentiles["p50"].error_s == pytest.approx(0.0)
    assert not line.percentiles["p50"].holds


def test_one_bad_round_of_five_does_not_decide():
    (line,) = summarise_accuracy([truth({"p50": 0.020 + off}) for off in (0.0, 0.001, 0.001, 0.0, 0.5)])
    assert line.percentiles["p50"].holds


def test_lateness_is_the_median_of_the_rounds_and_unknown_where_one_has_none():
    late = [{"p99": 0.001}, {"p99": 0.009}, {"p99": 0.002}]
    assert summarise_accuracy([truth({}, lateness=one) for one in late])[0].lateness == {"p99": 0.002}
    assert summarise_accuracy([truth({}, lateness=one) for one in [*late, {}]])[0].lateness == {}
