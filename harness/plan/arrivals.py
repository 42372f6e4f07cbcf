"""When stations turn up: sorted due times in seconds from T0, pure functions of a seeded generator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.scenario import Constant, Curve, Poisson, Surge

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


def due_times(arrivals: Constant | Poisson | Surge | Curve, stations: int, rng: np.random.Generator) -> FloatArray:
    """Due times of that many stations: shape (stations,), seconds from T0, rising."""
    match arrivals:
        case Constant():
            steps = np.arange(stations, dtype=np.float64)
            return np.asarray(arrivals.start + steps * (arrivals.over / stations), dtype=np.float64)
        case Poisson():
            return arrivals.start + np.cumsum(rng.exponential(arrivals.over / stations, stations))
        case Surge():
            return arrivals.start + np.sort(rng.uniform(0.0, arrivals.over, stations))
        case Curve():
            times, shares = np.array(arrivals.points, dtype=np.float64).T
            return inverted(times, shares, np.sort(rng.uniform(0.0, 1.0, stations)))


def inverted(times: FloatArray, shares: FloatArray, at: FloatArray) -> FloatArray:
    """Moments at which a rising piecewise-linear cumulative curve reaches the shares `at`.

    Where the curve is flat, no one turns up: the moment is the flat part's end.

    >>> inverted(np.array([0.0, 8.0, 36.0]), np.array([0.0, 0.5, 1.0]), np.array([0.25, 0.75]))
    array([ 4., 22.])
    """
    right = np.clip(np.searchsorted(shares, at, side="right"), 1, len(shares) - 1)
    left = right - 1
    rise = shares[right] - shares[left]
    part = np.divide(at - shares[left], rise, out=np.ones_like(at), where=rise > 0)
    moments: FloatArray = times[left] + part * (times[right] - times[left])
    return moments
