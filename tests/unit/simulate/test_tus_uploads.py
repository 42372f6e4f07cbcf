"""Resumable uploads in virtual time: created, filled chunk by chunk, resumed where they broke off, and their faults."""

import pytest

from tests.support.simulations import one_station, play, requests

RETRY = {"protocol": "tus", "timeout": "5s", "retry": {"strategy": "fixed", "base": "1s"}}


def upload(client=(), faults=(), **tables):
    photos = {"size": "1MB", "bank": 1}
    found = {**RETRY, **dict(client)}
    match = {"match": {"phase": "upload"}}
    return play(**one_station(photos=photos, client=found, faults=[{**match, **fault} for fault in faults], **tables))


def test_a_page_is_created_and_sent_in_one_request_and_acknowledged_with_204():
    played = upload()
    assert played.outcomes == {"accepted": 3}
    assert requests(played) == {("POST", 201): 3, ("PATCH", 204): 3}
    assert len(played.stored) == 3
    assert played.rows["queue_s"][0] == 0.0


def test_chunks_are_sent_one_after_another_and_only_the_last_one_is_processed():
    played = upload(client={"tus": {"chunk_size": "300KB"}})
    assert requests(played) == {("POST", 201): 3, ("PATCH", 204): 12}
    assert played.counters.service.sum_s == pytest.approx(0.3)


def test_the_first_chunk_may_come_with_the_creation():
    assert requests(upload(client={"tus": {"creation_with_upload": True}})) == {("POST", 201): 3}


def test_an_upload_that_the_link_breaks_off_is_resumed_and_nothing_is_sent_twice():
    client = {"link": {"upload": "100KB/s"}, "timeout": "4s", "tus": {"chunk_size": "10MB"}}
    played = upload(client=client)
    assert played.outcomes == {"timeout_send": 6, "accepted": 3}, "1 MB at 100 KB/s takes two timeouts and a bit"
    assert played.rows["resent_bytes"].max() < 20_000
    assert requests(played)["HEAD", 200] == 6
    assert len(played.stored) == 3


def test_with_checksums_nothing_of_a_chunk_that_broke_off_is_kept():
    client = {"link": {"upload": "200KB/s"}, "timeout": "4s", "tus": {"checksum": "sha1"}}
    played = upload(client=client, deadline="12s")
    assert "accepted" not in played.outcomes
    assert played.rows["resent_bytes"].max() > 700_000


def test_a_refusal_sends_the_upload_back_to_its_offset_before_the_last_chunk():
    server = {"service_time": "100ms", "workers": 1, "queue_capacity": 0, "retry_after": "none"}
    played = upload(server=server, faults=[{"kind": "unreadable", "count": 1}])
    assert played.outcome(0) == "unreadable"
    assert played.outcomes["accepted"] == 3, "422 removes the upload, so it is created again"
    assert requests(played)["POST", 201] == 4
    assert requests(played)["HEAD", 410] == 1


def test_expire_upload_makes_the_client_begin_again():
    played = upload(faults=[{"kind": "expire_upload", "count": 1}])
    assert played.outcomes == {"accepted": 3}
    assert requests(played)["PATCH", 410] == 1


def test_stale_lock_refuses_with_423_and_the_client_tries_again():
    played = upload(faults=[{"kind": "stale_lock", "count": 1}])
    assert played.outcomes == {"rejected": 1, "accepted": 3}
    assert played.rows["status"][0] == 423


def test_offset_rollback_loses_bytes_that_are_sent_again():
    played = upload(client={"tus": {"chunk_size": "400KB"}}, faults=[{"kind": "offset_rollback", "count": 1}])
    assert played.outcomes == {"accepted": 3}
    assert requests(played)["PATCH", 409] == 1
    # Rolled back to 200 KB while the chunk up to 800 KB was on its way: from there on 600 KB had been sent before.
    assert played.rows["resent_bytes"][0] == 600_000


def test_false_complete_acknowledges_a_page_that_is_not_stored():
    played = upload(faults=[{"kind": "false_complete", "count": 1}])
    assert played.outcomes["accepted"] + played.outcomes.get("replayed", 0) == 3
    assert len(played.stored) == 2


def test_after_a_crash_an_upload_goes_on_where_the_server_has_it():
    client = {"link": {"upload": "500KB/s"}, "timeout": "10s", "tus": {"chunk_size": "250KB"}}
    played = upload(client=client, faults=[{"kind": "crash", "start": "1200ms", "restart_after": "0s", "match": {}}])
    assert played.outcomes["accepted"] == 3
    assert len(played.stored) == 3
    assert requests(played)["HEAD", 200] == 1
