"""When stations arrive, in seconds from T0. Pure functions of a seeded random generator.

Open arrivals: every station has a due time, whatever the server does. Closed arrivals: a fixed number of phones, each of which
serves one station after another; only the first due time of each phone is known beforehand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.base.errors import ConfigurationError
from harness.base.model import Station
from harness.plan.own_stations import ListedStation
from harness.plan.rate_shapes import bursty_times, make_shape
from harness.scenario.arrivals import (
    BurstOptions,
    ClosedArrivals,
    ConstantArrivals,
    DrawnArrivals,
    ListedArrivals,
    OpenArrivals,
    PoissonArrivals,
    ReplayArrivals,
    SurgeArrivals,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

_MAX_LISTED = 3
_REPLAY_KEY = "arrivals.run"
_LISTED_KEY = "arrivals.kind"
_PHONES_KEY = "arrivals.phones"


def assign_due_times(
    arrivals: OpenArrivals, stations: Sequence[Station], rng: np.random.Generator, seed: int
) -> FloatArray:
    """When each station arrives: shape (stations,), in the order of `stations`.

    Raises ConfigurationError if a replayed run lacks a station.
    """
    if isinstance(arrivals, ReplayArrivals):
        return _replay(arrivals, stations)
    if isinstance(arrivals, ListedArrivals):
        return _listed(arrivals, stations)
    times = draw_due_times(arrivals, len(stations), rng)
    due = times[rng.permutation(len(stations))]  # which station takes which time is random, not in the order of codes
    if not isinstance(arrivals, ConstantArrivals) and arrivals.burst is not None:
        return _draw_bursty(arrivals, arrivals.burst, stations, seed)
    return due


def draw_due_times(arrivals: ConstantArrivals | DrawnArrivals, stations: int, rng: np.random.Generator) -> FloatArray:
    """Due times of that many stations, without bursts: shape (stations,), ascending."""
    match arrivals:
        case ConstantArrivals():
            steps = np.arange(stations, dtype=np.float64)
            return np.asarray(arrivals.start + steps * arrivals.gap_s(stations), dtype=np.float64)
        case PoissonArrivals():
            return arrivals.start + np.cumsum(rng.exponential(arrivals.gap_s(stations), stations))
        case SurgeArrivals():
            return arrivals.start + np.sort(rng.uniform(0.0, arrivals.over, stations))
        case _:
            return make_shape(arrivals).time_of(np.sort(rng.uniform(0.0, 1.0, stations)))


def _draw_bursty(arrivals: DrawnArrivals, burst: BurstOptions, stations: Sequence[Station], seed: int) -> FloatArray:
    """Due times with bursts: each kelurahan has generators of its own, one for the rate factor and one for the stations.

    So the draws of one kelurahan depend on no other, and another `burst` leaves the stations' own draws as they were
    (common random numbers).
    """
    shape = make_shape(arrivals)
    codes = np.array([station.kelurahan for station in stations])
    due = np.empty(len(stations))
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        number = _seed_of(str(code))
        factors = np.random.default_rng([seed, 0xB125, number])
        shares = np.random.default_rng([seed, 0x5A2E, number]).uniform(0.0, 1.0, len(members))
        due[members] = bursty_times(shape, burst, shares, factors)
    return due


def _seed_of(group: str) -> int:
    """A number of a kelurahan or group: its code if that is one, else drawn from its name."""
    if group.isascii() and group.isdigit():
        return int(group)
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8])


def _listed(arrivals: ListedArrivals, stations: Sequence[Station]) -> FloatArray:
    """The stations' own due times. Raises ConfigurationError if they have none."""
    due = [one.due if isinstance(one, ListedStation) else None for one in stations]
    if any(one is None for one in due):
        problem = 'kind = "listed" takes the due times of your own stations: name their column with stations.due'
        raise ConfigurationError(_LISTED_KEY, [problem])
    return arrivals.start + np.array(due, dtype=np.float64) / arrivals.speed


def _replay(arrivals: ReplayArrivals, stations: Sequence[Station]) -> FloatArray:
    known = arrivals.due or {}
    missing = [station.code for station in stations if station.code not in known]
    if missing:
        listed = ", ".join(missing[:_MAX_LISTED]) + (" …" if len(missing) > _MAX_LISTED else "")
        problem = f"{arrivals.run} has no due time for {len(missing)} of {len(stations)} stations: {listed}"
        raise ConfigurationError(_REPLAY_KEY, [problem])
    return np.array([known[station.code] for station in stations], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ClosedRounds:
    """What every phone of closed arrivals does.

    Every station is served exactly once, so that each photo has a key and a digest that are known beforehand. Which phone
    serves which station, and the pause before each, are drawn beforehand too: they depend neither on the server's speed nor
    on the number of workers.
    """

    phones: tuple[IntArray, ...]
    """For each phone the indices of its stations, in the order in which it serves them; never empty."""
    think_s: FloatArray
    """Shape (stations,): the pause before each station."""

    def of_worker(self, rank: int, workers: int) -> tuple[IntArray, ...]:
        """The phones of one of `workers` workers."""
        return self.phones[rank::workers]


def plan_closed_loop(arrivals: ClosedArrivals, stations: Sequence[Station], seed: int) -> ClosedRounds:
    """Stations assigned to the phones round-robin in random order, each with a pause drawn from `arrivals.think`.

    Raises ConfigurationError if there are fewer stations than phones.
    """
    if arrivals.phones > len(stations):
        problem = f"{_PHONES_KEY} = {arrivals.phones:,}: there are {len(stations):,} stations, and each phone needs one"
        raise ConfigurationError(_PHONES_KEY, [problem])
    order = np.random.default_rng([seed, 0xC105]).permutation(len(stations))
    shares = np.random.default_rng([seed, 0x7417]).uniform(size=len(stations))
    # a share of exactly 0 has no quantile in an unbounded distribution
    think_s = np.array([arrivals.think.quantile(max(share, np.finfo(float).tiny)) for share in shares.tolist()])
    return ClosedRounds(tuple(order[phone :: arrivals.phones] for phone in range(arrivals.phones)), think_s)


def first_due_times(arrivals: ClosedArrivals, closed_loop: ClosedRounds) -> FloatArray:
    """Due times as far as they are known beforehand: those of each phone's first station, +infinity for all others."""
    due = np.full(len(closed_loop.think_s), np.inf)
    first = np.array([stations[0] for stations in closed_loop.phones])
    due[first] = arrivals.start + closed_loop.think_s[first]
    return due


def earliest_due_times(closed_loop: ClosedRounds, due_s: FloatArray) -> FloatArray:
    """When each station would be due if uploads took no time: shape (stations,). A lower bound for every real run."""
    earliest = due_s.copy()
    for stations in closed_loop.phones:
        earliest[stations[1:]] = due_s[stations[0]] + np.cumsum(closed_loop.think_s[stations[1:]])
    return earliest
