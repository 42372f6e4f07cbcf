"""What a target bears: the scenarios that are offered, and what the rates that were tried say."""

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from harness.analysis.sustained import Sustained
from harness.base.signals import Interruption
from harness.capacity.rates import RateSearch
from harness.capacity.search import SearchInterruptedError
from harness.capacity.target_capacity import (
    TargetProber,
    TargetRequest,
    busiest_rate,
    conclude,
    is_decided,
    scenario_at,
)
from harness.plan import make_plan
from harness.scenario.arrivals import ConstantArrivals
from tests.support.simulations import scenario

ASKS = 27.0


def searched(states, *, is_complete=True):
    search = RateSearch(lambda _: "sustained", 1.0, 100.0, 1.05, 1.0, states=states)
    search.is_complete = is_complete
    return search


@pytest.mark.parametrize(
    ("states", "limit", "code", "why"),
    [
        ({13.0: "sustained", 13.5: "grows"}, "", 99, ""),
        ({27.0: "sustained", 28.0: "grows"}, "", 0, ""),
        ({54.0: "sustained"}, "it is enough", 0, ""),
        ({13.0: "sustained"}, "the target's consent allows no more", 3, "no greater rate could be tried: the target's consent"),
        ({26.9: "sustained", 28.0: "grows"}, "", 3, "within the width"),
        ({13.0: "sustained", 13.5: "undecided"}, "", 3, "13.5 pages/s could not be decided"),
        ({1.0: "grows"}, "", 99, ""),
    ],
)  # fmt: skip
def test_what_is_borne_is_held_against_what_the_plan_asks(states, limit, code, why):
    found, reason = conclude(searched(states), ASKS, limit, "")
    assert found == code
    assert why in reason
    assert bool(why) == bool(reason)


def test_an_interrupted_search_tells_only_what_it_has_shown():
    assert conclude(searched({20.0: "sustained"}, is_complete=False), ASKS, "", "")[0] == 3
    assert conclude(searched({20.0: "grows"}, is_complete=False), ASKS, "", "")[0] == 99
    assert conclude(searched({30.0: "sustained"}, is_complete=False), ASKS, "", "")[0] == 0
    assert conclude(searched({}), ASKS, "", "2 runs were INVALID") == (3, "2 runs were INVALID")


def sustained(state, low=0.0):
    return Sustained(state, "", 10.0, 1.0, low * 10 + 0.5, low * 10, low * 10 + 1.0, 1.0)


@pytest.mark.parametrize(
    ("found", "before", "decided"),
    [
        (sustained("sustained"), None, True),
        (sustained("undecided"), None, False),
        (sustained("grows", 0.1), None, False),
        (sustained("grows", 0.1), sustained("undecided"), False),
        (sustained("grows", 0.1), sustained("grows", 0.1), True),
        (sustained("grows", 0.3), None, True),
        (sustained("sustained"), sustained("grows", 0.1), True),
    ],
)
def test_a_small_growth_must_be_shown_twice_because_a_pause_looks_like_one(found, before, decided):
    assert is_decided(found, before) is decided


@pytest.mark.parametrize(("rate", "seconds"), [(1.0, 10.0), (13.3, 20.0), (900.0, 10.0)])
def test_a_rate_is_offered_evenly_by_as_many_stations_as_it_takes(rate, seconds, tmp_path):
    base = scenario(faults=[{"name": "slow", "kind": "capacity", "start": "1s", "duration": "1s", "factor": 0.5}])
    found = scenario_at(base, rate, seconds, tmp_path)
    plan, arrivals = make_plan(found), found.arrivals
    assert isinstance(arrivals, ConstantArrivals)
    assert plan.pages / arrivals.over == pytest.approx(rate)
    assert arrivals.over == pytest.approx(seconds, rel=0.2)
    assert found.deadline >= plan.due_s.max()
    assert (found.faults, found.thresholds) == ((), ())


def test_the_busiest_minute_is_counted_or_less_if_all_arrive_within_less():
    even = {"kind": "constant", "over": "300s"}
    asked = busiest_rate(
        make_plan(scenario(deadline="300s", arrivals=even, stations={"region": "kaliwates", "count": 300}))
    )
    assert [asked.window_s, asked.pages_per_s] == pytest.approx([60.0, 3.0], rel=0.05)
    short = {"kind": "constant", "over": "10s"}
    asked = busiest_rate(
        make_plan(scenario(deadline="10s", arrivals=short, stations={"region": "kaliwates", "count": 100}))
    )
    assert [asked.window_s, asked.pages_per_s] == pytest.approx([9.9, 30.0], rel=0.05)


def test_each_run_begins_after_the_users_command_and_in_a_new_folder(tmp_path, monkeypatch):
    events: list[tuple[str, str]] = []

    class Interrupted:
        def __init__(self, spec, *_):
            self.folder = spec.folder

        def execute(self):
            events.append(("run", self.folder.path.name))
            self.folder.create()  # raises for a folder that an interrupted run has left
            raise Interruption(signal.SIGINT)

    monkeypatch.setattr("harness.capacity.target_capacity.Run", Interrupted)
    reset: Any = SimpleNamespace(run=lambda title, _: events.append(("between", title)))
    signals: Any = SimpleNamespace(received=None)
    request = TargetRequest("a.toml", scenario(), "http://127.0.0.1:9", 1.05, between=reset)
    view: Any = lambda _: None  # noqa: E731
    prober = TargetProber(request, tmp_path, [], view, lambda _: None, signals, lambda: None)
    for _ in range(2):
        with pytest.raises(SearchInterruptedError):
            prober.decide(2.0)
    assert events == [("between", "2-per-s-10s-1"), ("run", "2-per-s-10s-1")] * 2
