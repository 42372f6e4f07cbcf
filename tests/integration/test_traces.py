"""Traces from the client's header to the mock's log and metrics, over real sockets."""

import json
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness.base.model import Outcome
from harness.drive.client.pool import ConnectionPool
from harness.drive.client.uploader import Uploader
from harness.plan import make_plan
from harness.plan.plan import derive_pin
from harness.run_folder.trace import trace_id, trace_prefix
from harness.scenario.loader import load_scenario
from tests.support.mock_process import process
from tests.support.upload_driver import target_of

ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
RUN = "20240214T1200-traced"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with process(tmp_path_factory.mktemp("mock")) as running:
        yield running


def exposition(server, accept):
    request = urllib.request.Request(f"http://127.0.0.1:{server.ready['port']}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return answer.headers["Content-Type"], answer.read().decode()


def test_every_request_of_an_attempt_has_its_trace_in_the_mocks_log_and_as_an_exemplar(server):
    scenario = load_scenario("smoke", ["stations.count=1", "photos.size=60KB", "photos.bank=1", "client.trace=true"])
    plan = make_plan(scenario)
    cut = {"kind": "limit_data", "name": "cut", "ttl": "60s", "count": 1, "limit": "20KB", "match": {"phase": "upload"}}
    server.ask("POST", "/faults", {"Content-Type": "application/json"}, json.dumps(cut).encode(), admin=True)
    source = ConnectionPool(target_of(server.ready), "new", lambda: 0.0).source()
    pin = derive_pin(plan.stations[0].code, "")
    uploader = Uploader(plan, scenario.client, source, "x", pin, lambda: 0.0, run=RUN)
    # The second attempt sent is the third row: the strategy has withheld one.
    results = [uploader.attempt(0, number, 0.0, 0.0, row) for number, row in ((1, 1), (2, 3))]
    uploader.close()
    assert results[1].outcome is Outcome.ACCEPTED
    assert 0 < results[1].resent_bytes <= plan.page(0).size_bytes
    assert results[0].resent_bytes == 0

    key = plan.key(0)
    prefix = trace_prefix(RUN, key.station, key.form, key.page)
    first, second = (trace_id(prefix, row) for row in (1, 3))
    kind, text = exposition(server, ACCEPT)
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    exemplars = {
        (sample.labels["http_route"], sample.labels["http_response_status_code"]): sample.exemplar.labels["trace_id"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.exemplar
    }
    assert exemplars["/v1/login", "200"] == first
    assert exemplars["/v1/stations/{code}/forms/{form}/pages/{page}", "201"] == second
    log = server.folder / "data" / "injections.jsonl"
    server.until(lambda: log.exists() and log.read_text())
    (line,) = map(json.loads, log.read_text().splitlines())
    assert (line["fault"], line["trace_id"]) == ("cut", first)

    kind, text = exposition(server, "*/*")
    assert kind.startswith("text/plain; version=0.0.4")
    assert "trace_id" not in text
