"""The distribution of service times, from uploads that found the server empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter
from scipy import stats

from mock_server.profile.units import AnyDistribution, DurationDistribution

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

MIN_ALONE = 50
"""Uploads that must have found the server empty; fewer don't show a distribution."""
_FIXED_SPREAD = 0.02
"""A spread below this share of the median counts as none."""
_LEAST_S = 1e-6
_ADAPTER: TypeAdapter[AnyDistribution] = TypeAdapter(DurationDistribution)


@dataclass(frozen=True)
class ServiceLaw:
    """How long a worker is busy with an upload."""

    service_time: AnyDistribution
    bytes_per_s: float | None
    """Rate that adds size / rate; None if size makes no measurable difference."""
    mean_s: float
    """Of an upload of the mean size."""
    distance: float
    """Kolmogorov's distance between the distribution and the measured times: 0 fits exactly."""
    samples: int


def require_alone(seconds: FloatArray) -> None:
    """Raise ValueError if too few uploads found the server empty."""
    if len(seconds) < MIN_ALONE:
        message = f"only {len(seconds)} uploads found the server empty, and {MIN_ALONE} are needed"
        raise ValueError(message)


def fit_service(seconds: FloatArray, size_bytes: FloatArray) -> ServiceLaw:
    """The law that fits best among fixed, uniform, exponential and lognormal. Raises ValueError with too few samples."""
    require_alone(seconds)
    seconds = np.maximum(seconds, _LEAST_S)
    bytes_per_s = _rate(seconds, size_bytes)
    besides = seconds if bytes_per_s is None else np.maximum(seconds - size_bytes / bytes_per_s, _LEAST_S)
    tried = [(_distance(besides, law), law) for law in _laws(besides)]
    distance, best = min(tried, key=lambda one: one[0])
    return ServiceLaw(best, bytes_per_s, float(seconds.mean()), distance, len(seconds))


def _rate(seconds: FloatArray, size_bytes: FloatArray) -> float | None:
    """1 / the slope over sizes, if it is surely above 0 and what remains for a photo of no size isn't negative.

    Theil's and Sen's slope: service times have long tails, which would pull one by least squares.
    """
    if np.ptp(size_bytes) == 0:
        return None
    chosen = np.linspace(0, len(seconds) - 1, min(len(seconds), 1500)).astype(np.int64)
    slope, intercept, low, _ = stats.theilslopes(seconds[chosen], size_bytes[chosen], 0.99)
    if low <= 0:
        return None
    if intercept < 0:  # all of it is size
        slope = float(np.median(seconds / size_bytes))
    return 1 / float(slope)


def _laws(seconds: FloatArray) -> list[AnyDistribution]:
    median, low, high = (float(value) for value in np.quantile(seconds, (0.5, 0.05, 0.95)))
    if high - low <= _FIXED_SPREAD * median:
        return [_parse({"distribution": "fixed", "value": _text(median)})]
    logs = np.log(np.maximum(seconds, _LEAST_S))
    edge = (high - low) / 0.9 * 0.05
    return [
        _parse({"distribution": "lognormal", "median": _text(float(np.exp(logs.mean()))), "sigma": round(float(logs.std()), 3)}),
        _parse({"distribution": "exponential", "mean": _text(float(seconds.mean()))}),
        _parse({"distribution": "uniform", "low": _text(max(0.0, low - edge)), "high": _text(high + edge)}),
    ]  # fmt: skip


def _distance(seconds: FloatArray, law: AnyDistribution) -> float:
    """The greatest gap between the two distributions, at the law's percentiles."""
    levels = np.linspace(0.01, 0.99, 99)
    expected = np.array([law.quantile(float(level)) for level in levels])
    if np.ptp(expected) == 0:  # all of it at one value: the share within its spread
        near = np.abs(seconds / expected[0] - 1) <= _FIXED_SPREAD
        return 1 - float(near.mean())
    found = np.searchsorted(np.sort(seconds), expected, side="right") / len(seconds)
    return float(np.abs(found - levels).max())


def _parse(content: dict[str, Any]) -> AnyDistribution:
    return _ADAPTER.validate_python(content)


def _text(seconds: float) -> str:
    return f"{seconds:.6f}s"
