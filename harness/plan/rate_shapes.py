"""Shapes of arrival rates: the share of all stations that has arrived by a time, its inverse, and bursts on top.

Drawing N uniform shares and inverting the cumulative rate gives an inhomogeneous Poisson process, conditional on N arrivals:
exact for a fixed number of stations (order statistics; Ross, "Introduction to Probability Models", on nonhomogeneous
processes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from harness.scenario.arrivals import (
    BurstOptions,
    CurveArrivals,
    DeadlineRushArrivals,
    DrawnArrivals,
    PoissonArrivals,
    RampArrivals,
    StepArrivals,
    SurgeArrivals,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

_MAX_STEPS = 100_000
"""Steps of a burst's factor; more would be a mistake in the scenario, such as steps of a millisecond over an evening."""
_MIN_PROBABILITY = 1e-9


class RateShape(Protocol):
    """A cumulative arrival curve, from 0 at `start_s` to 1 at `end_s`."""

    @property
    def start_s(self) -> float:
        """When the first station may arrive."""

    @property
    def end_s(self) -> float:
        """When all stations have arrived."""

    def share_by(self, times: FloatArray) -> FloatArray:
        """Share of the stations that has arrived by each of these times."""

    def time_of(self, shares: FloatArray) -> FloatArray:
        """When each of these shares has arrived: the inverse of `share_by`."""


@dataclass(frozen=True)
class PiecewiseLinearShape:
    """Linear between points: `times` ascending, `shares` ascending from 0 to 1."""

    times: FloatArray
    shares: FloatArray

    @property
    def start_s(self) -> float:
        """When the first station may arrive."""
        return float(self.times[0])

    @property
    def end_s(self) -> float:
        """When all stations have arrived."""
        return float(self.times[-1])

    def share_by(self, times: FloatArray) -> FloatArray:
        """Share of the stations that has arrived by each of these times."""
        return np.interp(times, self.times, self.shares)

    def time_of(self, shares: FloatArray) -> FloatArray:
        """When each of these shares has arrived."""
        return invert_curve(self.times, self.shares, shares)


@dataclass(frozen=True)
class RampShape:
    """A rate that changes linearly from `first` to `last`: F(x) = (first·x + (last - first)·x²/2) / mean, x in 0..1."""

    start_s: float
    end_s: float
    first: float
    last: float

    def share_by(self, times: FloatArray) -> FloatArray:
        """Share of the stations that has arrived by each of these times."""
        x = np.clip((times - self.start_s) / (self.end_s - self.start_s), 0.0, 1.0)
        return np.asarray(x * (2 * self.first + (self.last - self.first) * x) / (self.first + self.last))

    def time_of(self, shares: FloatArray) -> FloatArray:
        """When each of these shares has arrived.

        The quadratic formula in its other form, 2c / (b + √…): the usual one cancels out if `first` ≈ `last`.
        """
        root = np.sqrt(self.first**2 + (self.last**2 - self.first**2) * shares)
        below = self.first + root
        # `below` is 0 only for share 0 of a ramp from 0, which is x = 0
        x = np.divide((self.first + self.last) * shares, below, out=np.zeros_like(shares), where=below > 0)
        return np.asarray(self.start_s + x * (self.end_s - self.start_s))


@dataclass(frozen=True)
class DeadlineRushShape:
    """N(t) = A·ln(T/(T - t)), t from `start_s`, T to `until_s`, cut off at `end_s`: at T itself the rate is infinite."""

    start_s: float
    end_s: float
    until_s: float

    def share_by(self, times: FloatArray) -> FloatArray:
        """Share of the stations that has arrived by each of these times."""
        whole, left = self.until_s - self.start_s, self.until_s - np.clip(times, self.start_s, self.end_s)
        return np.asarray(np.log(whole / left) / np.log(whole / (self.until_s - self.end_s)))

    def time_of(self, shares: FloatArray) -> FloatArray:
        """When each of these shares has arrived: T·(1 - (cut off/T)^share)."""
        whole = self.until_s - self.start_s
        return np.asarray(self.until_s - whole * ((self.until_s - self.end_s) / whole) ** shares)


