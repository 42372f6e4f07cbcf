"""How long the blocks must be that a series is cut into, so that one hardly knows of the next. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

_LENGTH_FACTOR = 2.0
"""Times the length that makes the variance's squared error least: intervals want longer blocks, which err less on the side
of claiming too much; for the certainty that fewer blocks lack, Student's t makes up."""


def block_length(series: FloatArray) -> float:
    """How many neighbours a block should hold, at least 1, for blocks that do not overlap. Shape (n,).

    Politis and White, Automatic Block-Length Selection for the Dependent Bootstrap (2004), with the correction of
    Patton, Politis and White (2009): the correlogram up to where it has died away (no lag of the next K significant),
    through a flat-top window; b = (2g²/D · n)^⅓, D = 2s² for blocks that do not overlap (Lahiri, 1999), at most 3√n and n/3.
    """
    n = len(series)
    centred = series - series.mean()
    if n < 3 or not centred.any():
        return 1.0
    quiet = max(5, math.ceil(math.sqrt(math.log10(n))))
    furthest = min(math.ceil(math.sqrt(n)) + quiet, n - 1)
    covariance = np.array([float(centred[lag:] @ centred[: n - lag]) / n for lag in range(furthest + 1)])
    significant = np.abs(covariance[1:]) >= 2 * math.sqrt(math.log10(n) / n) * covariance[0]
    reach = _last_before_quiet(significant, quiet)
    lags = np.arange(min(2 * max(reach, 1), furthest) + 1)
    window = np.minimum(1.0, 2 * (1 - lags / max(lags[-1], 1)))
    weighted = window * covariance[: len(lags)]
    g = 2 * float((lags * weighted).sum())
    s = float(weighted[0] + 2 * weighted[1:].sum())
    longest = min(3 * math.sqrt(n), n / 3)
    if s <= 0:
        return max(1.0, min(longest, n / 8))  # neighbours make up for each other, which only long blocks show
    return max(1.0, min(longest, _LENGTH_FACTOR * float(np.cbrt(g * g / (s * s) * n))))


def _last_before_quiet(significant: npt.NDArray[np.bool_], quiet: int) -> int:
    """The lag after which none of the next `quiet` ones is significant; else the last significant one."""
    for lag in range(len(significant) - quiet + 1):
        if not significant[lag : lag + quiet].any():
            return lag
    return int(np.flatnonzero(significant)[-1]) + 1
