"""What is imported from a Prometheus: its own scrapes at their own times, whatever steps were asked for."""

import math
import re
from itertools import pairwise
from typing import Any

import pytest

from harness.analysis.chart_lines import rate_line
from harness.analysis.scraped_metrics import ATTEMPTS, DELIVERED, DUE, read_prometheus_series
from harness.measure import prometheus_import
from harness.measure.prometheus import PrometheusError, PrometheusSample
from harness.measure.prometheus_import import PrometheusSource, read_import, write_import_problem

T0 = 1_000_000.0
LOOKBACK_S = 300.0


class Kept:
    """Stands for a Prometheus that has scraped workers at these times, ten more pages due and delivered at each."""

    url = "http://prometheus:9090"

    def __init__(self, **scraped):
        self.scraped = {name.removeprefix("worker_"): times for name, times in scraped.items()}
        self.steps = []

    def query_range(self, expression, start, end, step_s):
        moments = [start + n * step_s for n in range(math.floor((end - start) / step_s + 1e-9) + 1)]
        assert len(moments) <= 11_000  # what a real one refuses
        self.steps.append((start, end))
        found = []
        for worker, times in self.scraped.items():
            for at in moments:
                known = [n for n, t_s in enumerate(times) if T0 + t_s <= at < T0 + t_s + LOOKBACK_S]
                if known:
                    value = T0 + times[known[-1]] if expression.startswith("timestamp(") else 10.0 * known[-1]
                    labels = {"worker": worker} | ({"outcome": "accepted"} if "outcome" in expression else {})
                    found.append(PrometheusSample(labels, at, value))
        return found


def remote(tmp_path) -> Any:
    return read_prometheus_series(tmp_path / "p")


def take(kept: Any, folder, until_s):
    return PrometheusSource(kept, "run-1").import_scrapes(folder, T0, T0 + until_s, lambda at: at - T0)


def test_every_scrape_comes_home_once_with_its_own_time(tmp_path):
    times = [-0.7, 0.31, 1.32, 2.3, 3.31]
    taken = take(Kept(worker_0=times, worker_1=[0.9, 1.9, 2.9]), tmp_path / "p", 3.31)
    assert (taken.scrapes, taken.interval_s, taken.problem) == (8, pytest.approx(1.0, abs=0.01), "")
    one, two = remote(tmp_path).workers
    assert one.t_s.tolist() == pytest.approx(times)
    assert one.counter(DUE).tolist() == one.counter(DELIVERED).tolist() == [0, 10, 20, 30, 40]
    assert two.counter(ATTEMPTS, ("outcome", {"accepted"})).tolist() == [0, 10, 20]
    assert (one.target, two.target) == ("worker-0", "worker-1")


def test_a_long_run_is_asked_for_in_parts_that_a_server_grants(tmp_path, monkeypatch):
    monkeypatch.setattr(prometheus_import, "_STEPS_AT_ONCE", 7)
    kept = Kept(worker_0=[n + 0.4 for n in range(20)])
    assert take(kept, tmp_path / "p", 19.4).scrapes == 20
    spans = kept.steps[: len(kept.steps) // 4]
    assert len(spans) == 8
    assert spans[-1][1] == T0 + 19.4
    assert [later[0] - earlier[1] for earlier, later in pairwise(spans)] == pytest.approx([0.5] * 7)


def test_scrapes_far_apart_are_no_gaps_if_that_is_how_often_it_scrapes(tmp_path):
    take(Kept(worker_0=[0.0, 15.0, 30.0, 45.0]), tmp_path / "p", 45.0)
    (curves,) = remote(tmp_path).workers
    line = rate_line([curves], DUE, "offered")
    assert line.value.tolist() == pytest.approx([10 / 15] * 45)
    take(Kept(worker_0=[0.0, 1.0, 2.0, 3.0, 18.0, 19.0]), tmp_path / "p", 19.0)
    (curves,) = remote(tmp_path).workers
    assert [math.isnan(rate) for rate in rate_line([curves], DUE, "offered").value] == [False] * 3 + [True] * 15 + [
        False
    ]


def test_only_this_run_is_asked_for_whatever_the_servers_labels_are(tmp_path):
    asked = []

    class Listening(Kept):
        def query_range(self, expression, start, end, step_s):
            asked.append(expression)
            return super().query_range(expression, start, end, step_s)

    kept: Any = Listening(worker_0=[1.0])
    PrometheusSource(kept, 'a"b').import_scrapes(tmp_path / "p", T0, T0 + 2, lambda at: at - T0)
    assert all(re.search(r'harness_run_info\{run="a\\"b"\}', expression) for expression in asked)


def test_where_nothing_is_found_what_was_taken_before_stays(tmp_path):
    take(Kept(worker_0=[0.0, 1.0]), tmp_path / "p", 1.0)
    with pytest.raises(PrometheusError, match="no scrapes of this run"):
        take(Kept(), tmp_path / "p", 1.0)
    assert len(remote(tmp_path).workers[0].t_s) == 2
    take(Kept(worker_0=[0.0, 1.0, 2.0]), tmp_path / "p", 2.0)
    assert len(remote(tmp_path).workers[0].t_s) == 3


def test_why_there_is_nothing_is_kept_too(tmp_path):
    assert remote(tmp_path) is None
    write_import_problem(tmp_path / "p", "http://x:9090", "refused")
    found = remote(tmp_path)
    assert (found.taken.url, found.taken.problem, found.workers) == ("http://x:9090", "refused", [])
    (tmp_path / "p" / "taken.json").write_text("{", "utf-8")
    assert read_import(tmp_path / "p") is None
