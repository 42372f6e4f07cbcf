"""A scrape as OpenTelemetry metrics."""

import pytest

from harness.otlp.metrics import metrics_data
from harness.run_folder.scrape_log import Scrape
from tests.support.run_builder import RunBuilder

TEXT = """# HELP x_total A counter
# TYPE x_total counter
x_total{kind="a"} 3
# TYPE x_created gauge
x_created{kind="a"} 1
# TYPE depth gauge
depth 7
# TYPE y_seconds histogram
y_seconds_bucket{route="r",le="0.5"} 2
y_seconds_bucket{route="r",le="1"} 2
y_seconds_bucket{route="r",le="+Inf"} 5
y_seconds_sum{route="r"} 9.5
y_seconds_count{route="r"} 5
"""


@pytest.fixture
def record(tmp_path):
    return RunBuilder(tmp_path).record.model_copy(update={"t0_epoch": 1000.0})


def metrics(record, text):
    (resource,) = metrics_data(record, [Scrape("server", 2.5, text)]).resource_metrics
    return {metric.name: metric for metric in resource.scope_metrics[0].metrics}


def test_counters_gauges_and_histograms_keep_values_and_get_times_since_t0(record):
    found = metrics(record, TEXT)
    (counter,) = found["x"].data.data_points
    assert (counter.value, counter.attributes) == (3, {"kind": "a"})
    assert (counter.start_time_unix_nano, counter.time_unix_nano) == (1_000_000_000_000, 1_002_500_000_000)
    assert found["depth"].data.data_points[0].value == 7
    (histogram,) = found["y_seconds"].data.data_points
    assert (histogram.bucket_counts, histogram.explicit_bounds) == ([2, 0, 3], [0.5, 1.0])
    assert (histogram.count, histogram.sum, histogram.attributes) == (5, 9.5, {"route": "r"})
    assert found["y_seconds"].unit == "s"


def test_a_scrape_that_is_no_exposition_is_refused(record):
    with pytest.raises(ValueError, match=r"\S"):
        metrics(record, "<html>")


def test_a_histogram_without_buckets_and_a_family_without_samples_are_left_out(record):
    found = metrics(record, "# TYPE y histogram\ny_sum 1\ny_count 1\n# TYPE z counter\n")
    assert found["y"].data.data_points == []
    assert "z" not in found
