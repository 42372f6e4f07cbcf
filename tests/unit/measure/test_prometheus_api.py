"""What a Prometheus server is asked, and every way in which its answer can be none."""

import http.server
import json
import math
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.measure.prometheus_api import PrometheusClient, PrometheusError, PrometheusSample, quote_promql
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
def test_what_is_no_answer_of_a_prometheus_is_an_error_in_words(server, answer):
    server.answer = answer
    prometheus = PrometheusClient(server.url)
    for ask in (lambda: prometheus.query("x"), lambda: prometheus.query_range("x", 0, 1, 1), prometheus.now):
        with pytest.raises(PrometheusError, match="not the answer of a Prometheus"):
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
