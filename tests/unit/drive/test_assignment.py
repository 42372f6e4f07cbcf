"""A worker's assignment: local workers share files and environment with the leader, remote ones get what they need and no more."""

import zlib
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest

from harness.base.errors import UsageError
from harness.drive import assignment as assignment_module
from harness.drive.assignment import Assignment, AssignmentBuilder, resolve_endpoint, unpack_assignment, use_own_copy
from harness.drive.distributed.join import LEADER_ADDRESS, OWN_CLIENT
from harness.scenario.loader import load_scenario

ENVIRONMENT = {
    "HARNESS_PIN_SECRET": "pins", "HARNESS_CONSENT_TOKEN": "ltc1-x", "TARGET_KEY": "hush-77", "PASSWORD": "not theirs",
    "HARNESS_METRICS_PORT": "9700",
}  # fmt: skip
SCENARIO = 'name = "far"\ndeadline = "9s"\narrivals = { kind = "poisson", over = "1s" }\n'
TARGET = ["target.path=/{station}/{form}/{page}", 'target.headers={Authorization="Bearer ${TARGET_KEY}"}']


def builder(tmp_path, monkeypatch, *overrides, region="kaliwates"):
    (tmp_path / "far.toml").write_text(SCENARIO, "utf-8")
    scenario = load_scenario(str(tmp_path / "far.toml"), [f"stations.region={region}", *overrides])
    record: Any = SimpleNamespace(
        id="r", scenario=scenario.resolved(), target="http://10.0.0.9", address="10.0.0.9", limits_s=[], own_server=False,
        plan_sha256="ab" * 32, also_targets=[], own_client_sha256="",
    )  # fmt: skip
    (tmp_path / "region.csv").write_text("code,name,stations\n1,A,5\n", "utf-8")
    (tmp_path / "stations.csv").write_text("code\nCLINIC-1\n", "utf-8")  # the run folder's copy
    folder: Any = SimpleNamespace(journal=tmp_path, region=tmp_path / "region.csv", stations=tmp_path / "stations.csv")
    monkeypatch.setattr(assignment_module, "read_trusted_authority", lambda _folder, _scenario: None)
    return AssignmentBuilder(record, folder, 2, ENVIRONMENT)


def test_a_remote_worker_gets_the_variables_that_the_scenario_names_and_no_other(tmp_path, monkeypatch):
    there = builder(tmp_path, monkeypatch, *TARGET).common(remote=True)
    assert there.environment == {"HARNESS_CONSENT_TOKEN": "ltc1-x", "TARGET_KEY": "hush-77"}
    assert (there.pin_secret, there.plan_sha256, there.journal) == ("pins", "ab" * 32, "")
    assert "hush-77" not in repr(there)
    assert "pins" not in repr(there)


def test_a_local_worker_gets_a_folder_instead(tmp_path, monkeypatch):
    made = builder(tmp_path, monkeypatch, *TARGET)
    here = made.common(remote=False)
    assert (here.environment, here.plan_sha256, here.journal) == ({}, "", str(tmp_path))
    assert [made.for_worker(here, rank).metrics_port for rank in (0, 1)] == [9700, 9701]
    assert made.for_worker(made.common(remote=True), 1).metrics_port == 0


def test_a_custom_station_list_travels_along(tmp_path, monkeypatch):
    own = tmp_path / "own.csv"
    own.write_text("code,name,stations\n3509191001,A,5\n", "utf-8")
    made = builder(tmp_path, monkeypatch, region=own).common(remote=True)
    assert zlib.decompress(made.region) == (tmp_path / "region.csv").read_bytes()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    unpacked = unpack_assignment(made, elsewhere)
    assert unpacked.scenario.stations.region == str(elsewhere / "region.csv")
    assert (elsewhere / "region.csv").read_bytes() == (tmp_path / "region.csv").read_bytes()
    assert unpacked.region == b""


