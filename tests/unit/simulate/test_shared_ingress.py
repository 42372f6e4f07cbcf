"""Uploads that share the simulated server's ingress, against processor sharing in closed form."""

from functools import partial

import numpy as np
import pytest

from harness.simulate.clock import VirtualClock
from harness.simulate.incoming import CHUNK_BYTES, IncomingRequest
from harness.simulate.station_client import HEAD_BYTES
from harness.simulate.virtual_line import VirtualIngress
from harness.station.link import LinkModel
from tests.support.simulations import one_station, play

PHOTO_BYTES, LOGIN_BYTES = 1_000_000, 190
PAGE_BYTES = PHOTO_BYTES + HEAD_BYTES["multipart"]
ONCE = {"timeout": "60s", "retry": {"strategy": "none"}}
RATE = 1_000_000.0


def together(count, **tables):
    """`count` stations that begin at T0, all together, over an ingress of 1 MB/s; service takes no time."""
    base = {
        "stations": {"region": "kaliwates", "count": count},
        "arrivals": {"kind": "surge", "over": "1us"},
        "photos": {"size": "1MB", "bank": 1},
        "deadline": "10min",
        "client": ONCE,
        "server": {"workers": 500, "service_time": "0s", "ingress": "1MB/s"},
    }
    return play(**{**base, **tables})


def note_end(ended: dict[str, float], name: str, clock: VirtualClock, _has_left: bool) -> None:
    """Note when the upload of this name was over."""
    ended.setdefault(name, clock.now_s)


@pytest.mark.parametrize("count", [1, 2, 7, 20])
def test_equal_uploads_that_start_together_end_together_at_n_times_size_by_rate(count):
    clock = VirtualClock()
    line = VirtualIngress(RATE, clock)
    ended: list[float] = []
    for _ in range(count):
        incoming = IncomingRequest(line, clock, 640, PHOTO_BYTES)
        incoming.on_over = lambda _has_left: ended.append(clock.now_s)
        incoming.begin()
        incoming.read(PHOTO_BYTES)
    clock.run()
    assert ended == pytest.approx([count * (PHOTO_BYTES + 640) / RATE] * count, rel=1e-9)


@pytest.mark.parametrize("count", [1, 2, 7, 20])
def test_stations_that_arrive_together_keep_the_line_full_to_the_end(count):
    """The last ends when all bytes have passed; each request may wait for one turn of the others more (5 ms each)."""
    played = together(count)
    assert played.outcomes == {"accepted": 3 * count}
    whole_s, round_s = count * (3 * PAGE_BYTES + LOGIN_BYTES) / RATE, count * 0.005
    assert whole_s <= played.rows["done_s"].max() + 1e-6 <= whole_s + 4 * round_s
    first = np.sort(played.rows["done_s"])[:count]
    assert first == pytest.approx(count * (PAGE_BYTES + LOGIN_BYTES) / RATE, abs=4 * round_s)


def test_what_is_smaller_than_a_piece_waits_for_a_whole_turn_of_the_others_and_delays_nobody():
    clock = VirtualClock()
    line = VirtualIngress(RATE, clock)
    ended: dict[str, float] = {}
    for name, size in [("large", PHOTO_BYTES)] * 1 + [("small", 100)]:
        incoming = IncomingRequest(line, clock, size, 0)
        incoming.on_over = partial(note_end, ended, name, clock)
        incoming.begin()
        incoming.read(0, size)
    clock.run()
    assert ended["small"] == pytest.approx(0.0002 + (1 - 100 / 5000) * 0.005)
    assert ended["large"] == pytest.approx((PHOTO_BYTES + 100) / RATE)


def test_a_link_below_the_equal_part_limits_its_station_and_leaves_the_rest_to_the_line():
    alone = together(1, client={**ONCE, "link": {"upload": "2Mbit/s", "rtt": "0s"}})
    assert alone.service_s[1] == pytest.approx(PAGE_BYTES / 250_000, rel=1e-4)
    assert together(1, client={**ONCE, "link": {"upload": "80Mbit/s", "rtt": "0s"}}).service_s[1] == pytest.approx(
        PAGE_BYTES / RATE, rel=1e-4
    )
    six = together(6, client={**ONCE, "link": {"upload": "2Mbit/s", "rtt": "0s"}})
    assert six.service_s[-6:] == pytest.approx(6 * PAGE_BYTES / RATE, rel=0.01), "1.5 times what the line takes"


def test_the_round_trip_comes_on_top():
    played = together(1, client={**ONCE, "link": {"upload": "80Mbit/s", "rtt": "100ms"}})
    assert played.service_s[1] == pytest.approx(0.1 + PAGE_BYTES / RATE, rel=1e-4)


