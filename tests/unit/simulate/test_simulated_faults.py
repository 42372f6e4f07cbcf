"""Each kind of fault in virtual time does what docs/reference/faults.md says of it."""

from pathlib import Path
from typing import Any, get_args

import pytest

from mock_server.faults.registry import KINDS
from tests.support.simulations import FREE, one_station, play

ONCE = {"retry": {"strategy": "none"}, "timeout": "5s"}
RETRY = {"retry": {"strategy": "fixed", "base": "1s"}, "timeout": "5s"}


def hit(fault, **tables):
    """A single station with one fault on the uploads; the first page's first attempt is row 0."""
    match = {"match": {"phase": "upload"}}
    return play(**one_station(client=tables.pop("client", ONCE), faults=[{**match, **fault}], **tables))


def test_latency_delays_and_leaves_the_workers_free():
    played = hit({"kind": "latency", "delay": "2s"})
    assert played.outcomes == {"accepted": 3}
    assert played.service_s == pytest.approx([2.1, 2.1, 2.1])
    assert played.rows["queue_s"] == pytest.approx([0.0, 0.0, 0.0])


def test_latency_that_outlasts_its_fault_ends_with_it():
    assert hit({"kind": "latency", "delay": "4s", "duration": "1s"}).service_s[0] == pytest.approx(1.1)


def test_abort_answers_with_its_status_and_retry_after():
    played = hit({"kind": "abort", "status": 500, "retry_after": "1500ms"})
    assert played.outcomes == {"server_error": 3}
    assert played.rows["status"].tolist() == [500, 500, 500]
    assert played.rows["retry_after_s"].tolist() == [2.0, 2.0, 2.0], "whole seconds, rounded up"
    assert played.stored == []


def test_abort_of_a_login_never_acknowledges():
    played = play(**one_station(client=ONCE, faults=[{"kind": "abort", "match": {"phase": "login"}}]))
    assert played.outcomes == {"unavailable": 3}
    assert [injection.key.phase for injection in played.injections] == ["login"] * 3
    assert [injection.key.attempt for injection in played.injections] == [1, 2, 3], "the server counts logins"


def test_down_refuses_new_connections_and_resets_open_ones():
    faults = [{"kind": "down", "start": "50ms", "duration": "2s"}]
    played = play(**one_station(client=RETRY, faults=faults))
    assert played.outcome(0) == "reset"
    assert played.rows["done_s"][0] == pytest.approx(0.05)
    assert played.outcome(1) == "refused"
    assert played.outcomes["accepted"] + played.outcomes.get("replayed", 0) == 3
    assert played.injections[0].fault == "down"


def test_reset_peer_resets_after_its_time():
    played = hit({"kind": "reset_peer", "after": "300ms"})
    assert (played.outcomes, played.stored) == ({"reset": 3}, [])
    assert played.service_s == pytest.approx([0.3, 0.3, 0.3])


def test_timeout_holds_until_the_client_leaves_or_closes_after_its_time():
    assert hit({"kind": "timeout"}).outcomes == {"timeout_response": 3}
    closed = hit({"kind": "timeout", "after": "1s"})
    assert (closed.outcomes, closed.stored) == ({"closed": 3}, [])


def test_a_body_that_the_server_does_not_read_times_out_while_sending_if_no_buffer_holds_it():
    played = hit({"kind": "timeout"}, photos={"size": "8MB", "bank": 1})
    assert played.outcomes == {"timeout_send": 3}


def test_capacity_slows_the_workers_down_while_it_lasts():
    played = hit({"kind": "capacity", "factor": 0.1, "duration": "500ms"})
    assert played.service_s == pytest.approx([1.0, 0.1, 0.1])


def test_rate_limit_lets_its_number_through_and_asks_to_wait_for_the_next_window():
    played = hit({"kind": "rate_limit", "limit": 2, "window": "10s"}, client=RETRY)
    assert [played.outcome(row) for row in range(3)] == ["accepted", "accepted", "throttled"]
    assert played.rows["retry_after_s"][2] == 10.0


def test_bandwidth_makes_a_body_take_its_time():
    played = hit({"kind": "bandwidth", "rate": "100KB/s"}, photos={"size": "200KB", "bank": 1})
    assert played.service_s == pytest.approx([2.1, 2.1, 2.1], abs=0.02), "the response goes at that rate, too"


def test_limit_data_closes_the_connection():
    played = hit({"kind": "limit_data", "limit": "2KB"})
    assert (played.outcomes, played.stored) == ({"closed": 3}, [])


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"kind": "empty_response"}, "closed"),
        ({"kind": "malformed_response_chunk"}, "malformed"),
        ({"kind": "random_data_then_close"}, "malformed"),
        ({"kind": "truncate_body"}, "closed"),
        ({"kind": "ack_lost"}, "reset"),
    ],
)
def test_faults_in_the_response_come_after_the_page_is_stored(fault, outcome):
    played = hit(fault)
    assert played.outcomes == {outcome: 3}
    assert len(played.stored) == 3
    assert len(played.injections) == 3


