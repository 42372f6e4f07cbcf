"""Readers and the egress in virtual time: open arrivals, what each response costs the line, faults, the end."""

from itertools import takewhile

import numpy as np
import pytest

from harness.plan.readers import draw_reads, result_path
from harness.run_folder.journal import RecordKind
from tests.support.simulations import FREE, one_station, play

UPLOAD_BYTES, LOGIN_BYTES = 336, 229
ONCE = {"retry": {"strategy": "none"}, "timeout": "30s"}
AGAIN = {"retry": {"strategy": "fixed", "base": "1500ms"}, "timeout": "30s"}
LONG = {"workers": 4, "service_time": "2s"}
"""A station's three pages take six seconds: so long readers read."""


def with_readers(rate="50/s", server=None, **tables):
    readers = {"rate": rate, **tables.pop("readers", {})}
    client = tables.pop("client", ONCE)
    return play(**one_station(client=client, server={**LONG, **(server or {})}, readers=readers, **tables))


def test_every_read_that_is_due_until_the_stations_are_done_is_made_and_recorded():
    played = with_readers()
    drawn = draw_reads(played.scenario.readers, played.plan.stations, played.scenario.seed)
    due = list(takewhile(lambda read: read.due_s < 6.0, drawn))
    reads = played.reads
    assert reads["due_s"].tolist() == [read.due_s for read in due]
    assert reads["page"].tolist() == [read.resource for read in due]
    assert set(reads["status"].tolist()) == {200}
    assert (reads["sent_s"] == reads["due_s"]).all()
    assert played.simulation.readers.until_s == pytest.approx(6.0)
    assert played.outcomes == {"accepted": 3}, "reads are not attempts"
    assert played.counters.service.sum_s == pytest.approx(6.0), "and no worker takes part in them"


def test_a_read_costs_a_connection_and_an_answer_and_connections_are_kept():
    costs = {**FREE, "connect": "10ms", "answer": "20ms"}
    reads = with_readers(rate="2/s", simulate=costs).reads
    took = reads["done_s"] - reads["sent_s"]
    assert took[0] == pytest.approx(0.03)
    assert took[1:] == pytest.approx(0.02)


def test_the_responses_are_as_long_as_the_mock_servers():
    """Measured with all of Kaliwates' 362 stations, none and 60 of them published."""
    plan = play(stations={"region": "kaliwates"}, deadline="1ms").simulation.server
    code = "3509191001001"
    sizes = {level: plan._publication.body_bytes(result_path(level, code)) for level in
             ("nation", "province", "kabupaten", "kecamatan", "kelurahan", "station")}  # fmt: skip
    measured = {"nation": (243, 265), "province": (245, 267), "kabupaten": (247, 269), "kecamatan": (827, 855),
                "kelurahan": (5104, 5325), "station": (152, 152)}  # fmt: skip
    for level, (before, after) in measured.items():
        assert 0.96 * before <= sizes[level] <= 1.04 * after, level


def test_a_station_that_is_published_has_a_longer_response():
    played = with_readers(rate="2/s", readers={"levels": ["station"]})
    size = played.simulation.server._publication.body_bytes(result_path("station", played.plan.stations[0].code))
    assert size == 486
    reads = len(played.reads)
    uploads = 3 * UPLOAD_BYTES + LOGIN_BYTES
    sent = played.simulation.server.traffic.sent_bytes - uploads
    assert reads * (197 + 152) < sent < reads * (197 + 486), "before the second page was stored, and after"


def test_a_path_that_was_read_before_is_revalidated_until_the_next_snapshot():
    reads = with_readers(readers={"levels": ["nation"], "conditional": True}, server={"public_cache": "2s"}).reads
    fresh = reads["done_s"][reads["status"] == 200]
    assert len(fresh) == 3, "one per computation: at most every two seconds"
    assert np.diff(fresh).min() > 2.0
    assert set(reads["status"].tolist()) == {200, 304}
    assert {str(number) for number in reads["outcome"]} == {str(reads["outcome"][0])}, "both are accepted"


def test_responses_share_the_egress_and_acknowledgements_wait_behind_those_of_readers():
    """20 reads/s of 446 bytes need 8.9 KB/s: half as much again as 6 KB/s, so that a queue grows."""
    tables = {"readers": {"levels": ["nation"]}}
    idle = with_readers(rate="20/s", server={"egress": "1MB/s"}, **tables)
    full = with_readers(rate="20/s", server={"egress": "6KB/s"}, **tables)
    assert idle.service_s == pytest.approx([2.0, 2.0, 2.0], abs=0.01)
    assert full.service_s[0] > 2.3
    assert full.service_s[1] > full.service_s[0]
    reads = full.reads
    last = reads[-20:]
    assert (last["done_s"] - last["sent_s"]).mean() > 1.0