def test_without_competition_an_ingress_faster_than_all_links_changes_nothing():
    link = {**ONCE, "link": {"upload": "2Mbit/s", "rtt": "50ms"}}
    free = play(**one_station(client=link, photos={"size": "1MB", "bank": 1}))
    server = {"workers": 4, "service_time": "100ms", "ingress": "1GB/s"}
    shared = play(**one_station(client=link, photos={"size": "1MB", "bank": 1}, server=server))
    assert shared.rows["done_s"] == pytest.approx(free.rows["done_s"], abs=1e-6)
    assert shared.rows["sent_bytes"].tolist() == free.rows["sent_bytes"].tolist()


def test_what_a_client_that_gave_up_has_sent_still_takes_up_the_line_and_the_workers():
    """Four photos of 1 MB lie in the kernels' buffers after 2 s: the server receives all of them, for nobody."""
    client = {"timeout": "2s", "retry": {"strategy": "fixed", "base": "30s", "max_attempts": 2}}
    played = together(4, client=client, deadline="25s")
    assert played.outcomes == {"timeout_response": 4}
    assert played.counters.wasted == 4
    assert len(played.stored) == 4
    assert played.rows["sent_bytes"].tolist() == [PAGE_BYTES + LOGIN_BYTES] * 4


def test_what_the_kernels_do_not_hold_never_comes_once_the_client_has_left():
    client = {"timeout": "2s", "retry": {"strategy": "none"}}
    played = together(1, client=client, photos={"size": "10MB", "bank": 1}, deadline="1900ms")
    assert played.outcomes == {"timeout_send": 1}
    sent = int(played.rows["sent_bytes"][0])
    assert sent == pytest.approx(2.0 * RATE + 2_500_000, rel=0.01), "what has passed, and what the kernels took"
    assert (played.counters.wasted, played.stored) == (0, [])
    assert played.simulation.server.traffic.received_bytes == pytest.approx(sent, abs=2)


def test_an_upload_refused_before_it_is_read_is_read_to_its_end_before_the_next_one_on_its_connection():
    faults = [{"kind": "abort", "status": 503, "count": 1, "match": {"phase": "upload"}}]
    client = {"timeout": "60s", "retry": {"strategy": "fixed", "base": "1ms"}}
    played = together(1, client=client, faults=faults)
    refused, accepted = played.rows["done_s"][:2].tolist()
    assert played.rows["status"][:2].tolist() == [503, 201]
    assert refused < 0.05
    assert accepted == pytest.approx((2 * PAGE_BYTES + LOGIN_BYTES) / RATE, rel=1e-3)


def test_a_phone_with_a_link_stops_sending_what_was_refused():
    faults = [{"kind": "abort", "status": 503, "count": 1, "match": {"phase": "upload"}}]
    client = {
        "timeout": "60s",
        "retry": {"strategy": "fixed", "base": "1ms"},
        "link": {"upload": "16Mbit/s", "rtt": "0s"},
    }
    played = together(1, client=client, faults=faults)
    accepted = float(played.rows["done_s"][1])
    assert accepted < 1.2, "not the second that the first photo would have taken as well"


def test_the_server_that_discards_for_ten_seconds_then_ends_the_connection():
    faults = [{"kind": "abort", "status": 503, "count": 1, "match": {"phase": "upload"}}]
    client = {"timeout": "60s", "retry": {"strategy": "fixed", "base": "1ms"}}
    server = {"workers": 4, "service_time": "0s", "ingress": "50KB/s"}
    played = together(1, client=client, faults=faults, server=server)
    assert [played.outcome(row) for row in range(2)] == ["unavailable", "reset"]
    assert played.rows["done_s"][1] == pytest.approx(10.0, abs=0.5)


def test_a_body_that_takes_too_long_over_the_line_is_refused_with_408():
    server = {"workers": 4, "service_time": "0s", "ingress": "100KB/s", "body_timeout": "3s"}
    played = together(1, server=server)
    assert set(played.rows["status"].tolist()) == {408}


def test_the_bandwidth_fault_holds_a_body_back_and_leaves_the_line_to_others():
    code = together(2).plan.stations[0].code
    slow = [{"kind": "bandwidth", "rate": "100KB/s", "match": {"station": code, "phase": "upload"}}]
    played = together(2, faults=slow)
    fast = min(played.rows["done_s"][played.rows["page"] == 3])
    slowed = min(played.rows["done_s"][played.rows["page"] == 0])
    assert fast < 1.5
    assert slowed == pytest.approx(10.0, rel=0.05)


def test_a_port_that_closes_resets_what_is_on_the_line_even_before_its_header():
    faults = [{"kind": "down", "start": "5ms", "duration": "3s"}]
    played = together(3, client={"timeout": "60s", "retry": {"strategy": "fixed", "base": "5s"}}, faults=faults)
    assert [played.outcome(row) for row in range(3)] == ["reset"] * 3
    assert played.rows["done_s"][:3] == pytest.approx(0.005)
    assert len(played.stored) == 9


