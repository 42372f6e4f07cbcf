"""The metrics of a server of the user's own: no count is lost around T0, and an endpoint that isn't one is named."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.base.errors import ExitCode
from tests.support.real_runs import REPORT, harness

SCENARIO = """
name = "metrics"
deadline = "10s"
[stations]
count = 20
[photos]
size = "5KB"
bank = 1
[arrivals]
kind = "constant"
over = "300ms"
[target]
path = "/{{station}}/{{form}}/{{page}}"
accept_unknown_safety = true
[[target.metrics]]
name = "app"
port = {port}
[[target.metrics]]
name = "wrong"
port = {port}
path = "/nowhere"
[[thresholds]]
assert = 'count(uploads_total{{target="app"}}) == 60'
"""


class Handler(BaseHTTPRequestHandler):
    """Counts uploads, on top of 1,000 that came before the run."""

    protocol_version = "HTTP/1.1"
    counted = 1000
    lock = threading.Lock()

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            Handler.counted += 1
        self.respond(201, b"")

    def do_GET(self):
        known = self.path == "/metrics"
        text = f"# TYPE uploads_total counter\nuploads_total {Handler.counted}\n"
        self.respond(200 if known else 404, text.encode() if known else b"")

    def respond(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


@pytest.fixture
def port() -> Iterator[int]:
    Handler.counted = 1000
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_upload_is_counted_and_an_endpoint_without_metrics_is_named_before_and_after_the_load(port, tmp_path):
    (tmp_path / "metrics.toml").write_text(SCENARIO.format(port=port), "utf-8")
    url = f"http://127.0.0.1:{port}"
    code, output = harness("run", "metrics.toml", "--target", url, "--out", "run", cwd=tmp_path, **REPORT)
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output  # INVALID on a machine that is too busy to be on time
    verdict = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert [one["observed"] for one in verdict["thresholds"]] == [60]
    named = [line for line in output.splitlines() if line.startswith("metrics endpoint wrong:")]
    assert len(named) == 2
    for line in named:
        assert f"{url}/nowhere answered 404 Not Found" in line
        assert "[[target.metrics]]" in line
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    (failing,) = summary["endpoints"]
    assert (failing["name"], failing["url"], failing["error"]) == ("wrong", f"{url}/nowhere", "HTTP status 404")
    assert failing["failed"] == failing["scrapes"] > 0
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert "metrics endpoint wrong" in page
    for words in ("fault", "drain"):
        assert words not in output.lower()
    assert "Phases and faults" not in page
    assert "sends no Server-Timing" in page
