"""What became of a run's workers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.run_folder.layout import WorkerRecord
from harness.runner.run_spec import worker_problems
from harness.runner.worker_registry import WorkerRegistry


@pytest.fixture
def roster():
    stations = [SimpleNamespace(code=f"3509191001{number:03d}") for number in range(1, 14)]
    plan = SimpleNamespace(stations=stations, shard=lambda rank, workers: range(rank, len(stations), workers))
    order: Any = SimpleNamespace(plan=plan, workers=2)
    return WorkerRegistry(order)


def account(rank, **fields):
    return {"rank": rank, "attempts": 3, "unwritten": "", "held_back": 0, "halted": "", **fields}


def test_a_lost_worker_is_named_with_the_stations_that_it_held(roster):
    roster.seat([{"rank": 0, "pid": 10}, {"rank": 1, "pid": 11}])
    assert (roster.rank_of(11), roster.rank_of(12)) == (1, None)
    told = roster.lose(1, "worker 1 was killed by SIGKILL")
    assert told == (
        "worker 1 was killed by SIGKILL; it held 6 stations: "
        "3509191001002, 3509191001004, 3509191001006, 3509191001008, 3509191001010, …"
    )
    assert (roster.problems, roster.lost) == ([told], 1)
    assert [worker.lost for worker in roster.records] == [False, True]


def test_a_worker_that_was_lost_stays_so_whatever_the_accounts_say(roster):
    roster.lose(1, "it died")
    assert roster.note([account(0), account(1)]) == ""
    assert [(worker.attempts, worker.lost) for worker in roster.records] == [(3, False), (3, True)]


def test_a_journal_that_cannot_be_written_is_told_once_with_worker_and_stations(roster):
    told = roster.fail(0, "No space left on device")
    assert told.startswith(
        "worker 0 could not write its journal, and stopped: No space left on device; it held 7 stations"
    )
    roster.note([account(0, unwritten="No space left on device"), account(1)])
    assert (roster.unwritten, roster.problems) == (told, [])


def test_why_a_worker_must_not_go_on_comes_home_with_its_account(roster):
    assert roster.note([account(0), account(1, halted="withdrawn")]) == "withdrawn"


def test_a_generator_that_says_nothing_has_lost_all(roster):
    roster.lose_all()
    assert roster.lost == 2


@pytest.mark.parametrize(("drift_s", "told"), [(0.05, False), (-0.05, False), (0.051, True), (-0.3, True)])
def test_clocks_that_went_apart_in_the_run_tell_against_it(drift_s, told):
    found = worker_problems(WorkerRecord(rank=1, host="c", clock_drift_s=drift_s))
    assert bool(found) == told
    if told:
        assert f"worker 1 on c and of this machine went apart by {1000 * drift_s:+,.0f} ms during the run" in found[0]