def test_a_crash_takes_everything_off_the_line_and_the_next_process_has_it_to_itself():
    faults = [{"kind": "crash", "start": "1s", "restart_after": "1s"}]
    played = together(3, client={"timeout": "60s", "retry": {"strategy": "fixed", "base": "5s"}}, faults=faults)
    assert played.outcomes["reset"] == 3
    assert len(played.stored) == 9
    last_s = float(played.rows["done_s"].max())
    assert last_s == pytest.approx(6.0 + 9 * PAGE_BYTES / RATE, rel=0.01)
    assert played.simulation.server.traffic.received_bytes == pytest.approx(9 * PAGE_BYTES, abs=30), "tokens are kept"


def test_chunks_of_resumable_uploads_share_it_too():
    client = {**ONCE, "protocol": "tus", "tus": {"chunk_size": "250KB"}}
    played = together(4, client=client)
    assert played.outcomes == {"accepted": 12}
    heads = 4 * (3 * 5 * HEAD_BYTES["tus"] + LOGIN_BYTES)
    assert played.rows["done_s"].max() == pytest.approx((12 * PHOTO_BYTES + heads) / RATE, rel=1e-3)


def test_the_traffic_is_counted_with_and_without_a_line():
    shared, free = together(2), together(2, server={"workers": 4, "service_time": "0s"})
    expected = 6 * PAGE_BYTES + 2 * LOGIN_BYTES
    assert shared.simulation.server.traffic.received_bytes == pytest.approx(expected, abs=6)
    assert free.simulation.server.traffic.received_bytes == expected
    assert shared.simulation.server.traffic.sent_bytes == free.simulation.server.traffic.sent_bytes == 6 * 336 + 2 * 229


def test_a_line_knows_how_full_it_was_in_the_latest_second():
    clock = VirtualClock()
    line = VirtualIngress(1000.0, clock)
    assert (line.utilisation_ratio, line.waiting) == (0.0, 0)
    line.start(500.0, lambda: None)
    line.start(125.0, lambda: None, limit_bytes_per_s=250.0)
    assert line.waiting == 1, "the other could not send faster"
    clock.advance(0.25)
    assert line.passed_bytes == pytest.approx(250.0)
    clock.advance(1.0)
    assert line.passed_bytes == pytest.approx(625.0)
    assert line.utilisation_ratio == pytest.approx(0.625)
    clock.advance(1.5)
    assert line.utilisation_ratio == pytest.approx(0.125), "625 bytes in 0.625 s, 125 of them in the latest second"
    clock.advance(9.0)
    assert line.utilisation_ratio == 0.0


def test_nothing_passes_in_a_phones_outage_and_the_rest_goes_on_after_it():
    clock = VirtualClock()
    line = VirtualIngress(RATE, clock)
    link = LinkModel(100_000.0, outages=iter([(1.0, 4.0)]))
    incoming = IncomingRequest(line, clock, 100, 199_900, link)
    ended: list[tuple[bool, float]] = []
    incoming.on_over = lambda has_left: ended.append((has_left, clock.now_s))
    incoming.begin()
    clock.advance(2.0)
    assert incoming.arrived_bytes == pytest.approx(100_000, abs=2)
    assert line.waiting == 0
    clock.run()
    ((has_left, at_s),) = ended
    assert not has_left
    assert at_s == pytest.approx(5.0, abs=1e-3)
    assert incoming.is_whole


def test_a_client_that_leaves_at_the_very_moment_at_which_its_header_is_in_is_still_noticed_by_the_server():
    clock = VirtualClock()
    line = VirtualIngress(RATE, clock)
    incoming = IncomingRequest(line, clock, 1000, 100_000)
    events: list[str] = []
    clock.call_at(CHUNK_BYTES / RATE, incoming.leave)  # scheduled before the end of the transfer, so called before it
    incoming.on_header = lambda: events.append("header")
    incoming.on_over = lambda has_left: events.append(f"left: {has_left}")
    incoming.begin()
    clock.run()
    assert events == ["header", "left: True"]


def test_a_client_that_leaves_while_its_last_bytes_wait_for_their_turn_has_sent_everything():
    clock = VirtualClock()
    line = VirtualIngress(RATE, clock)
    other = IncomingRequest(line, clock, PHOTO_BYTES, 0)
    other.begin()
    incoming = IncomingRequest(line, clock, 100, 0)
    incoming.begin()
    clock.advance(0.002)
    assert incoming.sent_bytes == incoming.arrived_bytes == 100
    ended: list[bool] = []
    incoming.on_over = ended.append
    incoming.leave()
    clock.advance(0.01)
    assert (ended, incoming.is_whole) == ([True], True)


def test_a_resumable_upload_is_locked_as_long_as_bytes_of_a_client_that_gave_up_come_in_and_complete_then():
    """1 MB at 300 KB/s: given up after 2 s, tried again and refused (423) after 3, whole after 3.3 s."""
    client = {"protocol": "tus", "timeout": "2s", "retry": {"strategy": "fixed", "base": "1s"}}
    played = together(1, client=client, server={"workers": 4, "service_time": "1ms", "ingress": "300KB/s"})
    assert played.outcomes == {"timeout_response": 3, "rejected": 3, "replayed": 3}
    assert set(played.rows["status"][1::3].tolist()) == {423}
    assert len(played.stored) == 3
