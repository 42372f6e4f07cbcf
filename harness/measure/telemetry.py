"""The generator's Prometheus instruments: a live view, fed in batches; the journal's rows are the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import generate_latest

from harness.model import ANSWERED, DELIVERED, OUTCOMES, TIMED_OUT, Outcome

BUCKETS_S = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0,
)  # fmt: skip
"""Upper bounds of the histograms' buckets, seconds; a run adds the limits of its thresholds."""

_LATENESS_BUCKETS_S = (0.0005, 0.001, 0.002, *BUCKETS_S)
_TIMED = ANSWERED | TIMED_OUT
_NOT_SENT = frozenset({Outcome.WITHHELD, Outcome.GENERATOR_ERROR})


class Ended(NamedTuple):
    """What the instruments need to know of an attempt that is over."""

    outcome: Outcome
    response_s: float
    service_s: float
    lateness_s: float
    sent_bytes: int


class Telemetry:
    """Instruments of one worker, named as in docs/metrics.md, in a registry of their own."""

    def __init__(self, limits_s: Sequence[float], run: dict[str, str]) -> None:
        """`limits_s` become bucket bounds too; `run` are the labels of harness_run_info."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        registry = self.registry
        ProcessCollector(registry=registry)
        bounds = sorted({*BUCKETS_S, *limits_s})
        self._attempts = Counter("harness_attempts", "Attempts that are over", ["outcome"], registry=registry)
        self._by_outcome = {outcome: self._attempts.labels(outcome.value) for outcome in OUTCOMES}
        self.pages_due = Counter("harness_pages_due", "Pages whose station has turned up", registry=registry)
        self.pages_delivered = Counter("harness_pages_delivered", "Pages acknowledged", registry=registry)
        self.stations_completed = Counter(
            "harness_stations_completed", "Stations whose every page is acknowledged", registry=registry
        )
        self._sent_bytes = Counter("harness_sent_bytes", "Bytes of requests sent", registry=registry)
        self._retries = Counter(
            "harness_retries", "Retries decided upon, by what went wrong", ["reason"], registry=registry
        )
        self.in_flight = Gauge("harness_attempts_in_flight", "Attempts under way", registry=registry)
        self._response = Histogram(
            "harness_response_seconds", "From due to the answer's end", buckets=bounds, registry=registry
        )
        self._service = Histogram(
            "harness_service_seconds", "From connecting to the answer's end", buckets=bounds, registry=registry
        )
        self._lateness = Histogram(
            "harness_lateness_seconds", "From due to connecting", buckets=_LATENESS_BUCKETS_S, registry=registry
        )
        self.loop_lag = Gauge(
            "harness_loop_lag_seconds", "Worst delay of the event loop in a second", registry=registry
        )
        Gauge("harness_run_info", "The run", list(run), registry=registry).labels(**run).set(1)

    def ended(self, batch: Sequence[Ended]) -> None:
        """Count attempts that are over."""
        for attempt in batch:
            self._by_outcome[attempt.outcome].inc()
            self._sent_bytes.inc(attempt.sent_bytes)
            if attempt.outcome in _TIMED:
                self._response.observe(attempt.response_s)
                self._service.observe(attempt.service_s)
            if attempt.outcome not in _NOT_SENT:
                self._lateness.observe(attempt.lateness_s)
            if attempt.outcome in DELIVERED:
                self.pages_delivered.inc()

    def retry(self, reason: Outcome) -> None:
        """Count a retry."""
        self._retries.labels(reason.value).inc()

    def exposition(self) -> bytes:
        """All instruments in Prometheus' text format."""
        return generate_latest(self.registry)
