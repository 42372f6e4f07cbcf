"""`harness run --otlp` against a real receiver: what is pushed is decoded with OpenTelemetry's own protobuf."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from harness.base.errors import ExitCode
from harness.run_folder.layout import RunFolder
from harness.run_folder.trace import trace_id, trace_prefix
from tests.support.free_port import free_port
from tests.support.real_runs import assert_passed_or_late, in_time, told

pytestmark = pytest.mark.heavy


class Receiver:
    """Takes OTLP over HTTP and keeps what it was sent."""

    def __init__(self, status: int = 200) -> None:
        self.metrics: list[Any] = []
        self.spans: list[Any] = []
        self.headers: list[dict[str, str]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.headers.append(dict(self.headers))
                if self.path == "/v1/metrics":
                    receiver.metrics.append(ExportMetricsServiceRequest.FromString(body))
                elif self.path == "/v1/traces":
                    receiver.spans.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def last(self, service: str, name: str) -> Any:
        """The metric of this name that a service sent last."""
        found = [
            metric
            for request in self.metrics
            for resource in request.resource_metrics
            if attributes(resource.resource)["service.name"] == service
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
        ]
        return found[-1]


def attributes(one: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in one.attributes}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def test_a_run_pushes_the_metrics_of_both_sides_and_its_spans(tmp_path: Path, receiver: Receiver) -> None:
    place = tmp_path / "run"  # one run, late or not: the receiver would take the spans of a second one for the same
    code, output = told(
        "run", "smoke", "--otlp", receiver.url, "--label", "version=1.2", "--out", place, cwd=tmp_path,
        OTEL_EXPORTER_OTLP_HEADERS="x-team=night", OTEL_METRIC_EXPORT_INTERVAL="500",
    )  # fmt: skip
    assert_passed_or_late(code, place, output)
    assert "requests pushed." in output
    assert {headers["x-team"] for headers in receiver.headers} == {"night"}
    folder = RunFolder(place)
    record, summary = folder.read_run(), json.loads(folder.summary.read_text("utf-8"))
    assert len(receiver.metrics) >= 3, "twice a second"
    assert record.t0_epoch is not None

    sent = receiver.last("upload-harness", "upload.attempts")
    counts = {attributes(point)["upload.outcome"]: point for point in sent.sum.data_points}
    assert sent.sum.is_monotonic
    assert {name: point.as_double for name, point in counts.items() if point.as_double} == {
        name: number for name, number in summary["attempts"]["by_outcome"].items() if number
    }
    assert "error.type" not in attributes(counts["accepted"])
    assert attributes(counts["unavailable"])["error.type"] == "unavailable"
    duration = receiver.last("upload-harness", "http.client.request.duration")
    (point,) = duration.histogram.data_points
    assert duration.unit == "s"
    assert point.count == sum(point.bucket_counts) > 0
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert not point.HasField("min")
    assert point.start_time_unix_nano == int(record.t0_epoch * 1e9)

    served = receiver.last("mock-upload-server", "http.server.request.duration")
    routes = [attributes(point) for point in served.histogram.data_points]
    assert any(one["http.request.method"] == "POST" and one["http.response.status_code"] == 201 for one in routes)
    assert all(one["error.type"] == "503" for one in routes if one.get("http.response.status_code") == 503)

    resources = [attributes(one.resource) for one in receiver.metrics[-1].resource_metrics]
    about = {"upload.run.id": record.id, "upload.scenario": "smoke", "upload.label.version": "1.2"}
    assert sorted(resources, key=str) == [
        {"service.name": "mock-upload-server", "service.instance.id": "server", **about},
        {"service.name": "upload-harness", "service.instance.id": "worker-0", **about},
    ]

    spans = [span for request in receiver.spans for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]  # fmt: skip
    run, *others = spans
    assert run.name == "run smoke"
    phases = [span for span in others if span.name.startswith("phase ")]
    assert [span.name for span in phases] == [f"phase {phase.name}" for phase in record.phases]
    assert {span.parent_span_id for span in phases} == {run.span_id}
    uploads = [span for span in others if span.name == "upload"]
    assert len(uploads) == sum(summary["attempts"]["by_outcome"].values())
    first = attributes(uploads[0])
    prefix = trace_prefix(record.id, first["upload.station"], first["upload.form"], first["upload.page"])
    assert uploads[0].trace_id.hex() == trace_id(prefix, first["upload.attempt"])
    assert {link.span_id for span in uploads for link in span.links} == {run.span_id}
    assert all(run.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano <= run.end_time_unix_nano for span in uploads)  # fmt: skip


def test_a_collector_that_is_not_there_or_refuses_changes_nothing_but_a_line(tmp_path: Path) -> None:
    refusing = Receiver(400)
    try:
        for url in (f"http://127.0.0.1:{free_port()}", refusing.url):
            place = tmp_path / url.rpartition(":")[2]
            place.mkdir()
            code, output, folder = in_time("smoke", "--otlp", url, cwd=place)
            assert_passed_or_late(code, folder, output)
            assert "OTLP: " in output
            assert "requests failed: " in output
            assert "Traceback" not in output
    finally:
        refusing.close()


def test_an_address_that_is_none_is_refused_without_its_password(tmp_path: Path) -> None:
    code, output = told("run", "smoke", "--otlp", "ftp://user:secret@127.0.0.1", "--out", "out", cwd=tmp_path)
    assert code == ExitCode.USAGE
    assert "http://HOST:4318" in output
    assert "secret" not in output
    assert not (tmp_path / "out").exists()
