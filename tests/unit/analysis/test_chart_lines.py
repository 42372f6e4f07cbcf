"""Where the time went, how many tries pages took, and the worst evenings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.analysis.chart_data import load_chart_data
from harness.analysis.chart_lines import ATTEMPT_PARTS, count_attempts_per_page, find_worst_stations
from harness.analysis.rows import load_rows
from harness.base.model import Outcome
from tests.support.run_builder import RunBuilder


@pytest.mark.heavy
def test_the_parts_of_an_attempt_add_up_to_the_time_from_sending_to_the_answers_end(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run", stations=1)
    run.attempt(
        0, due_s=0.2, sent_s=0.25, connected_s=0.27, body_sent_s=0.77, first_byte_s=1.9, done_s=2.0,
        login_s=0.1, queue_s=0.6, server_s=0.3,
    )  # fmt: skip
    spent = load_chart_data(run.finish("completed", at_s=2.0)).time_spent
    assert spent is not None
    parts = {line.label: line.value[0] for line in spent.parts}
    assert tuple(parts) == ATTEMPT_PARTS
    assert list(parts.values()) == pytest.approx([0.02, 0.1, 0.4, 0.6, 0.3, 0.33])
    assert sum(parts.values()) == pytest.approx(2.0 - 0.25)
    assert list(spent.attempts) == [1, 0]
    assert np.isnan(spent.parts[0].value[1])


def test_a_server_that_says_nothing_of_its_time_leaves_all_of_it_to_the_answer(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run", stations=1)
    run.attempt(0, due_s=0.0, sent_s=0.0, connected_s=0.1, body_sent_s=0.3, first_byte_s=0.9, done_s=1.0)
    spent = load_chart_data(run.finish("completed", at_s=1.0)).time_spent
    assert spent is not None
    parts = {line.label: line.value[0] for line in spent.parts}
    assert (parts["queue"], parts["service"]) == (0.0, 0.0)
    assert parts["answer"] == pytest.approx(0.7)


def test_only_delivered_attempts_are_in_the_means(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run", stations=2)
    run.attempt(0, outcome=Outcome.UNAVAILABLE, due_s=0.0, done_s=0.01)
    run.attempt(0, attempt=2, due_s=0.5, connected_s=0.5, body_sent_s=0.6, done_s=0.8)
    run.attempt(1, outcome=Outcome.TIMEOUT_RESPONSE, due_s=0.0, done_s=10.0)
    spent = load_chart_data(run.finish("deadline", at_s=10.0)).time_spent
    assert spent is not None
    assert spent.attempts.sum() == 1


def test_pages_are_counted_by_the_attempts_they_took(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run", stations=4)
    run.attempt(0, due_s=0.0)
    run.attempt(1, outcome=Outcome.UNAVAILABLE, due_s=0.0)
    run.attempt(1, attempt=2, due_s=1.0)
    run.attempt(2, outcome=Outcome.RESET, due_s=0.0)
    run.attempt(2, attempt=2, outcome=Outcome.WITHHELD, due_s=1.0)
    found = count_attempts_per_page(load_rows(run.finish("deadline", at_s=3.0)))
    assert found.delivered.tolist() == [0, 1, 1]
    assert found.not_delivered.tolist() == [1, 1, 0]


def test_stations_that_miss_pages_come_first_then_the_slowest(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run", stations=3, pages_each=2, due_s=[0.0, 1.0, 2.0])
    run.attempt(0, due_s=0.0, done_s=0.5)
    run.attempt(1, due_s=0.5, done_s=9.0)
    run.attempt(2, due_s=1.0, done_s=1.5)
    run.attempt(3, due_s=1.5, outcome=Outcome.UNAVAILABLE, done_s=1.6)
    run.attempt(4, due_s=2.0, done_s=2.5)
    run.attempt(5, due_s=2.5, done_s=3.0)
    worst = find_worst_stations(load_rows(run.finish("deadline", at_s=10.0)), 1, 1)
    assert [(station.code[-3:], station.delivered, station.pages, station.attempts) for station in worst] == [
        ("002", 1, 2, 2),
        ("001", 2, 2, 2),
    ]
    assert worst[0].completed_s is None
    assert worst[1].completed_s == 9.0


def test_of_two_stations_that_miss_as_much_the_one_that_waited_longer_comes_first(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run", stations=2, due_s=[5.0, 1.0])
    run.attempt(0, due_s=5.0, outcome=Outcome.UNAVAILABLE)
    run.attempt(1, due_s=1.0, outcome=Outcome.UNAVAILABLE)
    worst = find_worst_stations(load_rows(run.finish("deadline", at_s=10.0)), 5, 5)
    assert [station.code[-3:] for station in worst] == ["002", "001"]


def test_a_run_without_an_attempt_has_nothing_to_tell(tmp_path: Path) -> None:
    drawn = load_chart_data(RunBuilder(tmp_path / "run", stations=2).finish("interrupted", at_s=0.0))
    assert drawn.time_spent is not None
    assert drawn.time_spent.attempts.sum() == 0
    assert drawn.tries is not None
    assert drawn.tries.not_delivered.tolist() == [2]
    assert drawn.worst == []
