"""A whole run in virtual time: sessions, timeouts, retries, the queue, the deadline, the end."""

import gc
from collections import Counter
from typing import Any

import numpy as np
import pytest

from harness.simulate.connection import PhoneConnection
from harness.simulate.phone import Phone
from harness.simulate.request import SimulatedRequest
from harness.simulate.simulation import SCRAPE_INTERVAL_S
from harness.station.session import Session
from mock_server.overload.worker_pool import Job
from tests.support.simulations import FREE, PlayedSimulation, one_station, play


def test_a_station_sends_its_pages_one_after_another_without_waiting():
    played = play(**one_station())
    assert played.outcomes == {"accepted": 3}
    assert played.rows["due_s"].tolist() == pytest.approx([0.0, 0.1, 0.2], abs=1e-8)
    assert played.rows["done_s"].tolist() == pytest.approx([0.1, 0.2, 0.3], abs=1e-8)
    assert played.end.at_s == pytest.approx(0.3, abs=1e-8)
    assert len(played.stored) == 3


def test_nothing_is_late_in_virtual_time():
    played = play(stations={"region": "kaliwates", "count": 50})
    assert (played.rows["sent_s"] == played.rows["due_s"]).all()


def test_the_costs_add_up_to_the_time_of_an_attempt():
    costs = {
        "connect": "10ms",
        "login": "20ms",
        "send": "1MB/s",
        "receive": "unlimited",
        "parse": "30ms",
        "commit": "40ms",
        "answer": "50ms",
    }
    played = play(**one_station(photos={"size": "100KB", "bank": 1}, simulate={**costs, "restart": "0s"}))
    first, second = played.service_s[:2]
    repeated = 0.1 + 0.03 + 0.1 + 0.04 + 0.05  # service, parse, 100 KB at 1 MB/s, commit, answer
    assert second == pytest.approx(repeated, abs=1e-6), "connection and login are kept"
    assert first == pytest.approx(repeated + 0.01 + 0.02, abs=1e-6)
    assert played.rows["login_s"][0] == pytest.approx(0.02, abs=1e-6)
    assert played.rows["server_s"][0] == pytest.approx(0.14, abs=1e-6), "service and commit"


def storm(receive: str) -> PlayedSimulation:
    """Ten phones that try again at once while the server refuses all of them for a second; photos of 1 MB."""
    return play(
        stations={"region": "kaliwates", "count": 10}, arrivals={"kind": "surge", "over": "1us"}, photos={"size": "1MB", "bank": 1},
        deadline="1s", client={"timeout": "5s", "retry": {"strategy": "immediate"}},
        server={"workers": 1, "service_time": "10s", "shed": "queue_full", "queue_capacity": 0, "retry_after": "none"},
        simulate={**FREE, "receive": receive},
    )  # fmt: skip


def test_photos_that_come_at_once_wait_for_each_other_the_refused_ones_among_them():
    refused = storm("100MB/s").outcomes["unavailable"]
    assert refused == pytest.approx(100, abs=10), "1 MB at 100 MB/s: a hundred a second, from any number of phones"
    assert storm("200MB/s").outcomes["unavailable"] == pytest.approx(2 * refused, abs=20)


def test_a_photo_alone_is_taken_in_at_the_slower_rate_of_the_two():
    costs = {"connect": "0s", "login": "0s", "parse": "0s", "commit": "0s", "answer": "0s"}
    for send, receive in (("1MB/s", "unlimited"), ("1MB/s", "10MB/s"), ("10MB/s", "1MB/s")):
        played = play(
            **one_station(photos={"size": "100KB", "bank": 1}, simulate={**costs, "send": send, "receive": receive})
        )
        assert played.service_s == pytest.approx([0.2] * 3, abs=1e-6), "service of 100 ms and 100 KB at 1 MB/s"


