"""How sure a change is that one pair of runs shows: a bootstrap over blocks of time.

Stations that arrive one after another wait in the same queue, so their delivery times are not independent draws. Therefore
whole blocks of neighbours in time are resampled, long enough that one block hardly depends on the next; their length comes
from the autocorrelation of the rows (Politis and White, 2004). Runs of one plan are resampled together, block by block:
what they have in common (arrivals, photos, drawn service times) cancels out of the difference.

Pure: the random generator is an argument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

REPLICATES = 2_000
MAX_BLOCKS = 100
"""More blocks take more time and add no certainty."""
MIN_UNITS = 20
"""A pair of runs with fewer stations has no interval."""
_NORMAL_975 = 1.959963984540054
_MAX_BLOCKS_NEEDED = 10_000
"""Nobody runs anything large enough to have more blocks than this."""
_LENGTH_FACTOR = 2.0
"""Blocks are made this much longer than the length that minimises the squared error of the variance: for an interval, blocks
that are too short claim too much certainty, and Student's t makes up for there being fewer of them."""


class Statistic(Protocol):
    """A figure of one run that can be resampled; its units are the stations, in the order of their planned times."""

    @property
    def units(self) -> int:
        """Number of units."""

    def value(self) -> float:
        """The figure itself; may be +infinity."""

    def influence(self) -> FloatArray:
        """How much each unit moves the figure, centred on 0. Shape (units,)."""

    def resampled(self, block: IntArray, weights: FloatArray) -> FloatArray:
        """The figure in each replicate.

        `block` is the block of each unit, shape (units,); `weights` says how often a replicate drew a block, shape
        (replicates, blocks).
        """


@dataclass(frozen=True, slots=True)
class BootstrapResult:
    """The change between one pair of runs as a log ratio, and the same in every replicate."""

    log_ratio: float
    replicates: FloatArray
    blocks: int
    block_units: float
    """Stations per block."""

    def interval(self, alpha: float) -> tuple[float, float]:
        """Bounds that miss the true log ratio with probability `alpha`; infinite if never arriving is within reach.

        The 2.5th and 97.5th percentiles of the bootstrap, their distances from the estimate multiplied by Student's t for
        this number of blocks and this alpha over the normal 1.96, and by √(K/(K-1)) for K blocks: a percentile interval of
        few blocks is too narrow (Hesterberg, What Teachers Should Know About the Bootstrap, 2015, 5.3).
        """
        low, high = self._tails
        if not math.isfinite(self.log_ratio):
            # Certain only if every replicate agrees that the figure is 0, or infinite.
            return (low, high) if low == high == self.log_ratio else (-math.inf, math.inf)
        below, above = self._distances
        widening = self._widening(self.blocks, alpha)
        return self.log_ratio - widening * below, self.log_ratio + widening * above

    def units_needed(self, alpha: float, max_distance: float) -> int | None:
        """About how many stations would bring both bounds within `max_distance` of the estimate; None if none would.

        Assumes that blocks keep their length and that the error falls with the square root of their number.
        """
        distance = max(self._distances)
        if not math.isfinite(self.log_ratio) or not math.isfinite(distance):
            return None
        for blocks in range(self.blocks, _MAX_BLOCKS_NEEDED):
            if distance * math.sqrt(self.blocks / blocks) * self._widening(blocks, alpha) <= max_distance:
                return math.ceil(blocks * self.block_units)
        return None

    @property
    def _tails(self) -> tuple[float, float]:
        low, high = (float(np.quantile(self.replicates, tail, method="nearest")) for tail in (0.025, 0.975))
        return low, high

    @property
    def _distances(self) -> tuple[float, float]:
        """How far the tails lie below and above the estimate, which must be finite."""
        low, high = self._tails
        return max(0.0, self.log_ratio - low), max(0.0, high - self.log_ratio)

    @staticmethod
    def _widening(blocks: int, alpha: float) -> float:
        return student_t(blocks - 1, 1 - alpha / 2) / _NORMAL_975 * math.sqrt(blocks / (blocks - 1))


