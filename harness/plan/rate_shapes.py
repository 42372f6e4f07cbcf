"""The shapes that arrivals can have: which share of all stations has turned up by when, and the inverse.

Drawing N uniform shares and inverting the cumulative rate is an inhomogeneous Poisson process, given that N turn up: exact for
a fixed number of stations (order statistics; Ross, "Introduction to Probability Models", on nonhomogeneous processes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from harness.scenario.arrivals import (
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


class RateShape(Protocol):
    """A cumulative curve from 0 at `start_s` to 1 at `end_s`."""

    @property
    def start_s(self) -> float:
        """When the first may turn up."""

    @property
    def end_s(self) -> float:
        """When all have."""

    def share_by(self, times: FloatArray) -> FloatArray:
        """Share that has turned up by each of these times."""

    def moment_of(self, shares: FloatArray) -> FloatArray:
        """When each of these shares has turned up."""


@dataclass(frozen=True)
class PiecewiseLinearShape:
    """Piecewise linear: times rise, shares rise from 0 to 1."""

    times: FloatArray
    shares: FloatArray

    @property
    def start_s(self) -> float:
        """When the first may turn up."""
        return float(self.times[0])

    @property
    def end_s(self) -> float:
        """When all have."""
        return float(self.times[-1])

    def share_by(self, times: FloatArray) -> FloatArray:
        """Share that has turned up by each of these times."""
        return np.interp(times, self.times, self.shares)

    def moment_of(self, shares: FloatArray) -> FloatArray:
        """When each of these shares has turned up."""
        return invert_curve(self.times, self.shares, shares)


@dataclass(frozen=True)
class RampShape:
    """A rate that goes from `first` to `last` in a straight line: F(x) = (first·x + (last - first)·x²/2) / mean, x in 0..1."""

    start_s: float
    end_s: float
    first: float
    last: float

    def share_by(self, times: FloatArray) -> FloatArray:
        """Share that has turned up by each of these times."""
        x = np.clip((times - self.start_s) / (self.end_s - self.start_s), 0.0, 1.0)
        return np.asarray(x * (2 * self.first + (self.last - self.first) * x) / (self.first + self.last))

    def moment_of(self, shares: FloatArray) -> FloatArray:
        """When each of these shares has turned up; written so that nothing cancels out where the rate hardly changes."""
        root = np.sqrt(self.first**2 + (self.last**2 - self.first**2) * shares)
        below = self.first + root
        x = np.divide((self.first + self.last) * shares, below, out=np.zeros_like(shares), where=below > 0)
        return np.asarray(self.start_s + x * (self.end_s - self.start_s))


@dataclass(frozen=True)
class DeadlineRushShape:
    """N(t) = A·ln(T/(T - t)), t from `start_s`, T to `until_s`, cut off at `end_s`."""

    start_s: float
    end_s: float
    until_s: float

    def share_by(self, times: FloatArray) -> FloatArray:
        """Share that has turned up by each of these times."""
        whole, left = self.until_s - self.start_s, self.until_s - np.clip(times, self.start_s, self.end_s)
        return np.asarray(np.log(whole / left) / np.log(whole / (self.until_s - self.end_s)))

    def moment_of(self, shares: FloatArray) -> FloatArray:
        """When each of these shares has turned up: T·(1 - (cut off/T)^share)."""
        whole = self.until_s - self.start_s
        return np.asarray(self.until_s - whole * ((self.until_s - self.end_s) / whole) ** shares)


def make_shape(arrivals: DrawnArrivals) -> RateShape:
    """The cumulative curve that these arrivals follow."""
    match arrivals:
        case PoissonArrivals() | SurgeArrivals():
            return PiecewiseLinearShape(
                np.array([arrivals.start, arrivals.start + arrivals.over]), np.array([0.0, 1.0])
            )
        case RampArrivals():
            return RampShape(arrivals.start, arrivals.start + arrivals.over, arrivals.first, arrivals.last)
        case StepArrivals():
            times, rates = np.array(arrivals.rates, dtype=np.float64).T
            risen = np.concatenate([[0.0], np.cumsum(np.diff(times) * rates[:-1])])
            return PiecewiseLinearShape(times, risen / risen[-1])
        case DeadlineRushArrivals():
            return DeadlineRushShape(arrivals.start, arrivals.until - arrivals.cut_off, arrivals.until)
        case CurveArrivals():
            times, shares = np.array(arrivals.points, dtype=np.float64).T
            return PiecewiseLinearShape(times, shares)


def invert_curve(times: FloatArray, shares: FloatArray, at: FloatArray) -> FloatArray:
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