def test_a_new_process_has_nothing_left_to_take_in():
    played = play(
        stations={"region": "kaliwates", "count": 5}, arrivals={"kind": "surge", "over": "1us"}, photos={"size": "100KB", "bank": 1},
        client={"timeout": "30s", "retry": {"strategy": "fixed", "base": "1s"}},
        faults=[{"name": "crash", "kind": "crash", "start": "500ms", "restart_after": "100ms"}],
        simulate={**FREE, "receive": "100KB/s", "logins": False},
    )  # fmt: skip
    assert played.outcomes["reset"] == 5, "the photos take a second each, one after the other"
    assert min(played.rows["done_s"][5:]) == pytest.approx(2.6, abs=1e-3), (
        "half a second, a second's pause, a photo and its service"
    )


def test_stations_need_not_log_in():
    played = play(**one_station(simulate={"login": "1s", "logins": False}))
    assert played.outcomes == {"accepted": 3}
    assert np.isnan(played.rows["login_s"]).all()


def test_with_a_connection_for_each_attempt_each_pays_for_it():
    costs = {**FREE, "connect": "10ms"}
    retry = {"strategy": "none"}
    each = play(**one_station(client={"connection": "each", "retry": retry}, simulate=costs))
    new = play(**one_station(client={"connection": "new", "retry": retry}, simulate=costs))
    assert each.service_s == pytest.approx([0.11, 0.11, 0.11], abs=1e-6)
    assert new.service_s == pytest.approx([0.11, 0.10, 0.10], abs=1e-6)


def test_a_shared_pool_keeps_the_connections_of_stations_that_are_done():
    costs = {**FREE, "connect": "10ms"}
    played = play(client={"connection": "reuse", "retry": {"strategy": "none"}}, simulate=costs)
    assert played.service_s == pytest.approx([0.11, 0.10, 0.10, 0.10, 0.10, 0.10], abs=1e-6)


def test_an_attempt_that_times_out_leaves_and_the_work_goes_on_and_is_wasted():
    client = {"timeout": "1s", "retry": {"strategy": "none"}}
    played = play(**one_station(client=client, server={"workers": 1, "service_time": "3s"}))
    assert played.outcomes == {"timeout_response": 3}
    assert played.service_s == pytest.approx([1.0, 1.0, 1.0])
    # The first page is being served when all are given up, at 3 s; the second is dropped, like the third, by the drain.
    assert (played.counters.wasted, played.counters.dropped) == (1, 2)
    assert len(played.stored) == 1, "stored, though no client knows"


def test_work_is_cancelled_with_its_client_where_the_profile_says_so():
    client = {"timeout": "1s", "retry": {"strategy": "none"}}
    server = {"workers": 1, "service_time": "3s", "cancel_on_disconnect": True}
    played = play(**one_station(client=client, server=server))
    assert (played.counters.wasted, played.counters.dropped, played.stored) == (0, 0, [])


def test_a_retry_of_a_page_that_was_stored_unnoticed_is_replayed():
    client = {"timeout": "1s", "retry": {"strategy": "fixed", "base": "10s"}}
    played = play(**one_station(client=client, server={"workers": 1, "service_time": "1500ms"}))
    assert "accepted" not in played.outcomes, "every first attempt is stored after its client has left"


@pytest.mark.parametrize(
    ("dedupe", "sends_key", "copies"),
    [("page", False, 1), ("key", True, 1), ("key", False, 2), ("none", True, 2)],
)
def test_duplicates_are_recognised_by_page_by_key_or_not_at_all(dedupe, sends_key, copies):
    retry = {"strategy": "fixed", "base": "5s", "max_attempts": 2, "idempotency_key": sends_key}
    faults = [{"kind": "ack_lost", "count": 1}]
    played = play(
        **one_station(client={"retry": retry}, server={"service_time": "100ms", "dedupe": dedupe}, faults=faults)
    )
    of_first_page = [row for row in played.stored if row["page"] == 1]
    assert len(of_first_page) == copies
    assert played.outcome(1) == ("replayed" if copies == 1 else "accepted")