def make_shape(arrivals: DrawnArrivals) -> RateShape:
    """The cumulative curve of these arrivals."""
    match arrivals:
        case PoissonArrivals() | SurgeArrivals():
            return PiecewiseLinearShape(
                np.array([arrivals.start, arrivals.start + arrivals.over]), np.array([0.0, 1.0])
            )
        case RampArrivals():
            return RampShape(arrivals.start, arrivals.start + arrivals.over, arrivals.first, arrivals.last)
        case StepArrivals():
            times, rates = np.array(arrivals.rates, dtype=np.float64).T
            cumulated = np.concatenate([[0.0], np.cumsum(np.diff(times) * rates[:-1])])
            return PiecewiseLinearShape(times, cumulated / cumulated[-1])
        case DeadlineRushArrivals():
            return DeadlineRushShape(arrivals.start, arrivals.until - arrivals.cut_off, arrivals.until)
        case CurveArrivals():
            times, shares = np.array(arrivals.points, dtype=np.float64).T
            return PiecewiseLinearShape(times, shares)


def invert_curve(times: FloatArray, shares: FloatArray, at: FloatArray) -> FloatArray:
    """Times at which an ascending piecewise-linear cumulative curve reaches the shares `at`.

    A flat part, in which no station arrives, is skipped: the time is its end.

    >>> invert_curve(np.array([0.0, 8.0, 36.0]), np.array([0.0, 0.5, 1.0]), np.array([0.25, 0.75]))
    array([ 4., 22.])
    """
    # np.interp(at, shares, times) would do, but it is undefined where `shares` repeats a value
    right = np.clip(np.searchsorted(shares, at, side="right"), 1, len(shares) - 1)
    left = right - 1
    rise = shares[right] - shares[left]
    part = np.divide(at - shares[left], rise, out=np.ones_like(at), where=rise > 0)
    found: FloatArray = times[left] + part * (times[right] - times[left])
    return found


def gamma_ar1(steps: int, cv: float, correlation: float, rng: np.random.Generator) -> FloatArray:
    """A stationary series of gamma values with mean 1, standard deviation `cv` and autocorrelation correlation^lag.

    Beta thinning: X[t] = B·X[t-1] + Z with B ~ Beta(a·rho, a·(1 - rho)), Z ~ Gamma(a·(1 - rho)), shape a = 1/cv²: a part of
    the previous value survives, the rest is drawn anew (Wolpert, "Lecture Notes on Stationary Gamma Processes", arXiv
    2106.00087).
    """
    shape = 1 / cv**2
    correlation = min(max(correlation, _MIN_PROBABILITY), 1 - _MIN_PROBABILITY)  # neither distribution takes a 0
    kept = rng.beta(shape * correlation, shape * (1 - correlation), steps)
    new = rng.gamma(shape * (1 - correlation), 1 / shape, steps)
    values = np.empty(steps)
    value = rng.gamma(shape, 1 / shape)  # start in the stationary distribution: no burn-in is needed
    for step in range(steps):
        values[step] = value
        value = kept[step] * value + new[step]
    return values


def bursty_times(shape: RateShape, burst: BurstOptions, shares: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Times of the uniform `shares` along the shape, its rate multiplied by a gamma process drawn from `rng`.

    The number of arrivals does not change, only when they happen.
    """
    steps = min(_MAX_STEPS, max(1, math.ceil((shape.end_s - shape.start_s) / burst.step)))
    factor = gamma_ar1(steps, burst.cv, math.exp(-burst.step / burst.correlation), rng)
    edges = np.minimum(shape.start_s + burst.step * np.arange(steps + 1), shape.end_s)
    even = shape.share_by(edges)
    even[-1] = 1.0  # the last step may end short of `end_s`
    risen = np.concatenate([[0.0], np.cumsum(np.diff(even) * factor)])
    if risen[-1] <= 0:  # a large cv can draw only factors that underflow to 0: fall back to no bursts
        return shape.time_of(shares)
    return shape.time_of(invert_curve(even, risen / risen[-1], shares))
