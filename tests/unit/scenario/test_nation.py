"""The scenario nation: arrivals as far as the published progress tells, a server at the pace of its best published hour."""

from __future__ import annotations

import csv
from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest

from harness.base.model import Outcome
from harness.plan.regions import load_region
from harness.scenario.arrivals import CurveArrivals
from harness.scenario.loader import load_scenario
from harness.simulate.unsupported import find_unsupported
from tests.support.documents import ROOT
from tests.support.simulations import PlayedSimulation

STATIONS = 823_332
T0 = datetime.fromisoformat("2024-02-14T13:00")


def published() -> list[tuple[float, int]]:
    """(seconds since T0, stations published)."""
    with (ROOT / "docs" / "data" / "sirekap-2024-progress.csv").open(encoding="utf-8") as file:
        return [
            ((datetime.fromisoformat(row["time_wib"]) - T0).total_seconds(), int(row["stations_published"]))
            for row in csv.DictReader(file)
        ]


def steepest_per_s() -> float:
    return max((after - before) / (end_s - begin_s) for (begin_s, before), (end_s, after) in pairwise(published()))


def points() -> tuple[tuple[float, float], ...]:
    arrivals = load_scenario("nation").arrivals
    assert isinstance(arrivals, CurveArrivals)
    return tuple(arrivals.points)


@pytest.mark.heavy
def test_the_nation_has_all_stations_of_the_list_by_province():
    assert len(load_region(load_scenario("nation").stations.region)) == STATIONS


def test_stations_arrive_as_they_were_published_until_the_server_was_the_limit():
    assert points()[0] == (0.0, 0.0)
    for (at_s, share), (published_s, stations) in zip(points()[1:4], published()[:3], strict=True):
        assert at_s == published_s
        assert share == pytest.approx(stations / STATIONS, abs=5e-5)


def test_after_that_they_arrive_at_the_steepest_published_rate():
    (begin_s, before), (end_s, after) = points()[-2:]
    assert (after - before) * STATIONS / (end_s - begin_s) == pytest.approx(steepest_per_s(), rel=2e-3)
    assert after == 1.0


def test_demand_is_never_below_what_was_published():
    moments_s, shares = zip(*points(), strict=True)
    for at_s, stations in published():
        assert np.interp(at_s, moments_s, shares) >= stations / STATIONS - 5e-5, at_s


def test_the_server_can_do_what_it_did_in_its_best_published_hour():
    server = load_scenario("nation").server
    assert server.workers / server.service_time.expected_value() == pytest.approx(3 * steepest_per_s(), rel=0.01)


@pytest.mark.heavy
def test_a_hundredth_of_the_nation_is_simulated_with_a_bounded_number_of_scrapes():
    scenario = load_scenario("nation", ["stations.count=8233"])
    assert find_unsupported(scenario) == []
    played = PlayedSimulation(scenario)
    assert played.outcomes == {Outcome.ACCEPTED.value: 3 * 8233}
    assert 2_000 < len(played.seconds) < 7_300
    assert played.end.at_s == pytest.approx(points()[-1][0], abs=60)
