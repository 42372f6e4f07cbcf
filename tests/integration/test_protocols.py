"""Every protocol of the client against the real mock over real sockets: each connection policy, cuts, faults, TLS."""

import json
import time
from itertools import count

import pytest

from harness.base.model import Outcome
from harness.drive.client.connection import Progress
from harness.drive.client.pool import ConnectionPool
from harness.plan import make_plan
from harness.scenario.loader import load_scenario
from tests.support.mock_process import process
from tests.support.real_runs import TINY, in_time
from tests.support.upload_driver import drive, target_of

EACH = 4
"""Stations a test: 12 pages."""
PHOTO = 300_000
RETRY = 'client.retry={strategy="fixed", base="20ms"}'
ACCEPTED, REPLAYED = str(Outcome.ACCEPTED), str(Outcome.REPLAYED)


@pytest.fixture(scope="module")
def plan():
    return make_plan(load_scenario("kaliwates", ["photos.size=300KB", "photos.bank=2", 'arrivals={kind="constant", over="1ms"}']))  # fmt: skip


@pytest.fixture(scope="module")
def clear(tmp_path_factory):
    with process(tmp_path_factory.mktemp("clear")) as running:
        yield running


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    with process(tmp_path_factory.mktemp("secure"), tls=True) as running:
        yield running


stations = count(0, EACH)
names = count()


def evenings(server, plan, folder, *overrides, faults=()):
    """Drives four stations that were not there yet, among these faults; what the journal says.

    Every fault must have struck as often as configured, and the store must hold exactly what was planned.
    """
    for fault in faults:
        content = json.dumps({"name": f"fault-{next(names)}", "ttl": "20s", **fault}).encode()
        status, said = server.ask("POST", "/faults", {"Content-Type": "application/json"}, content, admin=True)
        assert status < 300, said
    first = next(stations)
    chosen = range(first, first + EACH)
    driven = drive(target_of(server.ready), plan, chosen, folder, RETRY, *overrides)
    rules = json.loads(server.ask("GET", "/faults", admin=True)[1])["faults"]
    for rule in rules:
        server.ask("DELETE", f"/faults/{rule['name']}", admin=True)
    assert [rule["injected"] for rule in rules] == [fault["count"] for fault in faults]
    planned = [plan.page(page) for station in chosen for page in plan.pages_of(station)]
    codes = {page.station for page in planned}
    held = [
        (row["station"], row["page"], row["sha256"], row["reading"])
        for row in server.stored()
        if row["station"] in codes
    ]
    assert sorted(held) == [(page.station, page.page, page.sha256, page.reading) for page in planned]
    return driven


@pytest.mark.parametrize("connection", ["new", "each", "reuse"])
@pytest.mark.parametrize("protocol", ["put", "tus", "resumable"])
def test_each_protocol_brings_every_photo_through_whatever_the_connections(clear, plan, tmp_path, protocol, connection):
    chosen = [f"client.protocol={protocol}", f"client.connection={connection}"]
    driven = evenings(clear, plan, tmp_path, *chosen)
    assert driven.outcomes == [ACCEPTED] * 12
    assert set(driven.ends["status"]) == {204 if protocol == "tus" else 201}
    assert not driven.ends["resent_bytes"].any()
    sent = driven.ends["sent_bytes"]
    assert (sent > PHOTO * 0.9).all()
    assert (sent < PHOTO * 1.1).all()
    assert (driven.ends["body_sent_s"] <= driven.ends["first_byte_s"]).all()


