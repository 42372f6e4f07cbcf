"""When stations turn up, in seconds from T0: pure functions of a seeded generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.base.errors import ConfigurationError
from harness.base.model import Station
from harness.plan.bursts import bursty_times
from harness.plan.rate_shapes import make_shape
from harness.scenario.arrivals import (
    BurstOptions,
    ConstantArrivals,
    DrawnArrivals,
    OpenArrivals,
    PoissonArrivals,
    ReplayArrivals,
    SurgeArrivals,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

_MAX_LISTED = 3
_REPLAY_KEY = "arrivals.run"


def assign_due_times(
    arrivals: OpenArrivals, stations: Sequence[Station], rng: np.random.Generator, seed: int
) -> FloatArray:
    """When each station turns up: shape (stations,), in their order.

    Raises ConfigurationError where a replayed run doesn't know a station.
    """
    if isinstance(arrivals, ReplayArrivals):
        return _replay(arrivals, stations)
    times = draw_due_times(arrivals, len(stations), rng)
    due = times[rng.permutation(len(stations))]
    if not isinstance(arrivals, ConstantArrivals) and arrivals.burst is not None:
        return _draw_bursty(arrivals, arrivals.burst, stations, seed)
    return due


def draw_due_times(arrivals: ConstantArrivals | DrawnArrivals, stations: int, rng: np.random.Generator) -> FloatArray:
    """Due times of that many stations, as even as the kind is: shape (stations,), rising."""
    match arrivals:
        case ConstantArrivals():
            steps = np.arange(stations, dtype=np.float64)
            return np.asarray(arrivals.start + steps * (arrivals.over / stations), dtype=np.float64)
        case PoissonArrivals():
            return arrivals.start + np.cumsum(rng.exponential(arrivals.over / stations, stations))
        case SurgeArrivals():
            return arrivals.start + np.sort(rng.uniform(0.0, arrivals.over, stations))
        case _:
            return make_shape(arrivals).moment_of(np.sort(rng.uniform(0.0, 1.0, stations)))


def _draw_bursty(arrivals: DrawnArrivals, burst: BurstOptions, stations: Sequence[Station], seed: int) -> FloatArray:
    """Each kelurahan by generators of its own, one for the factor and one for the stations.

    So what one kelurahan draws depends on no other, and another `burst` leaves the stations' luck as it was.
    """
    shape = make_shape(arrivals)
    villages = np.array([station.kelurahan for station in stations])
    due = np.empty(len(stations))
    for village in np.unique(villages):
        members = np.flatnonzero(villages == village)
        factors = np.random.default_rng([seed, 0xB125, int(village)])
        shares = np.random.default_rng([seed, 0x5A2E, int(village)]).uniform(0.0, 1.0, len(members))
        due[members] = bursty_times(shape, burst, shares, factors)
    return due


def _replay(arrivals: ReplayArrivals, stations: Sequence[Station]) -> FloatArray:
    known = arrivals.due or {}
    missing = [station.code for station in stations if station.code not in known]
    if missing:
        listed = ", ".join(missing[:_MAX_LISTED]) + (" …" if len(missing) > _MAX_LISTED else "")
        problem = f"{arrivals.run} has no due time for {len(missing)} of {len(stations)} stations: {listed}"
        raise ConfigurationError(_REPLAY_KEY, [problem])
    return np.array([known[station.code] for station in stations], dtype=np.float64)