def test_a_full_queue_refuses_with_retry_after_and_the_client_obeys():
    server = {"workers": 1, "queue_capacity": 0, "service_time": "2s", "retry_after": "fixed", "retry_after_time": "4s"}
    client = {"timeout": "9s", "retry": {"strategy": "fixed", "base": "1s"}}
    played = play(client=client, server=server, arrivals={"kind": "constant", "over": "1s"})
    refused = [row for row in range(len(played.rows)) if played.outcome(row) == "unavailable"]
    assert played.counters.shed["queue_full"] == len(refused) > 0
    assert played.rows["retry_after_s"][refused[0]] == 4.0
    after = played.rows[played.rows["page"] == played.rows["page"][refused[0]]]
    assert 4.0 <= after["due_s"][1] - after["done_s"][0] <= 8.0, "max(R, backoff) + U(0, R)"


def test_deadline_shedding_refuses_what_could_not_be_answered_in_time():
    server = {"workers": 1, "service_time": "2s", "shed": "deadline", "retry_after": "none"}
    played = play(
        client={"timeout": "3s", "retry": {"strategy": "none"}},
        server=server,
        arrivals={"kind": "constant", "over": "1s"},
    )
    assert played.counters.shed["deadline"] >= 1
    assert "timeout_response" not in played.outcomes


def test_no_attempt_starts_after_the_deadline_and_the_last_one_may_end():
    client = {"timeout": "5s", "retry": {"strategy": "immediate"}}
    played = play(**one_station(deadline="10s", client=client, server={"service_time": "60s"}))
    assert played.rows["sent_s"].max() < 10.0
    assert 10.0 < played.end.at_s <= 15.0
    assert len(played.given_up) == 1, "the page at hand; the pages behind it stay unattempted"


def test_a_station_that_is_due_after_the_deadline_is_never_begun():
    played = play(deadline="500ms", arrivals={"kind": "constant", "over": "2s"})
    assert played.simulation.phones.stations_begun == 1


def test_stations_come_when_they_come_whatever_the_server_does():
    slow = play(server={"workers": 1, "service_time": "4s"}, client={"timeout": "60s", "retry": {"strategy": "none"}})
    first = {int(row["page"]): float(row["due_s"]) for row in slow.rows if row["page"] % 3 == 0}
    assert sorted(first.values()) == [0.0, 1.0]


def test_closed_phones_take_the_next_station_after_a_think_time():
    arrivals = {"kind": "closed", "phones": 1, "think": "1s"}
    played = play(stations={"region": "kaliwates", "count": 3}, arrivals=arrivals)
    begun = played.rows["due_s"][::3]
    assert begun.tolist() == pytest.approx([1.0, 2.3, 3.6], abs=1e-6)


def test_asynchronous_reading_answers_at_once_with_202_and_stores_the_page_once():
    server = {"service_time": "100ms", "reading": "asynchronous", "reading_time": "400ms"}
    played = play(**one_station(client={"retry": {"strategy": "fixed", "base": "1s"}}, server=server))
    assert played.outcomes == {"pending": 60}, "202 acknowledges nothing, so the first page is sent again and again"
    assert played.service_s[0] == pytest.approx(0.0, abs=1e-9)
    (stored,) = played.stored
    assert stored["stored_at"] == pytest.approx(0.5, abs=1e-6)


def test_a_link_takes_its_time_for_connecting_sending_and_answering():
    link = {"upload": "1MB/s", "rtt": "100ms"}
    played = play(
        **one_station(
            photos={"size": "1MB", "bank": 1}, client={"link": link, "timeout": "30s", "retry": {"strategy": "none"}}
        )
    )
    second = played.service_s[1]
    assert second == pytest.approx(0.05 + 1.0 + 0.1 + 0.05, rel=0.01), (
        "half a round trip, the photo, the work, half a round trip"
    )
    assert played.service_s[0] == pytest.approx(second + 0.1 + 0.1, rel=0.01), (
        "connecting and logging in: a round trip each"
    )


def test_a_photo_that_the_link_cannot_send_in_time_times_out_while_sending_and_is_not_stored():
    link = {"upload": "100KB/s"}
    played = play(
        **one_station(
            photos={"size": "1MB", "bank": 1}, client={"link": link, "timeout": "4s", "retry": {"strategy": "none"}}
        )
    )
    assert (played.outcomes, played.stored) == ({"timeout_send": 3}, [])
    assert played.rows["sent_bytes"][1] == pytest.approx(400_000, rel=0.05)


