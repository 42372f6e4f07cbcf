"""The arithmetic of `harness validate` never asks for more than some server needed in fact."""

from __future__ import annotations

import heapq
from functools import partial
from itertools import permutations
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.plan.backlog import (
    Slowdown,
    StationLoad,
    WorkerSpeed,
    earliest_finish,
    least_capacity,
    least_whole,
)
from mock_server.overload.worker_pool import Job, JobEnd, WorkerPool
from mock_server.profile.server_profile import ServerProfile
from tests.support.simulated_clock import SimulatedClock

ROUNDING_S = 1e-6


class Arrival(NamedTuple):
    """A station: when it arrives, and the seconds of work of its pages, which it sends one after the other."""

    at_s: float
    works_s: list[float]


quarters = st.integers(1, 12).map(lambda number: number / 4)
arrivals = st.builds(
    Arrival, st.integers(0, 24).map(lambda number: number / 4), st.lists(quarters, min_size=1, max_size=3)
)
slowdowns = st.lists(
    st.builds(
        lambda start, duration, factor: Slowdown(start / 2, (start + duration) / 2, factor),
        st.integers(0, 16), st.integers(1, 16), st.sampled_from([0.1, 0.25, 0.5, 0.8, 1.5]),
    ),
    max_size=3,
)  # fmt: skip


def load_of(stations: list[Arrival]) -> StationLoad:
    ordered = sorted(stations)
    return StationLoad(np.array([one.at_s for one in ordered]), np.array([sum(one.works_s) for one in ordered]))


def speed_of(stations: list[Arrival], slower: list[Slowdown]) -> WorkerSpeed:
    return WorkerSpeed(slower, max(work for one in stations for work in one.works_s))


def factor_at(slower: list[Slowdown], now_s: float) -> float:
    return float(np.prod([one.factor for one in slower if one.start_s <= now_s < one.end_s]))


def pool_finish_s(stations: list[Arrival], slower: list[Slowdown], workers: int, discipline: str) -> float:
    """When the mock server's own pool has served every page."""
    clock = SimulatedClock()
    pool = WorkerPool(
        ServerProfile.model_validate({"shed": "none", "workers": workers, "discipline": discipline}), clock
    )
    ends_s: list[float] = []

    def send(works_s: list[float]) -> None:
        def on_end(_job: Job, end: JobEnd) -> None:
            assert end is JobEnd.SERVED
            ends_s.append(clock.now())
            if works_s[1:]:
                send(works_s[1:])

        pool.submit(Job(lambda: works_s[0] / factor_at(slower, clock.now()), on_end))

    for station in stations:
        clock.call_later(station.at_s, partial(send, station.works_s))
    clock.run()
    assert len(ends_s) == sum(len(station.works_s) for station in stations)
    return max(ends_s)


def best_finish_s(stations: list[Arrival], slower: list[Slowdown], workers: int) -> float:
    """The earliest finish of all orders of precedence among the stations: brute force."""
    return min(_finish_in_order_s(order, slower, workers) for order in permutations(stations))


def _finish_in_order_s(order: tuple[Arrival, ...], slower: list[Slowdown], workers: int) -> float:
    """A free worker takes a page of the first station in this order that is ready."""
    free_s = [0.0] * workers
    ready = {number: (station.at_s, 0) for number, station in enumerate(order)}
    finish_s = 0.0
    while ready:
        worker_s = heapq.heappop(free_s)
        now_s = max(worker_s, min(at_s for at_s, _ in ready.values()))
        number = next(number for number in sorted(ready) if ready[number][0] <= now_s)
        page = ready[number][1]
        end_s = now_s + order[number].works_s[page] / factor_at(slower, now_s)
        heapq.heappush(free_s, end_s)
        finish_s = max(finish_s, end_s)
        ready[number] = (end_s, page + 1)
        if page + 1 == len(order[number].works_s):
            del ready[number]
    return finish_s


@settings(max_examples=200)
@given(st.lists(arrivals, min_size=1, max_size=12), slowdowns, st.integers(1, 5), st.sampled_from(["fifo", "lifo"]))
def test_the_bound_asks_no_more_workers_than_the_mock_servers_pool_needed(stations, slower, workers, discipline):
    finish_s = pool_finish_s(stations, slower, workers, discipline)
    load, speed = load_of(stations), speed_of(stations, slower)
    assert least_whole(least_capacity(load, finish_s + ROUNDING_S, speed)) <= workers
    assert earliest_finish(load, workers, speed) <= finish_s + ROUNDING_S


@settings(max_examples=100)
@given(st.lists(arrivals, min_size=1, max_size=4), slowdowns, st.integers(1, 3))
def test_the_bound_asks_no_more_workers_than_the_best_of_all_orders(stations, slower, workers):
    finish_s = best_finish_s(stations, slower, workers)
    load, speed = load_of(stations), speed_of(stations, slower)
    assert least_whole(least_capacity(load, finish_s + ROUNDING_S, speed)) <= workers
    assert earliest_finish(load, workers, speed) <= finish_s + ROUNDING_S


@given(st.lists(arrivals, min_size=1, max_size=12), slowdowns)
def test_one_station_alone_never_ends_before_its_own_pages_allow(stations, slower):
    speed = speed_of(stations, slower)
    for station in stations:
        alone_s = pool_finish_s([station], slower, 1, "fifo")
        (bound_s,) = speed.earliest_end(np.array([station.at_s]), np.array([sum(station.works_s)]))
        assert bound_s <= alone_s + ROUNDING_S
        (possible,) = speed.work_between(np.array([station.at_s]), alone_s + ROUNDING_S)
        assert possible >= sum(station.works_s) - ROUNDING_S


@given(st.lists(arrivals, min_size=1, max_size=12), st.floats(1.0, 50.0))
def test_with_the_least_capacity_the_earliest_finish_is_the_deadline_or_before_it(stations, spare_s):
    load = load_of(stations)
    deadline_s = float(load.arrival_s.max()) + spare_s
    least = least_capacity(load, deadline_s)
    assert earliest_finish(load, least) <= deadline_s + ROUNDING_S
    assert earliest_finish(load, least * 0.99) > deadline_s  # less than the least is too little


@given(st.lists(arrivals, min_size=1, max_size=12), slowdowns, st.integers(1, 5))
def test_more_workers_or_a_later_deadline_never_ask_for_more(stations, slower, workers):
    load, speed = load_of(stations), speed_of(stations, slower)
    last_s = float(load.arrival_s.max())
    needs = [least_capacity(load, last_s + later_s, speed) for later_s in (1.0, 2.0, 10.0, 100.0)]
    assert needs == sorted(needs, reverse=True)
    assert earliest_finish(load, workers + 1, speed) <= earliest_finish(load, workers, speed) + ROUNDING_S
