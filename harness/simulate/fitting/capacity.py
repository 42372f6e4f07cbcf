"""Workers and contention, from how much longer an upload takes the more others it finds in the server.

An upload that finds a free worker takes the mean service time S, times the contention of those that are busy. One that finds n
uploads and no free worker waits besides until n - W + 1 of them are done, and they are done at the saturation throughput X.
So the mean response by the number found is flat up to the workers W and rises by 1 / X for each upload from there on, which
holds however the load changes meanwhile; W = X * S without contention. X is also counted: uploads done per second while
the queue was not empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

MIN_PER_NUMBER = 8
"""Uploads that must have found the same number in the server for its mean to be used."""
MAX_WORKERS = 512
_MAX_KNEES = 24
_STEP = 0.01
_SLOPES = np.geomspace(0.01, 2.0, 70)
_CONTENTION_GAIN = 0.1
"""Share of the error (chi-squared) that contention must remove to be believed: means of a queue are off by more than chance."""
_CONTENTION_CHI2 = 12.0
"""And how much of it: two more parameters gain 12 by chance once in 400 times. A server whose contention shows less is
modelled as one with fewer workers, which is as fast."""
_OVERSHOOT = 0.03
"""A whole number of workers may finish this much more than was measured; else there is one worker less."""
_SATURATED_BEYOND = 3
"""Numbers above the workers that must have been found: else the rise has not been measured."""


@dataclass(frozen=True)
class ResponseProfile:
    """Mean response by the number of others found in the server. Shapes (numbers,); numbers rise."""

    found: IntArray
    mean_s: FloatArray
    error_s: FloatArray
    """Standard error of each mean."""
    samples: IntArray


@dataclass(frozen=True)
class CapacityFit:
    """How many uploads are processed at once, and what they cost each other."""

    workers: int
    knee: int | None
    """Busy workers above which contention begins; None without."""
    slope: float
    beside_s: float
    """Seconds of a response in which no worker is busy with it: what makes the saturation throughput fit whole workers."""
    saturated: bool
    """Whether more uploads than workers were in the server: if not, `workers` is the least that it has."""
    error_ratio: float
    """Mean difference between the measured and the fitted response by the number found, as a share of it."""

    def rate_per_s(self, mean_service_s: float) -> float:
        """The model's saturation throughput; `mean_service_s` without `beside_s`."""
        return float(self.workers / (mean_service_s * _contention(self.workers, self.knee, self.slope)))


def profile_responses(found: IntArray, response_s: FloatArray) -> ResponseProfile:
    """The profile of uploads, of those numbers that enough of them found."""
    counts = np.bincount(found)
    numbers = np.nonzero(counts >= MIN_PER_NUMBER)[0]
    sums, squares = np.bincount(found, response_s)[numbers], np.bincount(found, response_s**2)[numbers]
    samples = counts[numbers]
    means = sums / samples
    variances = np.maximum(squares / samples - means**2, 0) * samples / (samples - 1)
    # The same relative spread for all as a floor: eight equal times by chance would get all the weight.
    errors = np.sqrt(np.maximum(variances, (0.05 * means) ** 2) / samples)
    return ResponseProfile(numbers, means, errors, samples)


def fit_capacity(profile: ResponseProfile, mean_s: float) -> CapacityFit:
    """The capacity that fits best; `mean_s` is the mean response of uploads that found the server empty.

    Raises ValueError if too few uploads found any others there.
    """
    if len(profile.found) < _SATURATED_BEYOND or profile.found[-1] == 0:
        message = f"too few uploads found others in the server ({MIN_PER_NUMBER} are needed for each number of them)"
        raise ValueError(message)
    most = min(int(profile.found[-1]) + 1, MAX_WORKERS)
    even, even_chi2 = _fit_even(profile, most, mean_s)
    bent = _fit_contention(profile, most, mean_s)
    if bent is not None and even_chi2 - bent[0] > max(_CONTENTION_CHI2, _CONTENTION_GAIN * even_chi2):
        _, workers, knee, slope = bent
        return _made(profile, mean_s, workers, knee, slope, 0.0)
    workers = max(1, int(np.ceil(even) if even >= np.ceil(even) * (1 - _OVERSHOOT) else even))
    beside_s = max(0.0, mean_s * (1 - workers / even))
    return _made(profile, mean_s, workers, None, 0.0, beside_s)


def _fit_even(profile: ResponseProfile, most: int, mean_s: float) -> tuple[float, float]:
    """X * S without contention, not rounded, and its error (chi-squared)."""
    candidates = np.arange(1.0, most + _STEP, _STEP)
    best = (np.inf, 1.0)
    for part in np.array_split(candidates, max(1, len(candidates) // 2000)):
        expected = mean_s * (1 + np.maximum(0.0, profile.found + 1 - part[:, None]) / part[:, None])
        errors = _chi2(profile, expected)
        place = int(errors.argmin())
        best = min(best, (float(errors[place]), float(part[place])))
    return best[1], best[0]


def _fit_contention(profile: ResponseProfile, most: int, mean_s: float) -> tuple[float, int, int, float] | None:
    best: tuple[float, int, int, float] | None = None
    for workers in _whole_candidates(2, most):
        for knee in np.unique(np.linspace(1, workers - 1, min(workers - 1, _MAX_KNEES)).astype(int)).tolist():
            expected = _expected(profile.found, workers, knee, _SLOPES[:, None], mean_s)
            errors = _chi2(profile, expected)
            place = int(errors.argmin())
            if best is None or errors[place] < best[0]:
                best = float(errors[place]), workers, knee, float(_SLOPES[place])
    return best


def _whole_candidates(least: int, most: int) -> list[int]:
    """All whole numbers up to 64, then in steps of a few percent."""
    return [*range(least, min(most, 64) + 1), *np.unique(np.geomspace(65, max(most, 65), 40).astype(int)).tolist()][
        : max(0, most - least + 1)
    ]


def _expected(found: IntArray, workers: int, knee: int | None, slope: float | FloatArray, mean_s: float) -> FloatArray:
    """Mean response by the number found."""
    busy = np.minimum(found + 1, workers)
    served_s = mean_s * _contention(busy, knee, slope)
    full_s = mean_s * _contention(workers, knee, slope)
    return np.asarray(served_s + np.maximum(0, found + 1 - workers) * full_s / workers)


def _contention(busy: IntArray | int, knee: int | None, slope: float | FloatArray) -> FloatArray | float:
    return 1.0 if knee is None else 1 + slope * np.maximum(0, np.asarray(busy) - knee)


def _chi2(profile: ResponseProfile, expected: FloatArray) -> FloatArray:
    return np.asarray((((profile.mean_s - expected) / profile.error_s) ** 2).sum(axis=-1))


def _made(
    profile: ResponseProfile, mean_s: float, workers: int, knee: int | None, slope: float, beside_s: float
) -> CapacityFit:
    fitted = _expected(profile.found, workers, knee, slope, mean_s - beside_s) + beside_s
    error = float(np.average(np.abs(fitted / profile.mean_s - 1), weights=profile.samples))
    saturated = int((profile.found >= workers).sum()) >= _SATURATED_BEYOND
    return CapacityFit(workers, knee, slope, beside_s, saturated, error)
