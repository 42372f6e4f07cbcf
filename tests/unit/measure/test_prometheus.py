"""An external Prometheus: what it is asked, every way in which its response can be unusable, and the file that lists targets."""

import http.server
import json
import math
import socket
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.measure.prometheus import (
    PrometheusClient,
    PrometheusError,
    PrometheusSample,
    ServiceDiscoveryFile,
    quote_promql,
    remove_stale_files,
)
from harness.measure.prometheus_import import check_prometheus


@pytest.fixture
def server():
    """A server on loopback that answers with `server.answer` (status, body) and notes what was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        server: Any

        def do_GET(self):
            self.server.asked.append(self.path)
            status, body = self.server.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    it: Any
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as it:
        it.asked, it.url = [], f"http://127.0.0.1:{it.server_port}"
        thread = threading.Thread(target=it.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield it
        it.shutdown()
        thread.join()


def success(result, kind="vector"):
    return 200, json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


def test_a_query_gives_every_series_with_its_labels(server):
    server.answer = success(
        [{"metric": {"a": "1"}, "value": [12.5, "3"]}, {"metric": {"a": "2"}, "value": [12.5, "NaN"]}]
    )
    first, second = PrometheusClient(server.url).query('x{a!=""}')
    assert first == PrometheusSample({"a": "1"}, 12.5, 3.0)
    assert math.isnan(second.value)
    parts = urlsplit(server.asked[0])
    assert (parts.path, parse_qs(parts.query)) == ("/api/v1/query", {"query": ['x{a!=""}']})


def test_a_range_is_asked_for_with_its_ends_and_step_below_the_servers_own_path(server):
    server.answer = success([{"metric": {}, "values": [[1.0, "1"], [1.5, "2"]]}], "matrix")
    found = PrometheusClient(server.url + "/prom/").query_range("x", 1.0, 1.5, 0.5)
    assert [(sample.at, sample.value) for sample in found] == [(1.0, 1.0), (1.5, 2.0)]
    parts = urlsplit(server.asked[0])
    assert parts.path == "/prom/api/v1/query_range"
    assert parse_qs(parts.query) == {"query": ["x"], "start": ["1.000"], "end": ["1.500"], "step": ["0.5"]}


def test_its_own_words_are_told_where_it_refuses(server):
    server.answer = (400, b'{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution"}')
    with pytest.raises(PrometheusError, match="HTTP status 400: exceeded maximum resolution"):
        PrometheusClient(server.url).query("x")


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"<html>"), (200, b"[]"), (200, b'"text"'), (404, b"404 page not found"), (200, b"[" * 100_000), success([{"metric": {}}]),
        success("text"), success([{"metric": {}, "value": [1, "one"]}]), (200, b'{"status":"success","data":null}'),
    ],
)  # fmt: skip
def test_what_is_not_a_response_of_prometheus_is_an_error(server, answer):
    server.answer = answer
    prometheus = PrometheusClient(server.url)
    for ask in (lambda: prometheus.query("x"), lambda: prometheus.query_range("x", 0, 1, 1), prometheus.now):
        with pytest.raises(PrometheusError, match="not a response of Prometheus"):
            ask()


def test_a_server_that_is_not_there_is_an_error_too(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(PrometheusError, match="refused"):
        PrometheusClient(server.url).now()


@pytest.mark.parametrize(
    "url", ["localhost:9090", "ftp://x", "http://", "http://me:secret@x:9090", "http://x:9090/?a=b", "http://x:99999"]
)
def test_an_address_that_cannot_be_used_or_kept_is_refused(url):
    with pytest.raises(ValueError, match=r".+"):
        PrometheusClient(url)


@pytest.mark.parametrize(("theirs", "said"), [(103.0, "3.0 s ahead of"), (97.0, "3.0 s behind")])
def test_clocks_that_are_apart_are_refused_as_the_charts_would_be(server, theirs, said):
    server.answer = success([theirs, str(theirs)], "scalar")
    with pytest.raises(PrometheusError, match=said):
        check_prometheus(PrometheusClient(server.url), lambda: 100.0)
    check_prometheus(PrometheusClient(server.url), lambda: theirs + 0.4)


def test_a_slow_answer_is_not_a_wrong_clock(server):
    server.answer = success([103.0, "103.0"], "scalar")
    clock = iter([100.0, 106.0, 100.0, 101.0])  # asked at 100, answered at 106: 103 may well be right
    check_prometheus(PrometheusClient(server.url), lambda: next(clock))
    with pytest.raises(PrometheusError, match=r"2\.5 s ahead"):
        check_prometheus(PrometheusClient(server.url), lambda: next(clock))


def test_text_becomes_a_string_of_promql():
    assert quote_promql('a"b\\c') == r'"a\"b\\c"'


# --- the file for service discovery


@pytest.fixture
def listener():
    """An address that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def write(folder, name, *addresses):
    (folder / name).write_text(json.dumps([{"targets": list(addresses), "labels": {}}]), "utf-8")


def test_every_target_has_its_job_its_name_and_the_runs_labels(tmp_path):
    discovery = ServiceDiscoveryFile(tmp_path, "2026-smoke")
    discovery.write(
        {"worker-0": "http://127.0.0.1:1234/metrics", "server": "http://127.0.0.1:5678/other"}, {"run": "2026-smoke"}
    )
    (path,) = tmp_path.iterdir()
    assert path.name == "harness-2026-smoke.json"
    assert json.loads(path.read_text("utf-8")) == [
        {"targets": ["127.0.0.1:1234"], "labels": {"job": "harness", "target": "worker-0", "run": "2026-smoke"}},
        {
            "targets": ["127.0.0.1:5678"],
            "labels": {
                "job": "mock_server", "target": "server", "run": "2026-smoke", "__metrics_path__": "/other",
            },
        },
    ]  # fmt: skip
    discovery.remove()
    discovery.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_server_on_another_machine_is_not_given_to_a_prometheus(tmp_path):
    own = {"worker-0": "http://10.0.0.7:1/metrics", "nginx": "http://127.0.0.1:2/metrics"}
    ServiceDiscoveryFile(tmp_path, "run").write({**own, "app": "http://10.0.0.9:3/metrics"}, {})
    (path,) = tmp_path.iterdir()
    found = [(group["labels"]["job"], group["targets"]) for group in json.loads(path.read_text("utf-8"))]
    assert found == [("harness", ["10.0.0.7:1"]), ("target", ["127.0.0.1:2"])]


def test_only_the_files_of_killed_runs_are_removed(tmp_path, listener):
    with socket.socket() as bound:  # so that nothing else can listen there
        bound.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{bound.getsockname()[1]}"
        write(tmp_path, "harness-killed.json", gone)
        write(tmp_path, "harness-alive.json", gone, listener)
        write(tmp_path, "mine.json", gone)
        (tmp_path / "harness-broken.json").write_text("{", "utf-8")
        remove_stale_files(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"harness-alive.json", "mine.json", "harness-broken.json"}
