"""Uneven kelurahan: the arrival rate of each is multiplied by a stationary gamma process of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from harness.plan.rate_shapes import RateShape, invert_curve
from harness.scenario.arrivals import BurstOptions

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

_MAX_STEPS = 100_000
"""More than these would be a scenario gone wrong (a step of a millisecond over an evening)."""

_MIN_PROBABILITY = 1e-9


def gamma_ar1(steps: int, cv: float, correlation: float, rng: np.random.Generator) -> FloatArray:
    """A stationary series of gamma values with mean 1, standard deviation `cv` and autocorrelation correlation^lag.

    Beta thinning: X[t] = B·X[t-1] + Z with B ~ Beta(a·rho, a·(1 - rho)), Z ~ Gamma(a·(1 - rho)), shape a = 1/cv²: a part of the
    value before survives, the rest is drawn anew (Wolpert, "Lecture Notes on Stationary Gamma Processes", arXiv 2106.00087).
    """
    shape = 1 / cv**2
    correlation = min(max(correlation, _MIN_PROBABILITY), 1 - _MIN_PROBABILITY)  # neither distribution takes a 0
    kept = rng.beta(shape * correlation, shape * (1 - correlation), steps)
    new = rng.gamma(shape * (1 - correlation), 1 / shape, steps)
    values = np.empty(steps)
    value = rng.gamma(shape, 1 / shape)
    for step in range(steps):
        values[step] = value
        value = kept[step] * value + new[step]
    return values


def bursty_times(shape: RateShape, burst: BurstOptions, shares: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Moments of the uniform `shares` along the shape, its rate multiplied by a gamma process drawn from `rng`.

    The number stays as given: only when they turn up is uneven.
    """
    steps = min(_MAX_STEPS, max(1, math.ceil((shape.end_s - shape.start_s) / burst.step)))
    factor = gamma_ar1(steps, burst.cv, math.exp(-burst.step / burst.correlation), rng)
    edges = np.minimum(shape.start_s + burst.step * np.arange(steps + 1), shape.end_s)
    even = shape.share_by(edges)
    even[-1] = 1.0
    risen = np.concatenate([[0.0], np.cumsum(np.diff(even) * factor)])
    if risen[-1] <= 0:  # every factor so small that none is left: as even as without
        return shape.moment_of(shares)
    return shape.moment_of(invert_curve(even, risen / risen[-1], shares))
