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
from tests.support.documents import ROOT, Block, blocks
from tests.support.mock_process import process
from tests.support.real_runs import TINY, assert_passed_or_late, harness
from tests.support.upload_driver import target_of

PAGE = ROOT / "docs" / "how-to" / "own-client.md"
OWN = TINY.replace("[client]\n", '[client]\nprotocol = "my_upload:Delivery"\n')


def example() -> str:
    (block,) = [block for block in blocks("python") if block.path == PAGE]
    assert isinstance(block, Block)
    return block.text


def test_the_example_is_as_short_as_the_page_promises():
    code = [line for line in example().splitlines() if line.strip()]
    assert len(code) <= 40


def test_the_example_delivers_every_page_and_a_bug_in_it_makes_the_run_invalid(tmp_path):
    (tmp_path / "own.toml").write_text(OWN, "utf-8")
    file = tmp_path / "my_upload.py"
    file.write_text(example(), "utf-8")
    folder = tmp_path / "run"
    code, output = harness("run", "own.toml", "--allow-code", "--out", "run", cwd=tmp_path)
    assert_passed_or_late(code, folder, output)
    audit = json.loads((folder / "audit.json").read_text())
    assert (audit["safety"], audit["liveness"], audit["counts"]["ok"]) == (True, True, 36)
    assert (folder / "own_client.py").read_text() == example()

    file.write_text(example().replace('"Content-Type": "application/json"', '"Content-Type": 3'), "utf-8")
    code, output = harness("run", "own.toml", "--allow-code", "--out", "broken", cwd=tmp_path)
    assert code == ExitCode.INVALID, output
    reason = "  - a bug in the scenario's own client, not in the harness or the server: TypeError: "
    assert reason in output
    assert f'      File "{file}", line' in output.partition(reason)[2]
    record = RunFolder(tmp_path / "broken").read_run()
    assert record.ended is not None
    assert (record.ended.how, sum(worker.shortages["own_client"] for worker in record.workers) > 0) == (
        "own_client",
        True,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with process(tmp_path_factory.mktemp("mock")) as running:
        yield running


def test_a_lost_response_is_found_out_and_the_photo_is_not_sent_twice(server, tmp_path):
    """Through a real connection: the first PUT is stored and its response is lost; the second attempt asks first."""
    fault = {"kind": "ack_lost", "name": "lost", "ttl": "20s", "count": 1, "match": {"method": "PUT"}}
    server.ask("POST", "/faults", {"Content-Type": "application/json"}, json.dumps(fault).encode(), admin=True)
    (tmp_path / "own.toml").write_text(OWN, "utf-8")
    (tmp_path / "my_upload.py").write_text(example(), "utf-8")
    scenario = load_scenario(str(tmp_path / "own.toml"))
    plan, own = make_plan(scenario), load_own_client(scenario.client.own, "", {})
    connections = ConnectionPool(target_of(server.ready), "new", lambda: 0.0)
    pin = derive_pin(plan.stations[0].code, "")
    uploader = Uploader(plan, scenario.client, connections.source(), "x", pin, lambda: 0.0, own=own)
    results = [uploader.attempt(0, number, 0.0, 0.0) for number in (1, 2)]
    uploader.close()
    assert [result.outcome for result in results] == [Outcome.RESET, Outcome.REPLAYED], own.bug
    assert [result.resent_bytes for result in results] == [0, 0]
    assert results[0].sent_bytes > plan.page(0).size_bytes > results[1].sent_bytes
    assert [row["sha256"] for row in server.stored()] == [plan.page(0).sha256]
