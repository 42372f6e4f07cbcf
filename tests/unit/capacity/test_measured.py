"""A measured run of a search: how it is made, without making it."""

from types import SimpleNamespace
from typing import Any

import pytest

from harness.capacity import measured
from harness.capacity.measured import MeasuredRuns
from harness.scenario.loader import load_scenario


@pytest.mark.parametrize("report", [True, False])
def test_a_measured_run_takes_the_workers_it_needs_and_draws_a_page_only_if_asked_to(tmp_path, monkeypatch, report):
    specs, reports = [], []
    monkeypatch.setattr(measured, "choose_worker_count", lambda *_: SimpleNamespace(workers=3))
    monkeypatch.setattr(measured, "Run", lambda spec, *_: SimpleNamespace(execute=lambda: specs.append(spec)))
    monkeypatch.setattr(measured, "judge_and_report", lambda *_, report: reports.append(report))
    monkeypatch.setattr(measured, "describe_played", lambda _: None)
    monkeypatch.setattr(measured, "evaluate_run", lambda *_: None)
    no_view: Any = lambda _: None  # noqa: E731 - of a run that is not made
    no_signals: Any = SimpleNamespace(received=None)
    runs = MeasuredRuns(tmp_path, [], no_view, lambda _: None, no_signals, lambda: None, report=report)
    runs.run("bears-1", "measuring", load_scenario("smoke"), ["pages.undelivered <= 0"])
    assert [spec.workers for spec in specs] == [3]
    assert reports == [report]
