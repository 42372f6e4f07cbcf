"""A worker's metrics: what they count of the journal's records."""

import io

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_fd_to_metric_families
from prometheus_client.parser import text_string_to_metric_families

from harness.base.model import OUTCOMES, Outcome
from harness.measure.metrics import WorkerMetrics
from harness.run_folder.journal import RECORD, RecordKind


def samples(metrics):
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_reads_are_counted_apart_from_attempts():
    records = np.zeros(4, dtype=RECORD)
    records["kind"] = [RecordKind.READ, RecordKind.READ, RecordKind.READ, RecordKind.END]
    outcomes = [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.REFUSED, Outcome.ACCEPTED]
    records["outcome"] = [OUTCOMES.index(outcome) for outcome in outcomes]
    records["due_s"] = records["sent_s"] = 1.0
    records["done_s"] = [1.02, 1.3, 1.0, 1.2]
    metrics = WorkerMetrics([], {"run": "x"})
    metrics.count(records)
    found = samples(metrics)
    assert found["harness_reads_total", "accepted"] == 2
    assert found["harness_reads_total", "refused"] == 1
    assert found["harness_attempts_total", "accepted"] == 1
    assert found["harness_pages_delivered_total",] == 1
    assert found["harness_reader_seconds_count",] == 2, "a refused one has no response time"
    assert found["harness_reader_seconds_sum",] == pytest.approx(0.32)
    assert found["harness_reader_seconds_bucket", "0.025"] == 1
    assert found["harness_response_seconds_count",] == 1


def test_each_bucket_shows_the_trace_of_its_latest_attempt_to_scrapers_that_ask_for_openmetrics():
    records = np.zeros(3, dtype=RECORD)
    records["kind"] = RecordKind.END
    records["outcome"] = OUTCOMES.index(Outcome.ACCEPTED)
    records["page"], records["attempt"] = [4, 5, 6], [1, 1, 2]
    records["done_s"] = [0.21, 0.22, 1.4]
    metrics = WorkerMetrics([], {"run": "x"}, trace_of=lambda page, attempt: f"{page:08x}{attempt:024x}")
    metrics.count(records)
    body, content_type = metrics.negotiate("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    families = {family.name: family for family in text_fd_to_metric_families(io.StringIO(body.decode()))}
    found = [sample.exemplar for sample in families["harness_service_seconds"].samples if sample.exemplar]
    assert [(one.labels["trace_id"], one.value) for one in found] == [
        ("00000005" + "1".zfill(24), pytest.approx(0.22)),
        ("00000006" + "2".zfill(24), pytest.approx(1.4)),
    ]
    plain, content_type = metrics.negotiate("")
    assert content_type.startswith("text/plain")
    assert b"trace_id" not in plain


def test_without_traces_there_are_no_exemplars():
    records = np.zeros(1, dtype=RECORD)
    records["kind"] = RecordKind.END
    metrics = WorkerMetrics([], {"run": "x"})
    metrics.count(records)
    assert b"trace_id" not in metrics.negotiate("application/openmetrics-text; version=1.0.0")[0]
