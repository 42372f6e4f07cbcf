"""The token bucket behind ingress and egress."""

from __future__ import annotations

import pytest

from mock_server.overload.line_schedule import LineSchedule


def test_pieces_pass_one_after_another() -> None:
    line = LineSchedule(100.0, slack_s=0.0)
    assert [line.admit(0.0, 50), line.admit(0.0, 50), line.admit(0.9, 10)] == [0.5, 1.0, 1.1]


def test_an_idle_line_saves_nothing_up() -> None:
    line = LineSchedule(100.0, slack_s=0.02)
    line.admit(0.0, 50)
    assert line.admit(60.0, 50) == 60.5


def test_a_piece_that_is_late_by_less_than_the_slack_counts_from_when_it_was_due() -> None:
    line = LineSchedule(100.0, slack_s=0.02)
    end_s = line.admit(0.0, 50)
    assert line.admit(end_s + 0.015, 50, ready_s=end_s) == 1.0


def test_a_piece_that_comes_after_a_pause_counts_from_when_it_came() -> None:
    line = LineSchedule(100.0, slack_s=0.02)
    end_s = line.admit(0.0, 50)
    assert line.admit(end_s + 0.5, 50, ready_s=end_s) == 1.5


def test_a_piece_cannot_have_waited_since_a_time_to_come() -> None:
    line = LineSchedule(100.0, slack_s=0.02)
    assert line.admit(1.0, 50, ready_s=1.001) == 1.5


def test_a_line_that_is_always_served_late_still_passes_its_rate() -> None:
    line = LineSchedule(1000.0, slack_s=0.02)
    now_s, ready_s = 0.0, None
    for _ in range(100):
        ready_s = line.admit(now_s, 10, ready_s)
        now_s = ready_s + 0.009
    assert ready_s == pytest.approx(1.0)
    assert line.total_bytes == 1000


def test_utilisation_is_the_share_of_the_latest_second() -> None:
    line = LineSchedule(100.0, slack_s=0.0)
    line.admit(10.0, 25)
    assert line.utilisation_ratio(10.0) == 0.0
    assert line.utilisation_ratio(11.0) == pytest.approx(0.25)
    assert line.utilisation_ratio(20.0) == 0.0
    line.admit(20.0, 1000)
    assert line.utilisation_ratio(25.0) == pytest.approx(1.0)


def test_what_is_known_of_the_use_is_bounded() -> None:
    line = LineSchedule(100.0, slack_s=0.0)
    for number in range(1000):
        line.admit(float(number), 10)
    assert len(line._bins) < 100
