"""A phone of a closed workload: one station after another, a think time between, until the deadline."""

import time
from typing import Any

import gevent
import pytest

from harness.drive.closed_user import run_closed_user
from harness.drive.virtual_user import WorkerContext
from harness.measure.metrics import WorkerMetrics
from harness.plan import make_plan
from harness.run_folder.journal import JournalWriter
from harness.scenario.loader import load_scenario

EVENING_S = 0.02


class Evening:
    """Takes 20 ms and notes in `entry` when it was over; one that breaks says None, as at a deadline."""

    def __init__(self, clock, entry, *, breaks):
        self._clock, self._entry, self._breaks = clock, entry, breaks

    def run(self):
        gevent.sleep(EVENING_S)
        self._entry[3] = self._clock()
        return None if self._breaks else self._entry[3]


@pytest.fixture
def desk(tmp_path):
    def make(phones=1, think='{distribution="exponential", mean="30ms"}', deadline_s=60.0, stations=12):
        arrivals = f'arrivals={{kind="closed", phones={phones}, think={think}}}'
        scenario = load_scenario(
            "kaliwates", ["photos.size=2KB", "photos.bank=1", f"stations.count={stations}", arrivals]
        )
        t0 = time.monotonic()
        return WorkerContext(
            make_plan(scenario), scenario.client, lambda: time.monotonic() - t0, deadline_s, JournalWriter(None, 0),
            WorkerMetrics([], {"run": "x"}), seed=1,
        )  # fmt: skip

    return make


def played(desk, breaks_at=None):
    """(station, when it was due, when its evening began, when it was over) of every evening of all phones."""
    seen: list[list[Any]] = []

    def evening(station, due_s):
        entry = [station, due_s, desk.clock(), None]
        seen.append(entry)
        return Evening(desk.clock, entry, breaks=len(seen) - 1 == breaks_at)

    phones = [gevent.spawn(run_closed_user, desk, stations.tolist(), evening) for stations in desk.plan.rounds.phones]
    gevent.joinall(phones, raise_error=True)
    return seen


def test_each_station_is_due_its_think_time_after_the_end_of_the_one_before(desk):
    one = desk()
    seen = played(one)
    assert [station for station, *_ in seen] == one.plan.rounds.phones[0].tolist()
    over_s = 0.0
    for station, due_s, began_s, ended_s in seen:
        assert due_s == pytest.approx(over_s + one.plan.rounds.think_s[station], abs=1e-9)
        assert began_s >= due_s
        over_s = ended_s


@pytest.mark.timed
def test_no_station_begins_after_the_deadline_and_none_after_an_evening_that_was_cut_short(desk):
    one = desk(think='"50ms"', deadline_s=0.2)
    seen = played(one)
    assert 0 < len(seen) < 12
    assert all(due_s < 0.2 for _, due_s, *_ in seen)
    assert len(played(desk(), breaks_at=3)) == 4


@pytest.mark.timed
def test_little_s_law_holds_for_as_many_phones_as_were_asked_for(desk):
    """N = X·(R + Z): phones = stations a second x (evening + think), over a time in which every phone goes round."""
    one = desk(phones=5, stations=100)
    seen = played(one)
    until_s = min(max(e for s, _, _, e in seen if s in stations) for stations in one.plan.rounds.phones)
    whole = [(due_s, ended_s, one.plan.rounds.think_s[s]) for s, due_s, _, ended_s in seen if ended_s <= until_s]
    mean_s = sum(ended_s - due_s + think_s for due_s, ended_s, think_s in whole) / len(whole)
    assert len(whole) / until_s * mean_s == pytest.approx(5, rel=0.05)  # a round under way at the end is missing


def test_an_open_workload_has_no_rounds(desk):
    one = desk()
    one.plan = make_plan(load_scenario("kaliwates", ["photos.size=2KB", "photos.bank=1", "stations.count=2"]))
    with pytest.raises(ValueError, match="no rounds"):
        run_closed_user(one, [0], lambda _station, _due_s: pytest.fail("nothing may begin"))