def bootstrap_change(
    base: Statistic, run: Statistic, *, paired: bool, rng: np.random.Generator
) -> BootstrapResult | None:
    """The change from base to run with its bootstrap; None if there are fewer than `MIN_UNITS` units.

    `paired`: both have the same units in the same order, and each replicate draws the same blocks of both.
    """
    if min(base.units, run.units) < MIN_UNITS:
        return None
    # A pair is resampled by its difference, so the correlation that matters is that of the difference.
    length = block_length(run.influence() - base.influence()) if paired else max(map(_own_length, (base, run)))
    sides = []
    weights: FloatArray | None = None
    for side in (base, run):
        blocks = max(2, min(MAX_BLOCKS, math.floor(side.units / length)))
        if weights is None or not paired:
            weights = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=REPLICATES).astype(np.float64)
        sides.append((side.resampled(np.arange(side.units) * blocks // side.units, weights), blocks))
    (before, first), (after, second) = sides
    fewest = min(first, second)
    return BootstrapResult(log_ratio(base.value(), run.value()), log_ratios(before, after), fewest, base.units / first)


def log_ratio(base: float, run: float) -> float:
    """The logarithm of run ÷ base; 0 if both are 0 or both are infinite.

    >>> log_ratio(2.0, 2.0), log_ratio(1.0, math.inf), log_ratio(math.inf, math.inf)
    (0.0, inf, 0.0)
    """
    return float(log_ratios(np.array([base]), np.array([run]))[0])


def log_ratios(base: FloatArray, run: FloatArray) -> FloatArray:
    """`log_ratio` of each pair. Shapes (n,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        difference: FloatArray = np.log(run) - np.log(base)
        difference[np.isnan(difference)] = 0.0
        return difference


def _own_length(statistic: Statistic) -> float:
    return block_length(statistic.influence())


def block_length(series: FloatArray) -> float:
    """How many neighbours a block should hold, at least 1, if blocks do not overlap. Shape (n,).

    Politis and White, Automatic Block-Length Selection for the Dependent Bootstrap (2004), with the correction of Patton,
    Politis and White (2009): the correlogram up to where it has died away (none of the next K lags is significant), through
    a flat-top window; b = (2g²/D · n)^⅓ with D = 2s² for blocks that do not overlap (Lahiri, 1999), at most 3√n and n/3.
    """
    n = len(series)
    centred = series - series.mean()
    if n < 3 or not centred.any():
        return 1.0
    quiet = max(5, math.ceil(math.sqrt(math.log10(n))))
    max_lag = min(math.ceil(math.sqrt(n)) + quiet, n - 1)
    covariance = np.array([float(centred[lag:] @ centred[: n - lag]) / n for lag in range(max_lag + 1)])
    significant = np.abs(covariance[1:]) >= 2 * math.sqrt(math.log10(n) / n) * covariance[0]
    reach = _last_before_quiet(significant, quiet)
    lags = np.arange(min(2 * max(reach, 1), max_lag) + 1)
    window = np.minimum(1.0, 2 * (1 - lags / max(lags[-1], 1)))
    weighted = window * covariance[: len(lags)]
    g = 2 * float((lags * weighted).sum())
    s = float(weighted[0] + 2 * weighted[1:].sum())
    longest = min(3 * math.sqrt(n), n / 3)
    if s <= 0:
        return max(1.0, min(longest, n / 8))  # negative correlation: neighbours cancel out, which only long blocks show
    return max(1.0, min(longest, _LENGTH_FACTOR * float(np.cbrt(g * g / (s * s) * n))))


def _last_before_quiet(significant: npt.NDArray[np.bool_], quiet: int) -> int:
    """The lag after which none of the next `quiet` ones is significant; else the last significant one."""
    for lag in range(len(significant) - quiet + 1):
        if not significant[lag : lag + quiet].any():
            return lag
    return int(np.flatnonzero(significant)[-1]) + 1


def student_t(freedom: float, probability: float) -> float:
    """The quantile of Student's t distribution with `freedom` degrees of freedom at `probability`.

    >>> round(student_t(9, 0.975), 3)
    2.262
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - takes most of a second to import, so only when needed

    return float(stdtrit(freedom, probability))
