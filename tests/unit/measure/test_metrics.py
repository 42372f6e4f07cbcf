"""A worker's metrics: what they count of the journal's records."""

import numpy as np
import pytest
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
