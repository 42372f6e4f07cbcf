"""Whether a quantity that was sampled over time is flat: Theil and Sen's slope against the noise around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WARM_UP_RATIO = 0.25
"""Share of the samples at the start that is left out: imports, caches and pools fill up once."""
NOISE_MADS = 3.0


@dataclass(frozen=True)
class Slope:
    """A straight line through samples, and what its rise is held against."""

    per_s: float
    rise: float
    """Over the time that was looked at."""
    allowed: float
    """Three median absolute deviations around the line (two standard deviations of a normal noise), or the floor."""

    @property
    def is_flat(self) -> bool:
        """A fall is flat too: what was freed does not leak."""
        return self.rise <= self.allowed


def fit_slope(t_s: Sequence[float], values: Sequence[float], floor: float) -> Slope:
    """The median of the slopes between all pairs of samples (Sen 1968): a third of them may be outliers.

    `floor` is a rise that is never held against anything, in the values' unit. Raises ValueError below ten samples.

    >>> slope_of(range(40), [5.0] * 30 + [500.0] * 2 + [5.0] * 8, 1.0).per_s
    0.0
    """
    first = int(len(t_s) * WARM_UP_RATIO)
    times, seen = np.asarray(t_s[first:], dtype=np.float64), np.asarray(values[first:], dtype=np.float64)
    if len(times) < 10:
        message = f"{len(times)} samples after the warm-up are too few to tell a slope"
        raise ValueError(message)
    step = max(1, len(times) // 1000)  # a million pairs say as much as all of a long run's
    times, seen = times[::step], seen[::step]
    one, other = np.triu_indices(len(times), 1)
    per_s = float(np.median((seen[other] - seen[one]) / (times[other] - times[one])))
    around = seen - per_s * times
    noise = float(np.median(np.abs(around - np.median(around))))
    return Slope(per_s, per_s * float(times[-1] - times[0]), max(NOISE_MADS * noise, floor))