def test_own_stations_and_accounts_travel_along_and_only_the_worker_can_read_them(tmp_path, monkeypatch):
    sites, accounts = tmp_path / "sites.csv", tmp_path / "accounts.csv"
    sites.write_text("code\nCLINIC-1\n", "utf-8")
    accounts.write_text("code,key\nCLINIC-1,hush-78\n", "utf-8")
    made = builder(tmp_path, monkeypatch, "stations.file=sites.csv", "stations.accounts=accounts.csv")
    there = made.common(remote=True)
    assert "hush-78" not in repr(there)
    assert zlib.decompress(there.region) == (tmp_path / "stations.csv").read_bytes()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    unpacked = unpack_assignment(Assignment.from_message(msgpack.unpackb(msgpack.packb(there.to_message()))), elsewhere)
    stations = unpacked.scenario.stations
    assert (stations.file, stations.accounts) == (str(elsewhere / "file.csv"), str(elsewhere / "accounts.csv"))
    assert (elsewhere / "accounts.csv").stat().st_mode & 0o777 == 0o600
    assert (elsewhere / "accounts.csv").read_bytes() == accounts.read_bytes()
    assert (unpacked.region, unpacked.accounts) == (b"", b"")


def test_an_assignment_survives_its_way_as_a_message(tmp_path, monkeypatch):
    for remote in (False, True):
        sent = builder(tmp_path, monkeypatch, *TARGET).common(remote=remote)
        message = msgpack.unpackb(msgpack.packb(sent.to_message()))
        assert Assignment.from_message(message) == sent


def assignment(target, address, *, own_server=False):
    scenario = load_scenario("kaliwates", [])
    return Assignment(0, 1, "r", scenario, target, address, "", 0, [], "", own_server=own_server)


def test_a_remote_worker_sends_without_consent_only_to_its_leaders_mock(monkeypatch):
    read: list[str] = []

    def guard(_origin, address, *_):
        read.append(address)

    monkeypatch.setattr("harness.drive.assignment.ConsentGuard", guard)
    monkeypatch.setenv(LEADER_ADDRESS, "10.0.0.1")
    resolve_endpoint(assignment("http://10.0.0.1:80", "10.0.0.1", own_server=True))
    assert read == []
    resolve_endpoint(assignment("http://10.0.0.1:80", "10.0.0.1"))  # another server on the leader's machine
    resolve_endpoint(
        assignment("http://10.0.0.2:80", "10.0.0.2", own_server=True)
    )  # called the leader's own, at another address
    assert read == ["10.0.0.1", "10.0.0.2"]


def test_a_remote_worker_does_not_load_its_own_machine(monkeypatch):
    monkeypatch.setenv(LEADER_ADDRESS, "10.0.0.1")
    with pytest.raises(
        UsageError, match=r"resolves to 127\.0\.0\.1, which is this worker's own machine, not the leader's"
    ):
        resolve_endpoint(assignment("http://127.0.0.1:80", "127.0.0.1"))
    monkeypatch.setenv(LEADER_ADDRESS, "127.0.0.1")
    assert resolve_endpoint(assignment("http://127.0.0.1:80", "127.0.0.1")).guard is None


def with_own_client(tmp_path, monkeypatch):
    (tmp_path / "my_upload.py").write_text("class Delivery: ...\n", "utf-8")
    return builder(tmp_path, monkeypatch, "client.protocol=my_upload:Delivery").common(remote=True)


def test_an_own_client_may_read_every_target_variable_of_the_leader(tmp_path, monkeypatch):
    there = with_own_client(tmp_path, monkeypatch)
    assert there.environment == {"HARNESS_CONSENT_TOKEN": "ltc1-x", "TARGET_KEY": "hush-77"}


def test_a_remote_worker_runs_its_own_copy_of_an_own_client_and_no_other(tmp_path, monkeypatch):
    there = with_own_client(tmp_path, monkeypatch)
    joined = {LEADER_ADDRESS: "10.0.0.1"}
    for missing in (joined, {**joined, OWN_CLIENT: "acme"}):
        with pytest.raises(UsageError, match="start harness worker with --allow-code and the same code"):
            use_own_copy(there, missing)
    here = use_own_copy(there, {**joined, OWN_CLIENT: "/srv/my_upload.py"})
    assert here.scenario.client.own == "/srv/my_upload.py:Delivery"
    assert use_own_copy(there, {}) == there  # a local worker has the leader's file


def test_without_an_own_client_a_remote_worker_needs_no_code(tmp_path, monkeypatch):
    there = builder(tmp_path, monkeypatch).common(remote=True)
    assert use_own_copy(there, {LEADER_ADDRESS: "10.0.0.1"}) == there
