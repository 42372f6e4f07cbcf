"""Pushes what a run has measured to a collector by OTLP over HTTP, from a thread of the leader: nothing is asked of the sender.

A collector that does not answer never changes a run: what could not be pushed is counted and told at the end.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from harness.base.errors import HarnessError
from harness.otlp.metrics import metrics_data
from harness.otlp.spans import spans_of
from harness.plan import Plan
from harness.run_folder.layout import RunEnd, RunFolder, RunRecord
from harness.run_folder.scrape_log import Scrape
from harness.runner.live_stats import RunObserver, RunView
from reports.live_view import Snapshot

INTERVAL_S = 5.0
"""Between two pushes of metrics; OTEL_METRIC_EXPORT_INTERVAL (milliseconds) changes it."""
_TIMEOUT_S = 5.0
"""Of a request with its repetitions, unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise: a run ends that much later, twice."""
_SPANS_EACH = 500
_STOP_S = 2 * _TIMEOUT_S


@dataclass
class PushedCounts:
    """How many requests were sent, and how many of them the collector did not take."""

    requests: int = 0
    failed: int = 0
    error: str = ""
    """Of the latest failure."""

    def describe(self) -> str:
        """What became of the requests, as a sentence for the end of a run."""
        if not self.failed:
            return f"OTLP: {self.requests} requests pushed."
        return f"OTLP: {self.failed} of {self.requests} requests failed: {self.error or 'see the collector'}"


class _LatestError(logging.Handler):
    """Keeps what the exporters report, which say it only to their logger."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.text = record.getMessage().splitlines()[0][:200]


class OtlpPusher:
    """The connection to a collector. `url` is its base address, to which /v1/metrics and /v1/traces are added."""

    def __init__(self, url: str, interval_s: float | None = None) -> None:
        self._interval_s = interval_from_environment() if interval_s is None else interval_s
        base = url.rstrip("/")
        # None: as the environment has it
        timeout_s = None if "OTEL_EXPORTER_OTLP_TIMEOUT" in os.environ else _TIMEOUT_S
        self._metrics = OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=timeout_s)
        self._spans = OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=timeout_s)
        self._record: RunRecord | None = None
        self._latest: dict[str, Scrape] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._error = _LatestError()
        self._logger = logging.getLogger("opentelemetry")
        self.counts = PushedCounts()

    def begin(self, record: RunRecord) -> None:
        """T0 is known: push from now on."""
        self._record = record
        self._logger.addHandler(self._error)
        self._logger.propagate = False  # the run's own words at the end are enough
        self._thread = threading.Thread(target=self._push_until_stopped, name="otlp", daemon=True)
        self._thread.start()

    def add(self, scrape: Scrape) -> None:
        """Take a scrape; a later one of the same target replaces it, as everything in it is cumulative."""
        if scrape.text:
            with self._lock:
                self._latest[scrape.target] = scrape

    def finish(self, folder: RunFolder) -> PushedCounts:
        """Push what is left, and the spans of the judged run."""
        if self._thread is None:
            return self.counts
        self._stopping.set()
        self._thread.join(_STOP_S)
        for spans in self._batches_of_spans(folder):
            self._count(partial(self._push_spans, spans))
        for exporter in (self._metrics, self._spans):
            exporter.shutdown()
        self._logger.removeHandler(self._error)
        self._logger.propagate = True
        return self.counts

    def _batches_of_spans(self, folder: RunFolder) -> list[list[ReadableSpan]]:
        """The run's spans in requests; a run that left nothing to read is counted as one that failed."""
        try:
            spans = spans_of(folder)
        except HarnessError as error:
            self._note_failure(f"there are no spans: {error}")
            return []
        return [spans[first : first + _SPANS_EACH] for first in range(0, len(spans), _SPANS_EACH)]

    def _note_failure(self, error: str) -> None:
        """Count a request that could not even be made."""
        self.counts.requests += 1
        self.counts.failed += 1
        self.counts.error = error

    def _push_spans(self, spans: Sequence[ReadableSpan]) -> bool:
        return self._spans.export(spans) is SpanExportResult.SUCCESS

    def _push_until_stopped(self) -> None:
        while not self._stopping.wait(self._interval_s):
            self._push()
        self._push()

    def _push(self) -> None:
        with self._lock:
            scrapes, self._latest = list(self._latest.values()), {}
        record = self._record
        if record is None or not scrapes:
            return
        try:
            data = metrics_data(record, scrapes)
        except (ValueError, KeyError) as error:  # a target's own metrics may be anything
            self._note_failure(f"a scrape can't be read: {error}")
            return
        self._count(lambda: self._metrics.export(data) is MetricExportResult.SUCCESS)

    def _count(self, push: Callable[[], bool]) -> None:
        self.counts.requests += 1
        self._error.text = ""
        try:
            succeeded = push()
        except Exception as error:  # noqa: BLE001 - whatever a collector makes of it, the run goes on
            succeeded, self._error.text = False, f"{type(error).__name__}: {error}"
        if not succeeded:
            self.counts.failed += 1
            self.counts.error = self._error.text


def interval_from_environment() -> float:
    """Seconds between two pushes."""
    text = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")
    return max(0.1, int(text) / 1000) if text.isdecimal() else INTERVAL_S


class OtlpView:
    """Passes what a run shows on to another view, and its scrapes to the pusher."""

    def __init__(self, pusher: OtlpPusher, inner: RunView) -> None:
        self._pusher = pusher
        self._inner = inner

    def log(self, text: str) -> None:
        """Show one line on what is being done."""
        self._inner.log(text)

    def show(self, snapshot: Snapshot) -> None:
        """Show the live statistics."""
        self._inner.show(snapshot)

    def begin(self, folder: RunFolder, record: RunRecord, plan: Plan) -> None:
        """The run begins."""
        self._pusher.begin(record)
        self._observe("begin", folder, record, plan)

    def add(self, scrape: Scrape) -> None:
        """Take a scrape."""
        self._pusher.add(scrape)
        self._observe("add", scrape)

    def end(self, ended: RunEnd) -> None:
        """The run has ended."""
        self._observe("end", ended)

    def _observe(self, method: str, *arguments: Any) -> None:
        if isinstance(self._inner, RunObserver):
            getattr(self._inner, method)(*arguments)
