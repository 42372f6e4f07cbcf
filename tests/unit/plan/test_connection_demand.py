"""What a plan needs of connections: exact for what is known beforehand, the same assumption for what is not."""

import numpy as np
import pytest

from harness.plan import make_plan
from harness.plan.connection_demand import estimate_connections
from harness.scenario.loader import load_scenario

SMALL = ["photos.size=2KB", "photos.bank=1", "stations.count=100"]
ONE_EACH_100_MS = 'arrivals={kind="constant", over="10s"}'


def demand(*overrides, arrivals=ONE_EACH_100_MS):
    scenario = load_scenario("kaliwates", [*SMALL, arrivals, *overrides])
    return estimate_connections(make_plan(scenario), scenario.client, scenario.deadline)


@pytest.mark.parametrize(("connection", "made"), [("new", 20), ("each", 60), ("reuse", 0)])
def test_the_connection_mode_says_how_many_a_station_makes(connection, made):
    assert demand(f"client.connection={connection}").made_within(2.0) == made


def test_the_busiest_stretch_counts_and_not_the_mean():
    surge = 'arrivals={kind="steps", rates=[["0s", 1.0], ["10s", 9.0], ["11s", 1.0], ["20s", 0.0]]}'
    found = demand(arrivals=surge)
    most = max(int(((found.turned_up_s >= t) & (found.turned_up_s < t + 1)).sum()) for t in found.turned_up_s)
    assert found.made_within(1.0) == most > 3 * len(found.turned_up_s) / 20


def test_stations_that_may_try_again_are_all_at_it_while_the_server_hangs():
    assert demand('client.retry={strategy="full_jitter"}', 'client.timeout="1s"').stations_at_once == 100


@pytest.mark.parametrize("retry", ['{strategy="none"}', '{strategy="immediate", max_attempts=1}'])
def test_stations_that_try_once_are_at_it_for_a_timeout_a_page(retry):
    assert demand(f"client.retry={retry}", 'client.timeout="1s"').stations_at_once == 30  # three pages, ten a second


def test_closed_arrivals_have_as_many_at_once_as_phones():
    closed = 'arrivals={kind="closed", phones=7, think="1s"}'
    assert demand(arrivals=closed).stations_at_once == 7


def test_stations_after_the_deadline_need_nothing():
    found = demand("deadline=5s", 'client.retry={strategy="full_jitter"}')
    assert found.stations_at_once == len(found.turned_up_s) == 50
    assert np.all(found.turned_up_s < 5.0)