def test_bytes_that_are_sent_again_are_counted():
    client = {"timeout": "1s", "retry": {"strategy": "fixed", "base": "1s", "max_attempts": 2}}
    played = play(**one_station(photos={"size": "100KB", "bank": 1}, client=client, server={"service_time": "60s"}))
    assert played.rows["resent_bytes"].tolist() == [0, 100_000, 0, 100_000, 0, 100_000]


def test_a_connection_that_takes_longer_than_connect_timeout_is_given_up():
    client = {
        "link": {"upload": "1MB/s", "rtt": "3s"},
        "connect_timeout": "1s",
        "timeout": "10s",
        "retry": {"strategy": "none"},
    }
    played = play(**one_station(client=client))
    assert played.outcomes == {"timeout_connect": 3}
    assert played.service_s == pytest.approx([1.0] * 3)


def test_more_connections_than_the_server_takes_are_closed():
    server = {"service_time": "3s", "max_connections": 1}
    played = play(client={"retry": {"strategy": "none"}}, server=server, arrivals={"kind": "constant", "over": "1s"})
    assert played.outcomes["closed"] == 3
    assert played.outcomes["accepted"] == 3


def test_a_token_that_has_expired_is_refused_and_the_next_attempt_logs_in_again():
    server = {"service_time": "100ms", "token_lifetime": "150ms"}
    played = play(**one_station(server=server))
    assert played.outcomes == {"accepted": 3, "rejected": 1}
    rejected = played.rows[played.rows["status"] == 401]
    assert len(rejected) == 1
    assert np.isfinite(played.rows["login_s"]).sum() == 2


def test_a_run_that_is_broken_off_censors_what_is_in_flight():
    played = play(abort_at_s=2.0, **one_station(client={"timeout": "30s"}, server={"service_time": "60s"}))
    assert (played.outcomes, played.end.aborted, played.end.at_s) == ({"censored": 1}, "enough", 2.0)
    assert np.isnan(played.rows["done_s"][0])


def test_both_sides_are_scraped_once_a_virtual_second_and_at_the_end():
    played = play(arrivals={"kind": "constant", "over": "8s"})
    assert played.seconds[:5] == [SCRAPE_INTERVAL_S * number for number in range(5)]
    assert played.seconds[-1] >= played.end.at_s


def test_withheld_attempts_have_rows_and_are_not_sent():
    client = {
        "timeout": "1s",
        "retry": {"strategy": "circuit_breaker", "minimum_calls": 1, "window_calls": 1, "open_for": "5s", "base": "1s"},
    }
    played = play(**one_station(deadline="12s", client=client, server={"service_time": "60s"}))
    assert played.outcomes["withheld"] >= 1
    withheld = played.rows[[played.outcome(row) == "withheld" for row in range(len(played.rows))]]
    assert np.isnan(withheld["sent_s"]).all()


def test_the_same_seed_gives_the_same_records_byte_for_byte_and_another_seed_others():
    tables: dict[str, Any] = {
        "stations": {"region": "kaliwates", "count": 40}, "arrivals": {"kind": "poisson", "over": "5s"},
        "client": {"timeout": "1s", "link": "phone", "retry": {"strategy": "full_jitter"}},
        "server": {"workers": 1, "service_time": {"distribution": "lognormal", "median": "100ms"}},
        "faults": [{"kind": "abort", "probability": 0.3}],
    }  # fmt: skip
    first, again = play(**tables), play(**tables)
    assert first.rows.tobytes() == again.rows.tobytes()
    assert first.rows.tobytes() != play(**tables, seed=2).rows.tobytes()


@pytest.mark.heavy
def test_phones_and_requests_of_stations_that_are_done_are_freed_while_the_simulation_plays():
    gc.collect()
    gc.disable()  # as the simulation does: what is left are cycles
    try:
        played = play(stations={"region": "kaliwates", "count": 20})
        left = Counter(type(one) for one in gc.get_objects())
    finally:
        gc.enable()
    assert len(played.rows) == 60
    assert [left[kind] for kind in (Phone, PhoneConnection, Session, SimulatedRequest, Job)] == [0] * 5
