"""A way in and out that all connections share: each gets its part, and bytes that nobody wants take their part, too."""

from typing import Any

import pytest
from prometheus_client import generate_latest

from harness.simulate.clock import VirtualClock
from harness.simulate.shared_line import VirtualLine
from tests.support.simulations import one_station, play

ONCE = {"timeout": "30s", "retry": {"strategy": "none"}}
AT_ONCE: dict[str, Any] = {
    "stations": {"region": "kaliwates", "count": 4},
    "arrivals": {"kind": "constant", "over": "4ms"},
}


def test_a_line_shares_its_rate_and_calls_back_when_each_transfer_is_through():
    clock, ends = VirtualClock(), dict[str, float]()
    line = VirtualLine(clock, 100.0)
    line.start(100, float("inf"), lambda: ends.update(small=clock.now_s))
    line.start(300, float("inf"), lambda: ends.update(large=clock.now_s))
    given_up = line.start(1e6, 10.0, lambda: ends.update(never=clock.now_s))
    clock.call_at(0.0, line.cancel, given_up)
    clock.run(100.0)
    assert ends == {"small": pytest.approx(2.0), "large": pytest.approx(4.0)}


def test_the_line_knows_how_much_of_it_was_used_and_how_many_wait():
    clock = VirtualClock()
    line = VirtualLine(clock, 100.0)
    line.start(50, float("inf"), lambda: None)
    line.start(200, 20.0, lambda: None)
    assert line.waiting == 2
    clock.advance(1.0)
    assert line.utilisation_ratio == pytest.approx(0.7), "50 bytes and a second at 20"
    clock.advance(2.0)
    assert line.utilisation_ratio == pytest.approx(0.2)


def test_stations_that_send_at_once_share_the_way_in():
    photos = {"size": "1MB", "bank": 1}
    played = play(
        photos=photos, client=ONCE, server={"workers": 100, "service_time": "1ms", "ingress": "1MB/s"}, **AT_ONCE
    )
    assert played.outcomes == {"accepted": 12}
    assert played.rows["done_s"].max() == pytest.approx(12.0, rel=0.01), "12 MB at 1 MB/s"
    assert played.service_s[0] == pytest.approx(4.0, rel=0.02), "four at a time, each with a quarter"


def test_a_slow_link_of_ones_own_leaves_the_rest_to_the_others():
    photos = {"size": "1MB", "bank": 1}
    client = {**ONCE, "link": {"upload": "100KB/s"}}
    played = play(
        photos=photos, client=client, server={"workers": 100, "service_time": "1ms", "ingress": "10MB/s"}, **AT_ONCE
    )
    assert played.service_s == pytest.approx([10.0] * 12, rel=0.01)


def test_what_cannot_come_through_in_time_times_out_and_frees_the_line():
    photos = {"size": "1MB", "bank": 1}
    client = {"timeout": "2s", "retry": {"strategy": "none"}}
    played = play(photos=photos, client=client, server={"service_time": "1ms", "ingress": "400KB/s"}, **AT_ONCE)
    assert played.outcomes == {"timeout_response": 12}
    assert played.stored == []


def test_a_refused_body_still_takes_its_way_in_before_the_next_request():
    faults = [{"kind": "abort", "count": 1, "match": {"phase": "upload"}}]
    client = {"timeout": "30s", "retry": {"strategy": "fixed", "base": "20ms", "honour_retry_after": False}}
    tables = one_station(photos={"size": "1MB", "bank": 1}, client=client, faults=faults)
    played = play(**tables, server={"service_time": "1ms", "ingress": "1MB/s"})
    assert played.outcome(0) == "unavailable"
    assert played.rows["done_s"][1] == pytest.approx(2.0, rel=0.02), "the refused megabyte comes first"


def test_resumable_uploads_keep_what_came_through_the_shared_line():
    client = {"protocol": "tus", "timeout": "2s", "retry": {"strategy": "fixed", "base": "1s"}}
    tables = one_station(photos={"size": "1MB", "bank": 1}, client=client)
    played = play(**tables, server={"service_time": "1ms", "ingress": "300KB/s"})
    assert played.outcomes["accepted"] == 3
    assert 1 <= played.outcomes["timeout_response"] <= 6


def test_responses_share_the_way_out():
    played = play(client=ONCE, server={"workers": 100, "service_time": "1ms", "egress": "400B/s"}, **AT_ONCE)
    assert played.rows["done_s"].max() == pytest.approx(16.0, rel=0.05), "12 receipts and 4 logins of 400 bytes"


def test_the_counters_show_both_ways():
    played = play(client=ONCE, server={"ingress": "1MB/s"}, **AT_ONCE)
    text = generate_latest(played.counters).decode()
    assert "mock_server_ingress_bytes_total" in text
    assert played.simulation.server.traffic.received_bytes == played.rows["sent_bytes"].sum() - 4 * 190
