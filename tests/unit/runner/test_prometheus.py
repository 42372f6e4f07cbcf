"""The Prometheus beside a run: waited for at the start, read at the end, and missed without harm."""

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from harness.analysis.scraped_metrics import read_prometheus_series
from harness.base.errors import UsageError
from harness.measure.prometheus import PrometheusError
from harness.run_folder.layout import RunFolder
from harness.runner import prometheus
from harness.runner.prometheus import PrometheusSession, discovery_folder

URL = "http://127.0.0.1:9"


@pytest.fixture
def spec(tmp_path):
    """What a watch needs to know of a run of two workers."""
    (tmp_path / "run").mkdir()
    (tmp_path / "sd").mkdir()
    return SimpleNamespace(
        workers=2, folder=RunFolder(tmp_path / "run"), run_id="run-1", scenario=SimpleNamespace(name="tiny"),
        prometheus=URL, prometheus_sd=tmp_path / "sd",
    )  # fmt: skip


class Answers:
    """A source that tells of its workers and of its last scrapes as it is asked to, the last answer again and again."""

    def __init__(self, workers=(), scraped=(), now=time.time):
        self._now = now
        self._workers, self._scraped, self.taken = list(workers), list(scraped), []

    def workers(self):
        return self._answer(self._workers)

    def scraped_at(self):
        return [self._now() + later_s for later_s in self._answer(self._scraped)]

    def _answer(self, answers):
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def import_scrapes(self, folder, start, end, clock):
        self.taken.append((folder.name, start, end, clock(end)))


def begin(spec, source, pauses):
    with PrometheusSession(spec) as it:
        it._source = source
        processes: Any = SimpleNamespace(pause=pauses.append)
        it.begin({"worker-0": "http://127.0.0.1:1/metrics"}, processes, lambda _: None)
        return list(spec.prometheus_sd.iterdir())


def end(spec, source, *, patient=True):
    logged: list[str] = []
    it = PrometheusSession(spec)
    it._source = source
    it.end(1000.0, logged.append, patient=patient)
    return logged


def test_load_waits_until_every_worker_has_been_scraped(spec):
    pauses: list[float] = []
    (path,) = begin(spec, Answers(workers=[PrometheusError("busy"), {"0"}, {"0", "1"}]), pauses)
    assert len(pauses) == 2
    assert path.name == "harness-run-1.json"
    assert not path.exists()  # taken back with the run's end


def test_a_prometheus_that_does_not_scrape_the_run_ends_it_before_the_first_upload(spec, monkeypatch):
    monkeypatch.setattr(prometheus, "FIRST_SCRAPE_TIMEOUT_S", 0.0)
    with pytest.raises(UsageError, match="it scraped 1 of 2 workers"):
        begin(spec, Answers(workers=[{"0"}]), [])
    assert list(spec.prometheus_sd.iterdir()) == []


def test_it_is_read_once_every_worker_was_scraped_after_the_end(spec, monkeypatch):
    stopped = SimpleNamespace(time=lambda: 5000.0, monotonic=lambda: 0.0, sleep=lambda _: None)
    monkeypatch.setattr("harness.runner.prometheus.time", stopped)
    source = Answers(scraped=[[-1.0, -1.0], PrometheusError("busy"), [1.0, -1.0], [2.0, 3.0]], now=stopped.time)
    end(spec, source)
    ((name, start, until, clock),) = source.taken
    assert (name, start, clock) == ("prometheus", 1000.0, until - 1000.0)
    assert until == 5003.0


@pytest.mark.parametrize("scraped", [[[-1.0, 2.0]], [[]]])
def test_an_interrupted_run_and_workers_that_are_gone_are_not_waited_for(spec, scraped):
    source = Answers(scraped=scraped)
    end(spec, source, patient=False)
    assert len(source.taken) == 1


def test_one_that_breaks_down_is_told_and_written_down_and_raises_nothing(spec, monkeypatch):
    monkeypatch.setattr(prometheus, "LAST_SCRAPE_TIMEOUT_S", 0.3)
    logged = end(spec, Answers(scraped=[PrometheusError("it is gone")]))
    assert logged[-1] == f"{URL}: it is gone"
    remote: Any = read_prometheus_series(spec.folder.prometheus)
    assert remote.record.problem == "it is gone"


def test_without_a_prometheus_nothing_is_done_but_the_targets_told(spec):
    spec.prometheus = None
    with PrometheusSession(spec) as it:
        processes: Any = SimpleNamespace()
        it.begin({"server": "http://127.0.0.1:1/metrics"}, processes, lambda _: None)
        (path,) = spec.prometheus_sd.iterdir()
        assert json.loads(path.read_text("utf-8"))[0]["labels"]["scenario"] == "tiny"
        it.end(1000.0, lambda _: None, patient=True)
    assert not spec.folder.prometheus.exists()


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(UsageError, match="should be a folder"):
        discovery_folder("--prometheus-sd", tmp_path / "none")
