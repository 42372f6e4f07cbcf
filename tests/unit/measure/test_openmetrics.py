"""Scrapes as OpenMetrics: read back by a parser written by others."""

import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness.measure import openmetrics as module
from harness.measure.openmetrics import export_openmetrics
from harness.run_folder.scrape_log import Scrape, append_scrape

T0 = 1_700_000_000.25
LABELS = {"run": "2026-tiny", "scenario": 'a "b"\\'}


def exported(folder, *scrapes):
    for scrape in scrapes:
        append_scrape(folder, scrape)
    return "".join(export_openmetrics(folder, LABELS, T0))


def families(text):
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_every_sample_has_its_time_and_its_targets_labels(tmp_path):
    text = exported(
        tmp_path,
        Scrape("worker-0", 1.0, '# HELP a_total "A".\n# TYPE a_total counter\na_total{outcome="x"} 1.0\n'),
        Scrape("worker-0", 2.0, '# HELP a_total "A".\n# TYPE a_total counter\na_total{outcome="x"} 3.0\n'),
        Scrape("server", 1.5, "# TYPE depth gauge\ndepth 7\n"),
    )
    found = families(text)
    assert (found["a"].type, found["a"].documentation) == ("counter", '"A".')
    first, second = found["a"].samples
    assert (first.name, first.value, float(first.timestamp)) == ("a_total", 1.0, T0 + 1)
    assert (second.value, float(second.timestamp)) == (3.0, T0 + 2)
    assert first.labels == {
        "outcome": "x", "job": "harness", "target": "worker-0", "instance": "2026-tiny/worker-0", **LABELS,
    }  # fmt: skip
    (depth,) = found["depth"].samples
    assert (depth.labels["job"], depth.labels["target"]) == ("mock_server", "server")
    assert text.endswith("# EOF\n")


def test_a_failed_scrape_is_a_zero_of_up(tmp_path):
    text = exported(tmp_path, Scrape("server", 1.0, "depth 1\n"), Scrape("server", 2.0, "", "refused"))
    assert [sample.value for sample in families(text)["up"].samples] == [1.0, 0.0]


def test_a_family_stands_together_and_in_it_each_set_of_labels(tmp_path):
    def histogram(count):
        return "# TYPE h histogram\n" + "".join(
            f'h_bucket{{route="{route}",le="0.5"}} {count}\nh_bucket{{route="{route}",le="+Inf"}} {count}\n'
            f'h_count{{route="{route}"}} {count}\nh_sum{{route="{route}"}} 1.5\n'
            for route in "ab"
        )

    text = exported(tmp_path, Scrape("server", 1.0, histogram(1)), Scrape("server", 2.0, histogram(2)))
    lines = [line for line in text.splitlines() if line.startswith("h_")]
    told = [(re.findall('route="(.)"', line)[0], line.split()[-1], line.split("{")[0]) for line in lines]
    parts = ["h_bucket", "h_bucket", "h_count", "h_sum"]
    assert told == [(route, f"{T0 + t:.3f}", part) for route in "ab" for t in (1, 2) for part in parts]
    assert text.count("# TYPE h histogram") == 1


def test_labels_of_the_series_own_win(tmp_path):
    text = exported(tmp_path, Scrape("worker-0", 1.0, 'info{run="own",note="target=,run=no"} 1\n'))
    (sample,) = families(text)["info"].samples
    assert (sample.labels["run"], sample.labels["note"], sample.labels["target"]) == (
        "own",
        "target=,run=no",
        "worker-0",
    )


@pytest.mark.parametrize(
    ("exposition", "family", "kind"),
    [
        ("# TYPE a counter\na 1\n", "a", "unknown"),  # no _total: no counter to OpenMetrics
        ("# TYPE a untyped\na 1\n", "a", "unknown"),
        ("a 1 1234567890123\n", "a", "unknown"),  # undeclared, with a time of its own
        ("# TYPE a summary\na_count 1\na_sum 2\n", "a", "summary"),
    ],
)
def test_types_that_openmetrics_has_not_are_unknown(tmp_path, exposition, family, kind):
    found = families(exported(tmp_path, Scrape("server", 1.0, exposition)))
    assert found[family].type == kind
    assert float(found[family].samples[0].timestamp) == T0 + 1


def test_two_scrapes_in_one_millisecond_are_one(tmp_path):
    text = exported(tmp_path, Scrape("server", 1.0, "a 1\n"), Scrape("server", 1.0002, "a 2\n"))
    assert [sample.value for sample in families(text)["a"].samples] == [1.0]


def test_what_does_not_fit_into_memory_gives_the_same_text(tmp_path, monkeypatch):
    kept = [Scrape("server", float(n), f'# TYPE a_total counter\na_total{{x="é"}} {n}\nb {n}\n') for n in range(50)]
    whole = exported(tmp_path, *kept)
    monkeypatch.setattr(module, "_BUFFERED_BYTES", 500)
    assert "".join(export_openmetrics(tmp_path, LABELS, T0)) == whole
    assert len(families(whole)["a"].samples) == 50
