"""Percentiles as order statistics, refused where the sample can't bear them, with rank confidence intervals.

Every figure comes from the values themselves, never from averages or buckets: the percentile of two workers' values put
together is the percentile of the whole. A value may be +infinity: what never arrived.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

MIN_VALUES_BEYOND = 10
"""Values that must lie beyond a percentile for it to be quoted."""
CONFIDENCE = 0.95

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "p99_99": 0.9999}
"""The percentiles of a summary, by the names of its fields."""


@cache
def min_sample_size(quantile: float) -> int:
    """How many values it takes to quote a percentile: so many that 10 lie beyond it, on its nearer side.

    Raises ValueError for a quantile that is not between 0 and 1.

    >>> needed(0.5), needed(0.9), needed(0.99), needed(0.999)
    (20, 100, 1000, 10000)
    """
    share = _exact_fraction(quantile)
    return math.ceil(MIN_VALUES_BEYOND / min(share, 1 - share))


def percentile(rising: FloatArray, quantile: float) -> float | None:
    """The percentile of values sorted upwards, or None where the sample is smaller than `min_sample_size`.

    Shape (n,). May be +infinity. Nearest rank: the value at rank ⌈q·n⌉, so always one that was seen.

    >>> percentile(np.arange(1.0, 201.0), 0.95)
    190.0
    >>> percentile(np.arange(1.0, 200.0), 0.95) is None
    True
    """
    return None if len(rising) < min_sample_size(quantile) else order_statistic(rising, quantile)


def order_statistic(rising: FloatArray, quantile: float) -> float:
    """The value at rank ⌈q·n⌉ of values sorted upwards, whether the sample bears it or not.

    Raises ValueError for no values. For rules that must be held against small samples; never to be quoted.
    """
    if not len(rising):
        message = "no values, so no percentile"
        raise ValueError(message)
    return float(rising[_rank(len(rising), quantile)])


def percentile_of_unsorted(values: FloatArray, quantile: float) -> float | None:
    """As `percentile`, of values in any order: in a time proportional to their number.

    >>> percentile_of(np.arange(200.0, 0.0, -1.0), 0.95)
    190.0
    """
    if len(values) < min_sample_size(quantile):
        return None
    rank = _rank(len(values), quantile)
    return float(np.partition(values, rank)[rank])


def percentile_interval(rising: FloatArray, quantile: float) -> tuple[float | None, float | None] | None:
    """Bounds that hold the true percentile with at least 95 % confidence; None where the percentile is refused.

    With X the order statistics, X[j] to X[k] for the largest j and smallest k with
    BinomCDF(k-1; n, q) - BinomCDF(j-1; n, q) ≥ 0.95 (no assumption on the distribution; Conover, Practical
    Nonparametric Statistics, 3.2). Begins with equal tails of 2.5 %, then draws in whichever side still can be. A bound
    beyond the sample or at +infinity is None.
    """
    n = len(rising)
    if n < min_sample_size(quantile):
        return None
    j, k = _ranks(n, quantile)
    return (
        float(rising[j - 1]) if j >= 1 else None,
        float(rising[k - 1]) if k <= n and rising[k - 1] < np.inf else None,
    )


def _rank(n: int, quantile: float) -> int:
    """Where the percentile stands among n values sorted upwards, from 0."""
    return math.ceil(_exact_fraction(quantile) * n) - 1


def _ranks(n: int, quantile: float) -> tuple[int, int]:
    """Ranks j ≥ 0 and k ≤ n + 1 of the bounds; 0 and n + 1 stand for no bound."""
    spread = 6 * math.sqrt(n * quantile * (1 - quantile)) + 6
    low, high = max(0, math.floor(n * quantile - spread)), min(n, math.ceil(n * quantile + spread))
    successes = np.arange(low, high + 1)
    below = _cdf(successes, n, quantile)
    tail = (1 - CONFIDENCE) / 2
    j = low + int(np.searchsorted(below, tail, side="right"))
    k = low + int(np.searchsorted(below, 1 - tail, side="left")) + 1

    def covered(lower: int, upper: int) -> float:
        return float(_cdf(np.array(upper - 1), n, quantile) - _cdf(np.array(lower - 1), n, quantile))

    while True:
        if covered(j + 1, k) >= CONFIDENCE:
            j += 1
        elif covered(j, k - 1) >= CONFIDENCE:
            k -= 1
        else:
            return j, k


def _cdf(successes: npt.NDArray[np.int64], n: int, quantile: float) -> FloatArray:
    """P(X ≤ successes) of a binomial X, of any shape; 0 below 0."""
    from scipy.special import bdtr  # noqa: PLC0415 - most of a second to import, which no command should wait for

    return np.where(successes < 0, 0.0, bdtr(np.clip(successes, 0, n).astype(np.float64), n, quantile))


@cache
def _exact_fraction(quantile: float) -> Fraction:
    """The quantile as it was written, so that 0.9 of 100 is 90 and not 90.00000000000001."""
    share = Fraction(repr(float(quantile)))
    if not 0 < share < 1:
        message = f"a quantile lies between 0 and 1, not at {quantile}"
        raise ValueError(message)
    return share
