"""Which stretches of a run a condition is judged in."""

from __future__ import annotations

import pytest

from harness.judge.thresholds.condition import parse_condition
from harness.judge.thresholds.windows import NoWindowError, find_windows
from harness.run_folder.layout import FaultRecord, RunRecord

RECORD = RunRecord(
    id="x", name="x", title="", scenario={}, seed=1, target="", own_server=True, deadline_s=60, time_scale=1, client_timeout_s=5,
    workers=[], versions={}, host={}, command=[],
    faults=[
        FaultRecord(name="brownout", kind="capacity", start_s=10, end_s=20),
        FaultRecord(name="abort", kind="abort", start_s=40, end_s=45),
        FaultRecord(name="endless", kind="latency", start_s=50, end_s=None),
    ],
)  # fmt: skip


def found(window, stop_s=60.0, **record):
    condition = parse_condition(f"max(response_seconds) < 1s {window}")
    return [(one.from_s, one.to_s) for one in find_windows(condition, RECORD.model_copy(update=record), stop_s)]


@pytest.mark.parametrize(
    ("window", "stop_s", "expected"),
    [
        ("", 60.0, [(0.0, 60.0)]),
        ('during "brownout"', 60.0, [(10.0, 20.0)]),
        ('during "brownout"', 15.0, [(10.0, 15.0)]),
        ('during "endless"', 60.0, [(50.0, 60.0)]),
        ('after "brownout"', 60.0, [(20.0, 60.0)]),
    ],
)
def test_a_fault_tells_a_part_of_the_run(window, stop_s, expected):
    assert found(window, stop_s) == expected


def test_the_warm_up_is_in_no_window():
    assert found("", warm_up_s=12.0) == [(12.0, 60.0)]
    assert found('during "brownout"', warm_up_s=12.0) == [(12.0, 20.0)]
    assert found("over 20s", warm_up_s=40.0) == [(40.0, 60.0)]


def test_windows_of_a_length_begin_every_tenth_of_it_and_the_last_ends_with_the_run():
    windows = found("over 10s", 21.5)
    assert windows[:3] == [(0.0, 10.0), (1.0, 11.0), (2.0, 12.0)]
    assert windows[-2:] == [(11.0, 21.0), (11.5, 21.5)]
    assert found("over 10s", 21.0)[-1] == (11.0, 21.0)
    assert found("over 10s", 10.0) == [(0.0, 10.0)]


def test_windows_of_a_length_lie_within_the_part_that_is_asked_for():
    windows = found('over 4s during "brownout"')
    assert (windows[0], windows[-1]) == ((10.0, 14.0), (16.0, 20.0))
    assert len(windows) == 16


def test_it_must_hold_again_in_every_window_that_begins_so_long_after_the_end_until_the_next_fault():
    windows = found('within 8s of end of "brownout" over 5s')
    assert (windows[0], windows[-1]) == ((28.0, 33.0), (35.0, 40.0))
    assert found('within 8s of end of "brownout"') == windows


def test_a_run_that_ends_before_it_had_to_hold_again_is_judged_by_its_last_window():
    assert found('within 8s of end of "brownout"', 27.0) == [(22.0, 27.0)]
    assert found('within 8s of end of "brownout"', 23.0) == [(20.0, 23.0)]


@pytest.mark.parametrize(
    ("window", "stop_s", "reason"),
    [
        ('during "brownout"', 9.0, "the run stopped at 9 s, before brownout began"),
        ('after "brownout"', 20.0, "the run stopped at 20 s, before brownout was over"),
        ('after "endless"', 60.0, "before endless was over"),
        ('within 5s of end of "brownout"', 12.0, "before brownout was over"),
        ('during "nothing"', 60.0, "the run had no fault nothing"),
        ("over 30s", 29.0, "a window of 30 s does not fit into 29 s"),
        ('over 11s during "brownout"', 60.0, "a window of 11 s does not fit into 10 s"),
    ],
)
def test_a_window_that_the_run_did_not_have_has_no_data(window, stop_s, reason):
    with pytest.raises(NoWindowError, match=f"no data: .*{reason}"):
        found(window, stop_s)


def test_a_part_that_another_fault_follows_at_once_can_not_hold_again():
    faults = [*RECORD.faults, FaultRecord(name="next", kind="abort", start_s=20, end_s=21)]
    with pytest.raises(NoWindowError, match="another fault began"):
        found('within 5s of end of "brownout"', faults=faults)