TUS = ("client.protocol=tus",)
CHUNKS = (*TUS, 'client.tus={chunk_size="64KB", checksum="sha256"}')
RESUMABLE = ("client.protocol=resumable",)
PARTS = (*RESUMABLE, 'client.resumable={chunk_size="64KB"}')
CAREFUL = (*RESUMABLE, 'client.resumable={chunk_size="64KB", creation="careful"}')
ALONG = (*TUS, 'client.tus={chunk_size="64KB", creation_with_upload=true}')


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (TUS, {"kind": "limit_data", "limit": "100KB", "ending": "rst"}),
        pytest.param(TUS, {"kind": "limit_data", "limit": "100KB", "ending": "fin"}, marks=pytest.mark.slow),
        pytest.param(CHUNKS, {"kind": "limit_data", "limit": "30KB"}, marks=pytest.mark.slow),
        (ALONG, {"kind": "limit_data", "limit": "30KB"}),
        (CHUNKS, {"kind": "reset_peer", "match": {"method": "PATCH"}, "skip_first": 3}),
        pytest.param(CHUNKS, {"kind": "reset_peer", "match": {"method": "HEAD"}}, marks=pytest.mark.slow),
        pytest.param(
            CHUNKS,
            {"kind": "abort", "status": 503, "match": {"method": "PATCH"}, "skip_first": 3},
            marks=pytest.mark.slow,
        ),
        (CHUNKS, {"kind": "expire_upload", "skip_first": 3}),
        (CHUNKS, {"kind": "offset_rollback", "skip_first": 3}),
        (CHUNKS, {"kind": "stale_lock", "skip_first": 3}),
        (RESUMABLE, {"kind": "limit_data", "limit": "100KB", "ending": "rst"}),
        (RESUMABLE, {"kind": "limit_data", "limit": "100KB", "ending": "fin"}),
        (CAREFUL, {"kind": "reset_peer", "match": {"method": "PATCH"}, "skip_first": 3}),
        (PARTS, {"kind": "abort", "status": 503, "match": {"method": "PATCH"}, "skip_first": 3}),
        (PARTS, {"kind": "expire_upload", "skip_first": 3}),
        (PARTS, {"kind": "offset_rollback", "skip_first": 3}),
        (PARTS, {"kind": "stale_lock", "skip_first": 3}),
        (PARTS, {"kind": "timeout", "match": {"method": "PATCH"}, "skip_first": 3}),
    ],
    ids=lambda given: given["kind"] if isinstance(given, dict) else given[0].rpartition("=")[2],
)
def test_a_resumable_upload_comes_through_every_trouble_with_every_digest_right(clear, plan, tmp_path, options, fault):
    also = [{"kind": "abort", "status": 500, "match": {"method": "PATCH"}, "count": 3}] if fault.get("match") == {"method": "HEAD"} else []  # fmt: skip
    driven = evenings(clear, plan, tmp_path, *options, faults=[*also, {**fault, "count": 3}])
    assert sum(outcome in {ACCEPTED, REPLAYED} for outcome in driven.outcomes) == 12
    assert not len(driven.gave_up)


def test_a_cut_in_mid_body_goes_on_at_the_right_byte_and_sends_little_again(clear, plan, tmp_path):
    cut = {"kind": "limit_data", "limit": "150KB", "count": 6, "match": {"method": "PATCH"}}
    driven = evenings(clear, plan, tmp_path, *TUS, 'client.link={ upload = "16Mbit/s" }', faults=[cut])
    assert sorted(set(driven.outcomes) - {ACCEPTED}) in (["closed"], ["reset"], ["closed", "reset"])
    assert len(driven.outcomes) == 12 + 6
    # A link brings 16 KB at a time: the server has all but what was on its way when it closed.
    resent = int(driven.ends["resent_bytes"].sum())
    assert 0 < resent < 6 * 120_000
    payload = int(driven.ends["sent_bytes"].sum())
    assert payload >= 12 * PHOTO * 0.9 + resent


def test_a_creation_that_is_cut_goes_on_where_an_interim_response_said_and_sends_little_again(clear, plan, tmp_path):
    cut = {"kind": "limit_data", "limit": "150KB", "count": 6, "match": {"method": "PUT"}}
    driven = evenings(clear, plan, tmp_path, *RESUMABLE, 'client.link={ upload = "16Mbit/s" }', faults=[cut])
    assert sorted(set(driven.outcomes) - {ACCEPTED}) in (["closed"], ["reset"], ["closed", "reset"])
    assert len(driven.outcomes) == 12 + 6
    assert 0 < int(driven.ends["resent_bytes"].sum()) < 6 * 120_000


def test_the_whole_photo_goes_again_by_put_what_a_resumable_upload_saves(clear, plan, tmp_path):
    cut = {"kind": "limit_data", "limit": "150KB", "count": 6, "match": {"method": "PUT"}}
    driven = evenings(clear, plan, tmp_path, "client.protocol=put", 'client.link={ upload = "16Mbit/s" }', faults=[cut])
    assert int(driven.ends["resent_bytes"].sum()) >= 6 * 150_000


def test_an_acknowledgement_that_was_lost_is_learnt_by_asking_and_nothing_is_sent_again(clear, plan, tmp_path):
    driven = evenings(clear, plan, tmp_path, *TUS, faults=[{"kind": "ack_lost", "count": 3}])
    assert sorted(driven.outcomes) == [ACCEPTED] * 9 + [REPLAYED] * 3 + ["reset"] * 3
    assert not driven.ends["resent_bytes"].any()
    replayed = driven.ends[[outcome == REPLAYED for outcome in driven.outcomes]]
    assert (replayed["sent_bytes"] < 1000).all()


