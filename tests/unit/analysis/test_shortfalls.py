"""The backlog over time, and the periods in which a server fell behind what was due or outstanding."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from harness.analysis.chart_data import load_chart_data
from harness.analysis.chart_types import BacklogLines, ChartLine
from harness.analysis.rows import load_rows
from harness.analysis.shortfalls import compute_backlog, find_shortfalls
from harness.base.model import Outcome
from harness.run_folder.journal import GiveUpReason
from tests.support.run_builder import RunBuilder
from tests.support.synthetic_run import kaliwates_run


def line(label: str, value: npt.NDArray[np.float64]) -> ChartLine:
    return ChartLine(label, np.arange(len(value), dtype=np.float64) + np.float64(0.5), value)


def backlog_of(
    offered: npt.NDArray[np.float64], goodput: npt.NDArray[np.float64], wait_s: float | None = 1.0
) -> BacklogLines:
    t_s = np.arange(len(offered) + 1.0)
    waiting = np.concatenate([[0.0], np.cumsum(offered - goodput)])
    lines = line("offered", offered), line("goodput", goodput), ChartLine("backlog", t_s, waiting)
    return BacklogLines(*lines, ChartLine("given up", t_s, 0 * t_s), wait_s, None, 0.0)


def falls(offered: np.ndarray, goodput: np.ndarray, wait_s: float | None = 1.0):
    return find_shortfalls(backlog_of(offered, goodput, wait_s))


def rate(*parts: tuple[int, float]) -> np.ndarray:
    """So many seconds of each rate."""
    return np.concatenate([np.full(seconds, value) for seconds, value in parts])


def test_the_backlog_is_what_is_due_and_neither_acknowledged_nor_given_up(tmp_path):
    run = RunBuilder(tmp_path / "run", due_s=[0.0, 1.0, 1.0, 2.0, 9.0], deadline_s=6.0)
    run.attempt(0, due_s=0.0, done_s=2.5)
    run.attempt(1, due_s=1.0, done_s=3.0)
    run.attempt(2, due_s=1.0, done_s=2.0, outcome=Outcome.UNAVAILABLE)
    run.gave_up(2, attempts=1, at_s=4.0, reason=GiveUpReason.ATTEMPTS_USED_UP)
    run.attempt(3, due_s=2.0, done_s=7.0)
    found = compute_backlog(load_rows(run.finish("deadline", at_s=8.0)))
    assert found.outstanding.t_s.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert found.outstanding.value.tolist() == [1, 3, 4, 2, 1, 1, 1]
    assert found.given_up.value.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert found.due.value.tolist() == [1, 2, 1, 0, 0, 0]
    assert found.delivered.value.tolist() == [0, 0, 1, 1, 0, 0]
    assert (found.typical_wait_s, found.last_delivery_s, found.last_rate_per_s) == (2.25, 3.0, 0.0)


def test_three_seconds_are_enough_to_fall_short_and_two_are_not():
    short = falls(rate((3, 10.0)), rate((3, 1.0)))
    assert [(fall.start_s, fall.end_s, fall.missing) for fall in short] == [(0.0, 3.0, 27.0)]
    assert falls(rate((2, 10.0)), rate((2, 1.0))) == []


def test_a_gap_of_three_seconds_counts_and_one_of_two_does_not():
    def gap(seconds: int) -> np.ndarray:
        return rate((20, 10.0), (seconds, 0.0), (10, 10.0 + seconds), (30 - seconds, 10.0))

    assert [(fall.start_s, fall.end_s) for fall in falls(rate((60, 10.0)), gap(3))] == [(20.0, 23.0)]
    assert falls(rate((60, 10.0)), gap(2)) == []


def test_a_backlog_that_is_given_up_at_the_end_is_no_longer_to_be_caught_up():
    lines = backlog_of(rate((20, 10.0), (10, 0.0)), rate((15, 10.0), (15, 0.0)))
    (fall,) = find_shortfalls(lines)
    assert (fall.start_s, fall.end_s, fall.caught_up) == (15.0, 30.0, False)
    lines.outstanding.value[-1] = 0.0
    (fall,) = find_shortfalls(lines)
    assert (fall.start_s, fall.end_s, fall.caught_up) == (15.0, 30.0, True)


def test_the_last_rate_is_that_of_the_last_quarter(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=8, deadline_s=8.0)
    for page in range(8):
        run.attempt(page, due_s=0.0, done_s=page + 0.5)
    assert compute_backlog(load_rows(run.finish("deadline", at_s=9.0))).last_rate_per_s == 1.0


def test_a_run_without_an_attempt_has_an_empty_backlog_and_no_wait(tmp_path):
    found = compute_backlog(load_rows(RunBuilder(tmp_path / "run").break_off()))
    assert found.outstanding.value.tolist() == found.due.value.tolist() == [0]
    assert (found.typical_wait_s, found.last_delivery_s, found.last_rate_per_s) == (None, None, 0.0)


@pytest.mark.heavy
def test_the_backlog_of_a_whole_run_agrees_with_its_counts(tmp_path):
    drawn = load_chart_data(kaliwates_run(tmp_path / "run", workers=1))
    rows = load_rows(kaliwates_run(tmp_path / "again", workers=1))
    left = (rows.station_due_s < 72.0) & ~(rows.acknowledged_s <= 72.0)
    assert drawn.backlog is not None
    assert drawn.backlog.outstanding.value[-1] == left.sum() > 100
    assert drawn.rates.goodput.t_s.max() <= 72.0


def test_a_dip_is_held_against_what_falls_due_in_it():
    offered, goodput = rate((60, 10.0)), rate((20, 10.0), (14, 3.0), (14, 17.0), (12, 10.0))
    (fall,) = falls(offered, goodput)
    assert (fall.start_s, fall.end_s, fall.caught_up) == (20.0, 34.0, True)
    assert fall.ratio == pytest.approx(0.3)


def test_a_dip_that_is_never_made_up_for_lasts_to_the_end_and_counts_what_was_outstanding():
    offered, goodput = rate((60, 10.0)), rate((20, 10.0), (10, 0.0), (30, 10.0))
    (fall,) = falls(offered, goodput)
    assert (fall.start_s, fall.end_s, fall.caught_up) == (20.0, 60.0, False)
    assert fall.ratio == pytest.approx(300 / 400)


def test_a_standstill_is_one_although_nothing_falls_due():
    (fall,) = falls(rate((20, 20.0), (40, 0.0)), rate((10, 20.0), (30, 0.0), (10, 20.0), (10, 0.0)))
    assert (fall.start_s, fall.end_s, fall.ratio) == (10.0, 40.0, 0.0)


def test_goodput_that_lags_behind_slow_links_is_no_shortfall_once_it_flows():
    """Each page takes 10 s: goodput is the load of 10 s before, and so is its end."""
    offered, goodput = rate((40, 5.0), (20, 0.0)), rate((10, 0.0), (40, 5.0), (10, 0.0))
    (fall,) = falls(offered, goodput, wait_s=10.0)
    assert (fall.start_s, fall.end_s, fall.caught_up) == (0.0, 10.0, True)


def test_noise_of_random_arrivals_is_no_shortfall():
    random = np.random.default_rng(3)
    offered = random.poisson(15.0, 300).astype(float)
    assert falls(offered, np.concatenate([[0.0], offered[:-1]])) == []


def test_the_greater_of_two_shortfalls_comes_first():
    goodput = rate((10, 10.0), (5, 5.0), (5, 15.0), (10, 10.0), (8, 0.0), (8, 20.0), (14, 10.0))
    first, second = falls(rate((60, 10.0)), goodput)
    assert (first.start_s, second.start_s) == (30.0, 10.0)
    assert (first.missing, second.missing) == (80.0, 25.0)


def test_one_rate_has_no_beginning_and_no_end():
    assert falls(rate((2, 10.0)), rate((2, 0.0))) == []