def test_an_egress_gives_one_response_its_whole_rate():
    reads = with_readers(rate="1/s", readers={"levels": ["nation"]}, server={"egress": "1KB/s"}).reads
    assert (reads["done_s"] - reads["sent_s"]).min() == pytest.approx((197 + 148 + 101) / 1000)


def test_the_requests_of_readers_share_the_ingress():
    played = with_readers(
        rate="10/s", readers={"levels": ["nation"]}, server={"ingress": "1KB/s"}, photos={"size": "100B", "bank": 1}
    )
    reads = played.reads
    request_bytes = 95 + len("/pemilu/hhcw/ppwp.json")
    assert (reads["done_s"] - reads["sent_s"]).min() >= request_bytes / 1000 - 1e-9
    assert (reads["done_s"] - reads["sent_s"]).max() > 2 * request_bytes / 1000, "more come than pass"


def test_a_fault_of_reads_hits_them_and_spares_uploads():
    faults = [{"kind": "abort", "status": 500, "match": {"phase": "public"}, "skip_first": 2}]
    played = with_readers(rate="10/s", faults=faults)
    assert played.reads["status"].tolist()[:4] == [200, 200, 500, 500]
    assert played.outcomes == {"accepted": 3}
    assert {injection.key.phase for injection in played.injections} == {"public"}


def test_reads_that_hang_time_out_and_delay_the_end_by_a_second_at_most():
    faults = [{"kind": "timeout", "match": {"phase": "public"}}]
    played = with_readers(rate="10/s", readers={"timeout": "500ms"}, faults=faults)
    ended = played.reads
    assert (ended["done_s"] - ended["sent_s"]) == pytest.approx(0.5)
    hanging = with_readers(rate="10/s", readers={"timeout": "1h"}, faults=faults)
    assert len(hanging.reads) == 0, "broken off: neither answered nor failed"
    assert hanging.end.at_s == pytest.approx(7.0)
    assert hanging.end.problem == ""


def test_a_closed_port_refuses_reads():
    faults = [{"kind": "down", "start": "1s", "duration": "1s"}]
    played = with_readers(rate="20/s", faults=faults, client=AGAIN)
    reads = played.reads
    outcomes = played.outcomes_of(reads[(reads["due_s"] > 1.0) & (reads["due_s"] < 2.0)])
    assert outcomes.keys() == {"refused"}
    assert played.outcomes_of(reads[reads["due_s"] > 2.0]).keys() == {"accepted"}


def test_a_crash_loses_responses_on_the_line_and_readers_go_on_afterwards():
    faults = [{"kind": "crash", "start": "1s", "restart_after": "1s"}]
    server, levels = {"egress": "2KB/s"}, {"levels": ["nation"]}
    played = with_readers(rate="20/s", faults=faults, server=server, readers=levels, client=AGAIN)
    reads = played.reads
    at_crash = played.outcomes_of(reads[reads["done_s"] == 1.0])
    assert at_crash.keys() == {"closed"}
    assert (reads["done_s"][reads["due_s"] > 2.0] > 2.0).all()
    assert "accepted" in played.outcomes_of(reads[reads["due_s"] > 2.0])


def test_more_reads_at_once_than_allowed_are_the_generators_fault(monkeypatch):
    monkeypatch.setattr("harness.simulate.readers.MAX_READS_IN_FLIGHT", 3)
    faults = [{"kind": "timeout", "match": {"phase": "public"}}]
    played = with_readers(rate="20/s", readers={"timeout": "1s"}, faults=faults)
    assert played.outcomes_of(played.reads).keys() == {"generator_error", "timeout_response"}


def test_no_read_begins_after_the_deadline():
    played = with_readers(rate="20/s", deadline="3s", faults=[{"kind": "timeout", "match": {"phase": "upload"}}])
    assert played.reads["due_s"].max() < 3.0
    assert played.simulation.readers.until_s == 3.0


def test_a_run_that_is_broken_off_records_no_read_that_was_in_flight():
    faults = [{"kind": "timeout", "match": {"phase": "public"}}]
    played = play(abort_at_s=2.0, **one_station(client=ONCE, server=LONG, readers={"rate": "10/s"}, faults=faults))
    assert (len(played.reads), played.end.at_s) == (0, 2.0)
    assert played.simulation.readers is not None
    assert played.simulation.readers.until_s == 2.0


def test_without_readers_there_are_no_reads():
    played = play(**one_station())
    assert (played.simulation.readers, len(played.reads)) == (None, 0)
    assert RecordKind.READ not in set(played.rows["kind"].tolist())
