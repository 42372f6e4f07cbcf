"""Resumable uploads over HTTP in virtual time: created, resumed where they broke off, their faults, and those who wait."""

import pytest

from tests.support.simulations import one_station, play, requests

CLIENT = {"protocol": "resumable", "timeout": "5s", "retry": {"strategy": "fixed", "base": "1s"}}


def upload(client=(), faults=(), **tables):
    photos = {"size": "1MB", "bank": 1}
    match = {"match": {"phase": "upload"}}
    faults = [{**match, **fault} for fault in faults]
    return play(**one_station(photos=photos, client={**CLIENT, **dict(client)}, faults=faults, **tables))


def test_a_page_is_sent_in_one_request_as_by_put():
    played = upload()
    assert played.outcomes == {"accepted": 3}
    assert requests(played) == {("PUT", 201): 3}
    assert len(played.stored) == 3


def test_parts_are_appended_and_only_the_last_one_is_processed():
    played = upload(client={"resumable": {"chunk_size": "300KB"}})
    assert requests(played) == {("PUT", 201): 3, ("PATCH", 204): 6, ("PATCH", 201): 3}
    assert played.counters.service.sum_s == pytest.approx(0.3)


def test_a_careful_creation_takes_a_request_of_its_own():
    assert requests(upload(client={"resumable": {"creation": "careful"}})) == {("PUT", 201): 3, ("PATCH", 201): 3}


def test_a_creation_that_the_link_breaks_off_is_resumed_and_nothing_is_sent_twice():
    played = upload(client={"link": {"upload": "100KB/s"}, "timeout": "4s"})
    assert played.outcomes == {"timeout_send": 6, "accepted": 3}, "1 MB at 100 KB/s takes two timeouts and a bit"
    assert played.rows["resent_bytes"].max() < 20_000
    assert requests(played)["HEAD", 204] == 6
    assert len(played.stored) == 3


def test_a_client_that_left_while_its_page_waited_for_a_worker_learns_that_it_is_stored_and_sends_nothing_again():
    served = {"workers": 1, "service_time": "2500ms", "tokens_survive_restart": True}
    played = upload(client={"timeout": "2s"}, server=served)
    assert played.outcomes["replayed"] + played.outcomes.get("accepted", 0) == 3
    assert not played.rows["resent_bytes"].any()
    assert len(played.stored) == 3
    assert requests(played)["HEAD", 204] >= 3
    assert played.counters.service.sum_s == pytest.approx(7.5), "no page is worked on twice"


def test_a_page_that_is_unreadable_ends_its_upload_and_a_new_one_is_made():
    played = upload(faults=[{"kind": "unreadable", "count": 1}])
    assert played.outcome(0) == "unreadable"
    assert played.outcomes["accepted"] == 3
    assert requests(played)["PUT", 201] == 3


def test_expire_upload_makes_the_client_begin_again():
    client = {"resumable": {"chunk_size": "300KB"}}
    played = upload(client=client, faults=[{"kind": "expire_upload", "count": 1}])
    assert played.outcomes == {"accepted": 3}
    assert requests(played)["PATCH", 410] == 1
    assert requests(played)["PUT", 201] == 4


def test_stale_lock_refuses_with_423_and_the_client_tries_again():
    client = {"resumable": {"chunk_size": "300KB"}}
    played = upload(client=client, faults=[{"kind": "stale_lock", "count": 1}])
    assert played.outcomes == {"rejected": 1, "accepted": 3}


def test_offset_rollback_loses_bytes_that_are_sent_again():
    client = {"resumable": {"chunk_size": "300KB"}}
    played = upload(client=client, faults=[{"kind": "offset_rollback", "count": 1}])
    assert played.outcomes == {"accepted": 3}
    assert played.rows["resent_bytes"].sum() == 450_000, (
        "half of the first part, and the second, which was sent in vain"
    )
    assert requests(played)["PATCH", 409] == 1


def test_false_complete_acknowledges_a_page_that_is_not_stored():
    client = {"resumable": {"chunk_size": "300KB"}}
    played = upload(client=client, faults=[{"kind": "false_complete", "count": 1}])
    assert played.outcomes == {"accepted": 2, "replayed": 1}
    assert len(played.stored) == 2


def test_after_a_crash_an_upload_goes_on_where_the_server_has_it():
    client = {"link": {"upload": "500KB/s"}, "timeout": "10s"}
    played = upload(client=client, faults=[{"kind": "crash", "start": "1200ms", "restart_after": "0s", "match": {}}])
    assert played.outcomes["accepted"] == 3
    assert len(played.stored) == 3
    assert requests(played)["HEAD", 204] == 1
    assert played.rows["resent_bytes"].max() < 100_000


def test_an_append_waits_until_the_page_is_processed_over_a_shared_line_too():
    served = {"workers": 1, "service_time": "2500ms", "ingress": "2MB/s", "tokens_survive_restart": True}
    played = upload(client={"timeout": "2s"}, server=served)
    assert len(played.stored) == 3
    assert played.outcomes["replayed"] + played.outcomes.get("accepted", 0) == 3
