from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.recovery import PageEvents, compute_recoveries, compute_recovery
from harness.run_folder.layout import FaultRecord

FAULT = FaultRecord(name="outage", kind="down", start_s=20.0, end_s=30.0)
NOTHING = np.empty(0)


def every(step_s, start_s, end_s):
    return np.arange(start_s, end_s, step_s)


def drawn(*, delivered, end_s=60.0, due=None, given_up=NOTHING):
    """Ten pages a second fall due, each delivered 0.2 s later before the fault."""
    due = every(0.1, 0.0, end_s) if due is None else due
    before = due[due < 19.8] + 0.2
    return PageEvents(due, np.sort(np.concatenate([before, delivered])), given_up, end_s)


def test_a_backlog_that_is_worked_off_recovers_when_it_is_gone():
    # 102 pages wait at 30 s; at 30 a second against 10 that fall due, 20 a second are gained.
    after = every(1 / 30, 30.0, 35.0)
    steady = every(0.1, 35.0, 60.0)
    found = compute_recovery(FAULT, drawn(delivered=np.concatenate([after, steady])))
    assert found.recovered_after_s == pytest.approx(5.0, abs=0.15)
    assert found.ended_s == 30.0
    assert found.metastable is False


def test_a_fault_that_nothing_felt_is_recovered_from_at_its_end():
    due = every(0.1, 0.0, 60.0)
    found = compute_recovery(FAULT, drawn(delivered=due[due >= 19.8] + 0.2, due=due))
    assert found.recovered_after_s == 0.0


def test_a_system_that_stays_down_under_a_load_it_has_borne_is_metastable():
    found = compute_recovery(FAULT, drawn(delivered=every(1.0, 30.0, 60.0), due=slower_after_fault()))
    assert found.recovered_after_s is None
    assert found.metastable is True


@pytest.mark.parametrize(("step_s", "metastable"), [(0.13, False), (0.15, True)])
def test_a_goodput_somewhat_below_the_best_five_seconds_is_noise_not_metastable(step_s, metastable):
    found = compute_recovery(FAULT, drawn(delivered=every(step_s, 30.0, 60.0), due=every(0.1, 0.0, 50.0)))
    assert found.recovered_after_s is None
    assert found.metastable is metastable


def slower_after_fault():
    return np.concatenate([every(0.1, 0.0, 20.0), every(0.2, 20.0, 60.0)])


def test_a_system_that_works_at_full_capacity_but_is_not_through_is_not_metastable():
    due = np.concatenate([every(0.1, 0.0, 20.0), every(0.01, 20.0, 30.0), every(0.2, 30.0, 60.0)])
    found = compute_recovery(FAULT, drawn(delivered=every(0.1, 30.0, 60.0), due=due))
    assert found.recovered_after_s is None
    assert found.metastable is False


def test_a_system_with_more_load_than_it_ever_bore_is_overloaded_not_metastable():
    due = np.concatenate([every(0.1, 0.0, 20.0), every(0.02, 20.0, 60.0)])
    found = compute_recovery(FAULT, drawn(delivered=every(0.2, 30.0, 60.0), due=due))
    assert found.recovered_after_s is None
    assert found.metastable is False


def test_without_anything_delivered_before_there_is_no_telling_metastable():
    curves = PageEvents(every(0.1, 0.0, 60.0), NOTHING, NOTHING, 60.0)
    found = compute_recovery(FAULT, curves)
    assert (found.recovered_after_s, found.metastable) == (None, None)


def test_a_run_that_ends_right_after_the_fault_does_not_tell_metastable():
    found = compute_recovery(FAULT, drawn(delivered=NOTHING, end_s=34.9))
    assert (found.recovered_after_s, found.metastable) == (None, None)
    assert compute_recovery(FAULT, drawn(delivered=NOTHING, end_s=35.1)).metastable is True


def test_a_run_that_recovers_right_after_the_fault_is_not_metastable_however_soon_it_ends():
    due = every(0.1, 0.0, 32.0)
    found = compute_recovery(FAULT, drawn(delivered=due[due >= 19.8] + 0.2, due=due, end_s=32.0))
    assert (found.recovered_after_s, found.metastable) == (0.0, False)


