"""Whether a load is sustained, on queues of which the truth is known."""

import heapq

import numpy as np
import pytest
from scipy import stats

from harness.analysis import sustained
from harness.analysis.sustained import judge_sustained


def queue(arrived_s, service_s, servers):
    """When each customer of a first-come-first-served queue is complete."""
    free = [0.0] * servers
    done = []
    for arrived, service in zip(arrived_s, service_s, strict=True):
        done.append(max(arrived, heapq.heappop(free)) + service)
        heapq.heappush(free, done[-1])
    return np.array(done)


def even(rate, seconds):
    return np.arange(round(rate * seconds)) / rate


def judged(rate, seconds, *, capacity=20.0, servers=4, seed=None):
    random = np.random.default_rng(seed)
    arrived = even(rate, seconds) if seed is None else np.sort(random.uniform(0, seconds, round(rate * seconds)))
    service = np.full(len(arrived), servers / capacity)
    if seed is not None:
        service = service * random.lognormal(-0.125, 0.5, len(arrived))  # mean 1
    done = queue(arrived, service, servers)
    return judge_sustained(arrived, np.where(done > seconds, np.inf, done), seconds)


def test_half_the_capacity_is_sustained_within_ten_seconds():
    found = judged(10, 10)
    assert found.state == "sustained"
    assert found.in_flight == pytest.approx(10 * 0.2, rel=0.05)  # two of four servers are busy
    assert found.arrivals_per_s == pytest.approx(10)
    assert found.growth_per_s == pytest.approx(0, abs=0.05)
    assert found.little_ratio == pytest.approx(1, abs=0.05)


def test_twice_the_capacity_grows_by_what_is_left_over():
    found = judged(40, 10)
    assert found.state == "grows"
    assert found.growth_per_s == pytest.approx(20, rel=0.05)
    assert found.growth_low > 18
    assert found.why == "of 100 stations that arrive 50 are left over"


@pytest.mark.parametrize(("rate", "state"), [(19.0, "sustained"), (21.0, "grows")])
def test_five_percent_beside_the_capacity_is_told_apart_in_a_minute(rate, state):
    assert judged(rate, 60).state == state


def test_the_growth_has_its_interval_of_95_percent():
    means = np.array([2.0, 2.4, 2.3, 2.9, 3.0, 3.1])
    slope, half = sustained._slope(means, 2.0)
    times = 2.0 * np.arange(len(means))
    expected = stats.linregress(times, means)
    assert slope == pytest.approx(expected.slope)
    assert half == pytest.approx(stats.t.ppf(0.975, len(means) - 2) * expected.stderr)


def test_response_times_that_still_look_good_do_not_hide_a_growing_queue():
    # 5 % above capacity for 20 s: the last station waits one second, which any limit of some seconds would let pass
    found = judged(21, 20)
    assert found.state == "grows"
    assert found.in_flight / found.arrivals_per_s < 1


def test_stations_that_give_up_are_never_complete_and_count_as_growth():
    arrived = even(10, 20)
    completed = arrived + 0.1
    completed[::4] = np.inf
    assert judge_sustained(arrived, completed, 20).state == "grows"


@pytest.mark.parametrize("takes_s", [3.0, 6.0, 9.0])
def test_stations_that_are_still_on_their_way_are_not_growth(takes_s):
    arrived = even(10, 10)
    found = judge_sustained(arrived, np.where(arrived + takes_s > 10, np.inf, arrived + takes_s), 10)
    assert found.state == "undecided"


def test_a_tenfold_overload_is_known_at_once():
    assert judged(200, 10).state == "grows"


@pytest.mark.parametrize("stations", [0, 5])
def test_a_few_stations_decide_nothing(stations):
    arrived = np.linspace(5, 9, stations)
    found = judge_sustained(arrived, arrived + 0.1, 10)
    assert (found.state, found.why) == ("undecided", f"only {stations} stations arrived")


@pytest.mark.parametrize(("load", "truth"), [(0.8, "sustained"), (1.15, "grows")])
def test_bursty_arrivals_and_uneven_service_are_rarely_misjudged(load, truth):
    states = [judged(20 * load, 60, seed=seed).state for seed in range(100)]
    wrong = sum(state not in {truth, "undecided"} for state in states)
    assert wrong <= 5
    assert states.count(truth) >= (60 if load > 1 else 30)