def test_an_acknowledgement_that_was_lost_is_asked_for_again_without_the_photo(clear, plan, tmp_path):
    driven = evenings(clear, plan, tmp_path, *RESUMABLE, faults=[{"kind": "ack_lost", "count": 3}])
    assert sorted(driven.outcomes) == [ACCEPTED] * 9 + [REPLAYED] * 3 + ["reset"] * 3
    assert not driven.ends["resent_bytes"].any()
    replayed = driven.ends[[outcome == REPLAYED for outcome in driven.outcomes]]
    assert (replayed["sent_bytes"] < 2000).all(), "a HEAD and an empty PATCH"


@pytest.mark.parametrize(
    ("protocol", "link"),
    [
        ("multipart", "unlimited"),
        ("put", "unlimited"),
        ("tus", "unlimited"),
        ("tus", '{ upload = "16Mbit/s", rtt = "10ms" }'),
        ("resumable", "unlimited"),
    ],
)
def test_each_protocol_works_over_tls(secure, plan, tmp_path, protocol, link):
    driven = evenings(secure, plan, tmp_path, f"client.protocol={protocol}", f"client.link={link}", "client.connection=each")  # fmt: skip
    assert driven.outcomes == [ACCEPTED] * 12
    if link != "unlimited":
        assert (driven.ends["connected_s"] - driven.ends["sent_s"] >= 0.02).all()  # a round trip for TCP, one for TLS


def test_faults_are_the_same_over_tls_as_in_the_clear(secure, plan, tmp_path):
    faults = [
        {"kind": "abort", "status": 503, "retry_after": "1s", "match": {"phase": "upload"}, "count": 2},
        {"kind": "reset_peer", "match": {"method": "PATCH"}, "skip_first": 4, "count": 2},
        {"kind": "ack_lost", "count": 2},
    ]
    options = (*TUS, 'client.retry={strategy="fixed", base="20ms", honour_retry_after=false}')
    driven = evenings(secure, plan, tmp_path, *options, faults=faults)
    assert driven.outcomes.count("unavailable") == 2
    assert driven.outcomes.count("reset") == 4
    assert driven.outcomes.count(REPLAYED) == 2


@pytest.mark.parametrize("resumption", [True, False])
def test_the_mock_lets_a_session_be_taken_up_and_the_client_does_so_only_if_told(secure, resumption):
    connections = ConnectionPool(target_of(secure.ready, resumption=resumption), "each", time.monotonic)
    source, seen = connections.source(), []
    for _ in range(3):
        connection = source.lease()
        connection.connect()
        assert connection.tls is not None
        seen.append(connection.tls.is_resumed)
        answer = connection.request([b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"], Progress())
        assert answer.status == 200
        source.release(connection, alive=answer.keep_alive)
    assert seen == [False, resumption, resumption]


def test_a_certificate_that_is_not_trusted_fails_every_attempt(clear, secure, plan, tmp_path):
    target = target_of({"port": secure.ready["port"], "certificate": secure.ready["certificate"]})
    assert target.tls is not None
    object.__setattr__(target.tls, "server_name", "elsewhere.example")
    first = next(stations)
    driven = drive(target, plan, range(first, first + 1), tmp_path, 'client.retry={strategy="none"}')
    assert driven.outcomes == ["tls_failed"] * 3
    assert (driven.ends["connected_s"] != driven.ends["connected_s"]).all()


def test_a_whole_run_over_tls_with_resumable_uploads_among_faults(tmp_path):
    scenario = tmp_path / "secure.toml"
    scenario.write_text(
        TINY.replace(
            "[client]", '[client]\nprotocol = "tus"\ntus = { chunk_size = "10KB", checksum = "sha1" }'
        ).replace("[server]", "[server]\ntls = true")
        + '[[faults]]\nkind = "offset_rollback"\nprobability = "20%"\n'
        + '[[faults]]\nkind = "ack_lost"\nprobability = "20%"\n',
        "utf-8",
    )
    code, said, folder = in_time(scenario, cwd=tmp_path)
    assert code == 0, said
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["pages"]["delivered"] == summary["pages"]["planned"] == 36
    assert summary["attempts"]["by_outcome"]["replayed"] > 0
    assert 0 < summary["attempts"]["resent_ratio"] < 0.5
    record = json.loads((folder / "run.json").read_text())
    assert record["target"].startswith("https://127.0.0.1:")
    assert "BEGIN CERTIFICATE" in (folder / "server" / "certificate.pem").read_text()