@pytest.mark.parametrize(("per_s", "metastable"), [(9.0, True), (11.8, True), (12.5, False), (40.0, False)])
def test_a_load_within_a_fifth_of_the_best_goodput_shown_is_bearable_and_beyond_it_an_overload(per_s, metastable):
    """Ten a second were delivered at best before: that much was offered, and it may have been able to do more."""
    due = np.concatenate([every(0.1, 0.0, 30.0), every(1 / per_s, 30.0, 60.0)])
    found = compute_recovery(FAULT, drawn(delivered=every(1.0, 30.0, 60.0), due=due))
    assert found.recovered_after_s is None
    assert found.metastable is metastable


@pytest.mark.parametrize("seed", range(12))
def test_noise_of_poisson_arrivals_neither_hides_nor_feigns_metastability(seed):
    """Load at 80 % of capacity throughout: goodput of nothing after the fault is metastable, of all that comes is not."""
    rng = np.random.default_rng(seed)
    due = np.cumsum(rng.exponential(1 / 72.0, 72 * 75))
    before = due[due < 19.8] + 0.1
    down = compute_recovery(FAULT, PageEvents(due, before, NOTHING, 75.0))
    assert (down.recovered_after_s, down.metastable) == (None, True)
    waiting = np.searchsorted(due, 30.0) - len(before)
    worked_off = 30.0 + np.arange(waiting) / 18.0  # a quarter of the load is left to work it off
    up = compute_recovery(
        FAULT, PageEvents(due, np.sort(np.concatenate([before, worked_off, due[due >= 30.0] + 0.1])), NOTHING, 75.0)
    )
    assert up.metastable is False


def test_goodput_is_waived_when_nothing_falls_due():
    """Forty pages wait when the fault ends; no more come. The level before was two or three."""
    due = np.concatenate([every(0.1, 0.0, 20.0), every(0.25, 20.0, 30.0)])
    found = compute_recovery(FAULT, drawn(delivered=np.full(42, 40.0), due=due))
    assert found.recovered_after_s == 10.0


def test_goodput_below_95_percent_of_what_falls_due_is_no_recovery_though_the_backlog_is_small():
    """Everything that falls due is given up at once: no backlog, and nothing delivered."""
    due = every(0.1, 0.0, 60.0)
    given_up = due[due >= 19.8] + 0.05
    found = compute_recovery(FAULT, drawn(delivered=NOTHING, due=due, given_up=given_up))
    assert found.recovered_after_s is None


def test_pages_given_up_are_no_backlog():
    due = np.concatenate([every(0.1, 0.0, 20.0), every(0.25, 20.0, 25.0)])
    found = compute_recovery(FAULT, drawn(delivered=NOTHING, due=due, given_up=np.full(20, 33.0)))
    assert found.recovered_after_s == 3.0


def test_the_level_before_is_the_greatest_backlog_of_the_five_seconds_before():
    # Three pages wait from 16 s to 40 s; two more are due and delivered around them. Back at three is recovered.
    due = np.array([16.0, 16.0, 16.0, 25.0])
    delivered = np.array([31.0, 40.0, 40.0, 40.0])
    found = compute_recovery(FAULT, PageEvents(due, delivered, NOTHING, 60.0))
    assert found.recovered_after_s == 1.0


def test_a_fault_that_nothing_preceded_must_be_recovered_from_to_nothing():
    fault = FaultRecord(name="early", kind="down", start_s=0.0, end_s=5.0)
    due, delivered = np.array([0.0, 1.0]), np.array([6.0, 8.0])
    assert compute_recovery(fault, PageEvents(due, delivered, NOTHING, 20.0)).recovered_after_s == 3.0


def test_a_fault_that_outlasts_the_run_has_no_recovery():
    faults = [
        FaultRecord(name="late", kind="down", start_s=50.0, end_s=70.0),
        FaultRecord(name="endless", kind="down", start_s=10.0, end_s=None),
        FAULT,
        FaultRecord(name="first", kind="down", start_s=1.0, end_s=2.0),
    ]
    found = compute_recoveries(faults, drawn(delivered=NOTHING))
    assert [one.fault for one in found] == ["first", "outage"]


def test_two_faults_that_end_together_are_told_apart():
    twin = FAULT.model_copy(update={"name": "twin", "kind": "abort"})
    assert [one.fault for one in compute_recoveries([FAULT, twin], drawn(delivered=NOTHING))] == ["outage", "twin"]


def test_there_is_no_recovery_from_a_fault_without_an_end():
    with pytest.raises(ValueError, match="has not ended"):
        compute_recovery(FAULT.model_copy(update={"end_s": None}), drawn(delivered=NOTHING))
