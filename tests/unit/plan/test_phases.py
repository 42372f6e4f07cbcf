"""Phases: the intervals between fault edges."""

from harness.base.model import Phase
from harness.plan.phases import compute_phases

INFINITE = float("inf")


def test_without_faults_the_run_is_one_clear_phase():
    assert compute_phases([], 0.0, 10.0) == [Phase("clear", 0.0, 10.0)]


def test_phases_follow_one_another_without_gaps_and_overlaps_are_joined():
    found = compute_phases([("b", 4.0, 8.0), ("a", 2.0, 6.0)], 0.0, 10.0)
    assert [(phase.name, phase.start_s, phase.end_s) for phase in found] == [
        ("clear", 0, 2), ("a", 2, 4), ("a+b", 4, 6), ("b", 6, 8), ("clear", 8, 10),
    ]  # fmt: skip


def test_a_warm_up_comes_first_whatever_is_on():
    assert [phase.name for phase in compute_phases([("a", 0.0, 5.0)], 2.0, 10.0)] == ["warm_up", "a", "clear"]


def test_a_fault_may_outlast_the_run():
    assert compute_phases([("a", 3.0, INFINITE)], 0.0, 5.0)[-1] == Phase("a", 3.0, 5.0)


def test_what_comes_after_the_end_is_left_out():
    assert compute_phases([("a", 30.0, 40.0)], 0.0, 5.0) == [Phase("clear", 0.0, 5.0)]
