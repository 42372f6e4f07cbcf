"""A worker's Prometheus metrics: a live view, fed in batches from the journal, whose records are the truth.

The metrics of prometheus-client take a lock for every observation, and under gevent that lock is Python code: at thousands of
attempts a second it cost more than sending them. So plain numbers are counted here and turned into families when scraped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from harness.base.model import ANSWERED, DELIVERED, OUTCOMES, TIMED_OUT, Outcome
from harness.run_folder.journal import RecordKind
from mock_server.overload.histogram_family import HistogramFamily, HistogramRow

if TYPE_CHECKING:
    import numpy.typing as npt

BUCKETS_S = (
    0.00025, 0.0003, 0.0004, 0.0005, 0.0006, 0.00075, 0.001, 0.00125, 0.0015, 0.002, 0.0025, 0.003, 0.004, 0.005, 0.006, 0.0075,
    0.01, 0.0125, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75,
    1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.5, 10.0, 12.5, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0,
)  # fmt: skip
"""Upper bounds of the histograms' buckets, seconds: ten per decade, so that an interpolated percentile is rarely off by a fifth.
A run adds the limits of its thresholds, so that PromQL can show them."""


def _mask(outcomes: Iterable[Outcome]) -> npt.NDArray[np.bool_]:
    """A mask over the numbers of `OUTCOMES`: True for these outcomes."""
    wanted = frozenset(outcomes)
    return np.array([outcome in wanted for outcome in OUTCOMES])


_TIMED = _mask(ANSWERED | TIMED_OUT)
_SENT = ~_mask({Outcome.WITHHELD, Outcome.GENERATOR_ERROR})
_DELIVERED = _mask(DELIVERED)
_ACCEPTED = _mask({Outcome.ACCEPTED})


class WorkerMetrics(Collector):
    """The metrics of one worker, in a registry of their own; their names are documented in docs/reference/metrics.md."""

    def __init__(
        self, limits_s: Sequence[float], run: dict[str, str], *, simulated: bool = False,
        trace_of: Callable[[int, int], str] | None = None,
    ) -> None:  # fmt: skip
        """`limits_s` become bucket bounds too; `run` has the labels of harness_run_info.

        A `simulated` worker has no process and no event loop, so nothing is published of them. `trace_of` gives the trace id of
        a page's attempt, for exemplars; None without traces.
        """
        bounds = sorted({*BUCKETS_S, *limits_s})
        self.pages_due = 0
        self.stations_completed = 0
        self.in_flight = 0
        self.loop_lag_s = 0.0
        self._by_outcome = np.zeros(len(OUTCOMES), dtype=np.int64)
        self._sent_bytes = 0
        self._retries: dict[Outcome, int] = {}
        self._reads = np.zeros(len(OUTCOMES), dtype=np.int64)
        self._read_response = _Histogram(
            "harness_reader_seconds", "Of a reader, from due to the end of the response", bounds
        )
        self._response = _Histogram("harness_response_seconds", "From due to the end of the response", bounds)
        self._accepted = _Histogram("harness_accepted_seconds", "The same, of accepted attempts alone", bounds)
        self._service = _Histogram("harness_service_seconds", "From connecting to the end of the response", bounds)
        self._lateness = _Histogram(
            "harness_lateness_seconds", "From due to connecting: the generator's own delay", BUCKETS_S
        )
        self._histograms = (self._response, self._accepted, self._service, self._lateness, self._read_response)
        self.registry = CollectorRegistry()
        self._simulated = simulated
        self._trace_of = trace_of
        if not simulated:
            ProcessCollector(registry=self.registry)
        self.registry.register(self)
        Gauge("harness_run_info", "The run", list(run), registry=self.registry).labels(**run).set(1)

    def count(self, records: npt.NDArray[np.void]) -> None:
        """Count the finished attempts among new records of the journal. Shape (n,), dtype journal.RECORD."""
        self._count_reads(records[records["kind"] == RecordKind.READ])
        ends = records[records["kind"] == RecordKind.END]
        if not len(ends):
            return
        outcome = ends["outcome"]
        self._by_outcome += np.bincount(outcome, minlength=len(OUTCOMES))
        self._sent_bytes += int(ends["sent_bytes"].sum())
        timed, sent, accepted = ends[_TIMED[outcome]], ends[_SENT[outcome]], ends[_ACCEPTED[outcome]]
        self._accepted.observe(accepted["done_s"] - accepted["due_s"])
        self._response.observe(timed["done_s"] - timed["due_s"])
        self._service.observe(timed["done_s"] - timed["sent_s"], self._traces(timed))
        self._lateness.observe(sent["sent_s"] - sent["due_s"])

    def _traces(self, records: npt.NDArray[np.void]) -> Callable[[int], str] | None:
        """The trace id of the attempt of a record, by the record's place."""
        trace_of = self._trace_of
        if trace_of is None:
            return None
        return lambda place: trace_of(int(records["page"][place]), int(records["attempt"][place]))

    def _count_reads(self, reads: npt.NDArray[np.void]) -> None:
        if len(reads):
            self._reads += np.bincount(reads["outcome"], minlength=len(OUTCOMES))
            timed = reads[_TIMED[reads["outcome"]]]
            self._read_response.observe(timed["done_s"] - timed["due_s"])

    def retry(self, reason: Outcome) -> None:
        """Count a retry."""
        self._retries[reason] = self._retries.get(reason, 0) + 1

    def collect(self) -> Iterable[Metric]:
        """The current metric families; called by the registry for each scrape."""
        attempts = CounterMetricFamily("harness_attempts", "Attempts that have ended", labels=["outcome"])
        for outcome, count in zip(OUTCOMES, self._by_outcome.tolist(), strict=True):
            attempts.add_metric([outcome.value], count)
        retries = CounterMetricFamily(
            "harness_retries", "Retries, by the outcome of the attempt before", labels=["reason"]
        )
        for reason, count in self._retries.items():
            retries.add_metric([reason.value], count)
        delivered = int(self._by_outcome[_DELIVERED].sum())
        reads = CounterMetricFamily("harness_reads", "Reads of readers that have ended", labels=["outcome"])
        for outcome, count in zip(OUTCOMES, self._reads.tolist(), strict=True):
            reads.add_metric([outcome.value], count)
        yield attempts
        yield reads
        yield CounterMetricFamily("harness_pages_due", "Pages whose station has arrived", self.pages_due)
        yield CounterMetricFamily("harness_pages_delivered", "Pages acknowledged", delivered)
        yield CounterMetricFamily(
            "harness_stations_completed", "Stations with all pages acknowledged", self.stations_completed
        )
        yield CounterMetricFamily("harness_sent_bytes", "Bytes of requests sent", self._sent_bytes)
        yield retries
        yield GaugeMetricFamily("harness_attempts_in_flight", "Attempts in flight", self.in_flight)
        yield from (one.family() for one in self._histograms)
        if not self._simulated:
            yield GaugeMetricFamily(
                "harness_loop_lag_seconds", "Worst delay of the event loop in a second", self.loop_lag_s
            )

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def negotiate(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the format that a scraper asks for by its header Accept, and the format's content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Histogram:
    """A histogram that takes whole arrays."""

    def __init__(self, name: str, help_text: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._help_text = help_text
        self._bounds = np.array(bounds)
        self._bound_names = [*map(floatToGoString, bounds), "+Inf"]
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        self._exemplars: dict[int, Exemplar] = {}

    def observe(self, values: npt.NDArray[np.float64], trace: Callable[[int], str] | None = None) -> None:
        """Count values; a value equal to a bound belongs to the bucket below it (Prometheus' `le`).

        `trace` gives the trace id of a value by its place: each bucket keeps that of its latest one as its exemplar.
        """
        buckets = np.searchsorted(self._bounds, values)
        self._counts += np.bincount(buckets, minlength=len(self._counts))
        self._sum += float(values.sum())
        if trace is not None:
            for bucket, place in {int(bucket): place for place, bucket in enumerate(buckets)}.items():
                self._exemplars[bucket] = Exemplar({"trace_id": trace(place)}, float(values[place]))

    def family(self) -> HistogramFamily:
        """The metric family: Prometheus wants cumulative counts."""
        family = HistogramFamily(self._name, self._help_text)
        counts = np.cumsum(self._counts).tolist()
        family.rows.append(HistogramRow((), self._bound_names, counts, self._sum, self._exemplars))
        return family
