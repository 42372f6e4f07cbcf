"""The example of docs/how-to/own-client.md as its reader would run it, and a bug in such a client."""

import json

import pytest

from harness.base.errors import ExitCode
from harness.base.model import Outcome
from harness.drive.client.own_client import load_own_client
from harness.drive.client.pool import ConnectionPool
from harness.drive.client.uploader import Uploader
from harness.plan import make_plan
from harness.plan.plan import derive_pin
from harness.run_folder.layout import RunFolder
from harness.scenario.loader import load_scenario
from tests.support.documents import own_client_example
from tests.support.mock_process import process
from tests.support.real_runs import TINY, told
from tests.support.upload_driver import target_of

OWN = TINY.replace("[client]\n", '[client]\nprotocol = "my_upload:Delivery"\n')


def test_the_example_is_as_short_as_the_page_promises():
    code = [line for line in own_client_example().splitlines() if line.strip()]
    assert len(code) <= 40


def test_two_workers_deliver_every_page_with_it(tmp_path):
    (tmp_path / "own.toml").write_text(OWN, "utf-8")
    (tmp_path / "my_upload.py").write_text(own_client_example(), "utf-8")
    code, output = told("run", "own.toml", "--allow-code", "--workers", "2", "--out", "run", cwd=tmp_path)
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output  # INVALID on a machine that is too busy to be on time
    folder = RunFolder(tmp_path / "run")
    record, audit = folder.read_run(), json.loads(folder.audit.read_text())
    assert [worker.attempts > 0 for worker in record.workers] == [True, True]
    assert (audit["safety"], audit["counts"]["ok"]) == (True, audit["sets"]["planned"])
    assert record.ended is not None
    assert record.ended.how == "completed"


def test_a_bug_in_it_ends_the_run_as_invalid_with_its_traceback_and_keeps_what_was_measured(tmp_path):
    (tmp_path / "own.toml").write_text(OWN, "utf-8")
    file = tmp_path / "my_upload.py"
    late = "        if sender.attempt == 1 and sender.memory.setdefault('pages', 0) == 2:\n            return sender.nothing\n"
    counted = "        sender.memory['pages'] = sender.memory.get('pages', 0) + 1\n"
    broken = own_client_example().replace("        token = sender", f"{late}{counted}        token = sender", 1)
    file.write_text(broken, "utf-8")
    code, output = told("run", "own.toml", "--allow-code", "--out", "run", cwd=tmp_path)
    assert code == ExitCode.INVALID, output
    reason = "  - a bug in the scenario's own client, not in the harness or the server: AttributeError: "
    place = output.partition(reason)[2].splitlines()
    assert place[1:3] == ["    Traceback (most recent call last):", f'      File "{file}", line 17, in attempt']
    folder = RunFolder(tmp_path / "run")
    assert folder.own_client.read_text() == broken
    record, audit = folder.read_run(), json.loads(folder.audit.read_text())
    assert record.ended is not None
    assert (record.ended.how, audit["safety"], audit["counts"]["ok"] >= 2) == ("own_client", True, True)
    assert sum(worker.shortages.get("own_client", 0) for worker in record.workers) >= 1


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with process(tmp_path_factory.mktemp("mock")) as running:
        yield running


def uploader(folder, server, plan, station):
    """What uploads a station's pages by the example."""
    (folder / "own.toml").write_text(OWN, "utf-8")
    (folder / "my_upload.py").write_text(own_client_example(), "utf-8")
    scenario = load_scenario(str(folder / "own.toml"))
    own = load_own_client(scenario.client.own, "", {})
    source = ConnectionPool(target_of(server.ready), "new", lambda: 0.0).source()
    pin = derive_pin(plan.stations[station].code, "")
    return Uploader(plan, scenario.client, source, "x", pin, lambda: 0.0, own=own)


@pytest.fixture(scope="module")
def plan():
    return make_plan(load_scenario("smoke", ["stations.count=2", "photos.size=30KB", "photos.bank=1"]))


def test_the_example_delivers_every_page_of_a_station_with_one_login(server, plan, tmp_path):
    sender = uploader(tmp_path, server, plan, 1)
    results = [sender.attempt(page, 1, 0.0, 0.0) for page in plan.pages_of(1)]
    sender.close()
    assert [(result.outcome, result.status) for result in results] == [(Outcome.ACCEPTED, 201)] * 3
    planned = [plan.page(page) for page in plan.pages_of(1)]
    code = plan.stations[1].code
    held = [(row["page"], row["sha256"], row["reading"]) for row in server.stored() if row["station"] == code]
    assert sorted(held) == [(page.page, page.sha256, page.reading) for page in planned]
    assert server.metric(f"http_server_request_duration_seconds_count{{{LOGIN}}}") == 1


LOGIN = 'http_request_method="POST",http_response_status_code="200",http_route="/v1/login"'


def test_a_lost_response_is_found_out_and_the_photo_is_not_sent_twice(server, plan, tmp_path):
    """The first PUT is stored and its response is lost; the second attempt asks first."""
    fault = {"kind": "ack_lost", "name": "lost", "ttl": "20s", "count": 1, "match": {"method": "PUT"}}
    server.ask("POST", "/faults", {"Content-Type": "application/json"}, json.dumps(fault).encode(), admin=True)
    sender = uploader(tmp_path, server, plan, 0)
    results = [sender.attempt(0, number, 0.0, 0.0) for number in (1, 2)]
    sender.close()
    assert [result.outcome for result in results] == [Outcome.RESET, Outcome.REPLAYED]
    assert [result.resent_bytes for result in results] == [0, 0]
    assert results[0].sent_bytes > plan.page(0).size_bytes > results[1].sent_bytes
    code = plan.stations[0].code
    assert [row["sha256"] for row in server.stored() if row["station"] == code] == [plan.page(0).sha256]
