"""Percentiles as order statistics, refused if the sample is too small, with rank confidence intervals.

Percentiles are taken of the values themselves, never of averages or buckets, so merging workers is exact: the percentile
of their values put together is the percentile of the run. A value may be +infinity: it never ended.
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
"""Number of values that must lie beyond a percentile for it to be quoted: with fewer it is an anecdote."""
CONFIDENCE = 0.95

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "p99_99": 0.9999}
"""The percentiles in summary.json, by field name."""


@cache
def min_sample_size(quantile: float) -> int:
    """The number of values needed to quote a percentile: 10 must lie beyond it, on its nearer side.

    Raises ValueError for a quantile that is not between 0 and 1.

    >>> [min_sample_size(quantile) for quantile in (0.5, 0.9, 0.99, 0.999)]
    [20, 100, 1000, 10000]
    """
    share = _exact_fraction(quantile)
    return math.ceil(MIN_VALUES_BEYOND / min(share, 1 - share))


def percentile(rising: FloatArray, quantile: float) -> float | None:
    """The percentile of values sorted in ascending order, or None if there are fewer than `min_sample_size`.

    Shape (n,); the result may be +infinity. Nearest rank, the value at rank ⌈q·n⌉: always a measured value, never one
    interpolated between two.

    >>> percentile(np.arange(1.0, 201.0), 0.95)
    190.0
    >>> percentile(np.arange(1.0, 200.0), 0.95) is None
    True
    """
    return None if len(rising) < min_sample_size(quantile) else order_statistic(rising, quantile)


def order_statistic(rising: FloatArray, quantile: float) -> float:
    """The value at rank ⌈q·n⌉ of values sorted in ascending order, however few they are.

    For rules that must also judge small samples; not for figures that are quoted. Raises ValueError for no values.
    """
    if not len(rising):
        message = "no percentile of no values"
        raise ValueError(message)
    return float(rising[_rank(len(rising), quantile)])


def percentile_of_unsorted(values: FloatArray, quantile: float) -> float | None:
    """As `percentile`, of values in any order, in linear time.

    >>> percentile_of_unsorted(np.arange(200.0, 0.0, -1.0), 0.95)
    190.0
    """
    if len(values) < min_sample_size(quantile):
        return None
    rank = _rank(len(values), quantile)
    return float(np.partition(values, rank)[rank])


def percentile_interval(rising: FloatArray, quantile: float) -> tuple[float | None, float | None] | None:
    """Bounds that contain the true percentile with at least 95 % confidence; None if the percentile is refused.

    With X the order statistics, these are X[j] and X[k] for the largest j and smallest k with
    BinomCDF(k-1; n, q) - BinomCDF(j-1; n, q) ≥ 0.95, which assumes nothing about the distribution (Conover, Practical
    Nonparametric Statistics, 3.2). A bound beyond the sample or at +infinity is None.
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
    """Index of the percentile among n values in ascending order."""
    return math.ceil(_exact_fraction(quantile) * n) - 1


def _ranks(n: int, quantile: float) -> tuple[int, int]:
    """Ranks j ≥ 0 and k ≤ n + 1 of the bounds; 0 and n + 1 mean that there is no bound.

    Starts from equal tails of 2.5 %, then moves either bound inwards as long as the coverage stays at 95 %.
    """
    # Six standard deviations hold all but 1e-8 of the binomial: no need to evaluate it over all n ranks.
    reach = 6 * math.sqrt(n * quantile * (1 - quantile)) + 6
    low, high = max(0, math.floor(n * quantile - reach)), min(n, math.ceil(n * quantile + reach))
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
    from scipy.special import bdtr  # noqa: PLC0415 - takes most of a second to import, so only when needed

    return np.where(successes < 0, 0.0, bdtr(np.clip(successes, 0, n).astype(np.float64), n, quantile))


@cache
def _exact_fraction(quantile: float) -> Fraction:
    """The quantile as it was written: 0.9 of 100 is rank 90, not ⌈90.00000000000001⌉ = 91."""
    share = Fraction(repr(float(quantile)))
    if not 0 < share < 1:
        message = f"{quantile} is not a quantile: it must lie between 0 and 1"
        raise ValueError(message)
    return share
