"""A scrape as OpenTelemetry metrics: cumulative sums and histograms since T0, and gauges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.parser import text_string_to_metric_families

from harness import __version__
from harness.otlp.conventions import attributes_of, convention_of
from harness.run_folder.layout import RunRecord
from harness.run_folder.scrape_log import Scrape

SCOPE = InstrumentationScope("upload-harness", __version__)
LEADER = "leader"
"""The process that has judged the run, and reports its spans."""
_CUMULATIVE = AggregationTemporality.CUMULATIVE
_NS = 1_000_000_000


def resource_of(record: RunRecord, target: str) -> Resource:
    """What the metrics of a target are about: `target` is as in a `Scrape`, or "leader"."""
    is_ours = target == LEADER or target.startswith("worker-")
    name = "upload-harness" if is_ours else "mock-upload-server" if record.own_server else target
    labels = {f"upload.label.{key}": value for key, value in record.labels.items()}
    return Resource(
        {"service.name": name, "service.instance.id": target, "upload.run.id": record.id, "upload.scenario": record.name, **labels}
    )  # fmt: skip


def metrics_data(record: RunRecord, scrapes: Iterable[Scrape]) -> MetricsData:
    """Scrapes of different targets as one request. Raises ValueError for an exposition that can't be read."""
    return MetricsData([_resource_metrics(record, scrape) for scrape in scrapes])


def _resource_metrics(record: RunRecord, scrape: Scrape) -> ResourceMetrics:
    t0_s = record.t0_epoch or 0.0
    times: dict[str, Any] = {"start_time_unix_nano": int(t0_s * _NS), "time_unix_nano": int((t0_s + scrape.t_s) * _NS)}
    metrics = []
    for family in text_string_to_metric_families(scrape.text):
        data = _data(family, times)
        if data is not None:
            name, unit = convention_of(family.name)
            metrics.append(Metric(name, family.documentation, unit, data))
    return ResourceMetrics(resource_of(record, scrape.target), [ScopeMetrics(SCOPE, metrics, "")], "")


def _data(family: Any, times: Mapping[str, Any]) -> Sum | Gauge | Histogram | None:
    """A family's samples; None if it has none."""
    if not family.samples:
        return None
    if family.type == "histogram":
        return Histogram(_histogram_points(family, times), _CUMULATIVE)
    points = [
        NumberDataPoint(attributes=attributes_of(sample.labels), value=sample.value, **times)
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]
    return Sum(points, _CUMULATIVE, is_monotonic=True) if family.type == "counter" else Gauge(points)


def _histogram_points(family: Any, times: Mapping[str, Any]) -> list[HistogramDataPoint]:
    series: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        one = series.setdefault(tuple(labels.items()), {"labels": labels, "buckets": [], "sum": 0.0})
        if sample.name.endswith("_bucket"):
            one["buckets"].append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            one["sum"] = sample.value
    return [_histogram_point(one, times) for one in series.values() if one["buckets"]]


def _histogram_point(one: dict[str, Any], times: Mapping[str, Any]) -> HistogramDataPoint:
    buckets = sorted(one["buckets"])
    counts = [int(after - before) for before, after in pairwise([0.0, *(count for _, count in buckets)])]
    unknown: Any = None  # neither Prometheus nor we keep the smallest and greatest value
    return HistogramDataPoint(
        attributes=attributes_of(one["labels"]), count=sum(counts), sum=one["sum"], bucket_counts=counts,
        explicit_bounds=[bound for bound, _ in buckets[:-1]], min=unknown, max=unknown, **times,
    )  # fmt: skip