def test_slow_responses_arrive_whole_in_the_end():
    dribbled = hit({"kind": "chunked_dribble", "total": "2s"})
    assert dribbled.outcomes == {"accepted": 3}
    assert dribbled.service_s == pytest.approx([2.1, 2.1, 2.1])
    sliced = hit({"kind": "slicer", "size": "16B", "delay": "10ms"})
    assert sliced.outcomes == {"accepted": 3}
    assert 0.2 < sliced.service_s[0] < 0.4


def test_slow_close_delays_only_the_end_of_the_connection():
    played = hit({"kind": "slow_close", "delay": "3s"})
    assert played.outcomes == {"accepted": 3}
    assert played.service_s == pytest.approx([0.1, 0.1, 0.1])


def test_unreadable_answers_422_after_the_work_and_stores_nothing():
    played = hit({"kind": "unreadable"})
    assert (played.outcomes, played.stored) == ({"unreadable": 3}, [])
    assert played.service_s == pytest.approx([0.1, 0.1, 0.1])


def test_false_ack_acknowledges_and_stores_nothing():
    played = hit({"kind": "false_ack"})
    assert (played.outcomes, played.stored, played.counters.stored) == ({"accepted": 3}, [], 0)


def test_corrupt_stored_misfile_and_misread_store_something_else():
    plan = play(**one_station()).plan
    corrupted = hit({"kind": "corrupt_stored"}).stored
    assert all(row["sha256"] != plan.page(number).sha256 for number, row in enumerate(corrupted))
    assert {row["station"] for row in hit({"kind": "misfile"}).stored} == {plan.stations[0].code[:-3] + "000"}
    misread = hit({"kind": "misread"}).stored
    assert misread[1]["reading"] != plan.page(1).reading
    assert misread[0]["reading"] == plan.page(0).reading == "", "a page without figures is stored unchanged"


def test_duplicate_store_stores_two_copies():
    played = hit({"kind": "duplicate_store"})
    assert (len(played.stored), played.counters.stored) == (6, 6)


def test_lose_after_ack_deletes_what_was_acknowledged_at_the_latest_when_the_server_is_drained():
    played = hit({"kind": "lose_after_ack", "after": "1h", "count": 1})
    assert played.outcomes == {"accepted": 3}
    assert [row["page"] for row in played.stored] == [2, 3]
    assert len(played.injections) == 1


@pytest.mark.parametrize("kind", [{"kind": "crash"}, {"kind": "power_cut"}])
def test_a_crash_loses_what_is_in_progress_and_the_restarted_server_takes_the_rest(kind):
    faults = [{**kind, "start": "150ms", "restart_after": "2s"}]
    simulate = {**one_station_costs(), "restart": "500ms"}
    played = play(**one_station(client=RETRY, faults=faults, simulate=simulate))
    assert [played.outcome(row) for row in range(2)] == ["accepted", "closed"]
    assert played.rows["done_s"][1] == pytest.approx(0.15)
    refused = [row for row in range(len(played.rows)) if played.outcome(row) == "refused"]
    assert refused
    assert played.rows["done_s"][refused].max() < 2.65
    assert len(played.stored) == 3
    assert played.simulation.server.process == 2
    assert [injection.fault for injection in played.injections] == [kind["kind"]], (
        "once, not again in the restarted process"
    )


def one_station_costs():
    return {**FREE, "restart": "800ms"}


def test_what_was_committed_survives_a_crash_and_what_was_not_is_gone():
    before = hit({"kind": "crash_at_commit", "moment": "before", "restart_after": None})
    assert before.outcome(0) in {"closed", "reset"}
    assert before.stored == []
    after = hit({"kind": "crash_at_commit", "moment": "after", "restart_after": None})
    assert [row["page"] for row in after.stored] == [1]
    assert after.outcome(0) != "accepted"
    assert "drained" in after.end.problem


def test_tokens_that_do_not_survive_a_restart_force_another_login():
    faults = [{"kind": "crash", "start": "150ms", "restart_after": "0s"}]
    server = {"service_time": "100ms", "tokens_survive_restart": False}
    played = play(**one_station(client=RETRY, faults=faults, server=server))
    assert played.rows["status"].tolist().count(401) == 1
    assert len(played.stored) == 3


def test_a_run_in_which_all_is_delivered_waits_for_the_faults_that_are_still_to_come():
    played = play(**one_station(faults=[{"kind": "down", "start": "20s", "duration": "5s"}]))
    assert played.end.at_s == 25.0


def test_a_fault_hits_the_share_of_pages_that_its_probability_says_and_the_same_ones_again():
    tables: dict[str, Any] = {"stations": {"region": "kaliwates", "count": 200}, "client": ONCE, "server": {"workers": 50},
              "faults": [{"kind": "abort", "probability": 0.3, "match": {"phase": "upload"}}]}  # fmt: skip
    played = play(**tables)
    assert 0.2 < played.outcomes["unavailable"] / 600 < 0.4
    assert played.injections == play(**tables).injections


OF_RESUMABLE_UPLOADS = {"offset_rollback", "false_complete", "stale_lock", "expire_upload"}


def test_every_kind_of_fault_is_tested_here_or_belongs_to_resumable_uploads():
    text = Path(__file__).read_text("utf-8")
    kinds = {get_args(kind.model_fields["kind"].annotation)[0] for kind in KINDS}
    assert {kind for kind in kinds if f'"kind": "{kind}"' not in text} == OF_RESUMABLE_UPLOADS
