"""What became of a run's workers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.run_folder.layout import WorkerRecord
from harness.runner.run_record import WorkerRegistry, worker_problems


@pytest.fixture
def registry():
    stations = [SimpleNamespace(code=f"3509191001{number:03d}") for number in range(1, 14)]
    plan = SimpleNamespace(stations=stations, shard=lambda rank, workers: range(rank, len(stations), workers))
    spec: Any = SimpleNamespace(plan=plan, workers=2)
    return WorkerRegistry(spec)


def account(rank, **fields):
    return {"rank": rank, "attempts": 3, "unwritten": "", "held_back": 0, "halted": "", **fields}


def test_a_lost_worker_is_named_with_its_stations(registry):
    registry.add_processes([{"rank": 0, "pid": 10}, {"rank": 1, "pid": 11}])
    assert (registry.rank_of(11), registry.rank_of(12)) == (1, None)
    text = registry.mark_lost(1, "worker 1 was killed by SIGKILL")
    assert text == (
        "worker 1 was killed by SIGKILL; it was responsible for 6 stations: "
        "3509191001002, 3509191001004, 3509191001006, 3509191001008, 3509191001010, …"
    )
    assert (registry.problems, registry.lost_count) == ([text], 1)
    assert [worker.lost for worker in registry.records] == [False, True]


def test_a_worker_that_was_lost_stays_so_whatever_the_accounts_say(registry):
    registry.mark_lost(1, "it died")
    assert registry.add_accounts([account(0), account(1)]) == ""
    assert [(worker.attempts, worker.lost) for worker in registry.records] == [(3, False), (3, True)]


def test_a_journal_that_cannot_be_written_is_reported_once_with_worker_and_stations(registry):
    text = registry.mark_unwritten(0, "No space left on device")
    assert text.startswith(
        "worker 0 stopped because it could not write its journal: No space left on device; it was responsible for 7 stations"
    )
    registry.add_accounts([account(0, unwritten="No space left on device"), account(1)])
    assert (registry.unwritten, registry.problems) == (text, [])


def test_the_account_has_the_reason_why_a_worker_stopped(registry):
    assert registry.add_accounts([account(0), account(1, halted="withdrawn")]) == "withdrawn"


def test_without_any_account_every_worker_is_lost(registry):
    registry.mark_all_lost()
    assert registry.lost_count == 2


@pytest.mark.parametrize(("drift_s", "is_problem"), [(0.05, False), (-0.05, False), (0.051, True), (-0.3, True)])
def test_clocks_that_drifted_apart_during_the_run_are_a_problem(drift_s, is_problem):
    found = worker_problems(WorkerRecord(rank=1, host="c", clock_drift_s=drift_s))
    assert bool(found) == is_problem
    if is_problem:
        assert (
            f"worker 1 on c and of this machine drifted apart by {1000 * drift_s:+,.0f} ms during the run" in found[0]
        )
