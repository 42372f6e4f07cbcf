"""How sure a change is that one pair of runs shows: a bootstrap over blocks of time.

Stations that turn up one after the other wait in the same queue, so their delivery times are no independent draws. What is
drawn again is therefore whole blocks of neighbours in time, long enough that blocks hardly know of each other; the length
comes from the correlation that the rows show (Politis and White, 2004). Runs of one plan are drawn together, block by
block: what the two have in common (the arrivals, the photos, the drawn service times) drops out of the difference.

Pure: the generator of random numbers is an argument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from harness.analysis.blocks import block_length
from harness.analysis.percentile import order_statistic
from harness.analysis.student import student_t

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

REPLICATES = 2_000
MAX_BLOCKS = 100
"""More blocks than this add time and no certainty."""
MIN_UNITS = 20
"""Below so many stations a pair of runs has no interval."""
_GRID_POINTS = 512
"""Values among which a resampled percentile is looked for; all of them in a smaller sample."""
_LAST_STATIONS = (20, 10)
"""A run may end with any of its last 20 stations, or the last tenth where that is more."""
_NORMAL_975 = 1.959963984540054
_MAX_BLOCKS_NEEDED = 10_000
"""Blocks: nobody makes a run as large as would take more."""


class Statistic(Protocol):
    """A figure of one run as a sum over units: stations in the order of their planned times."""

    @property
    def units(self) -> int:
        """How many units there are."""

    def value(self) -> float:
        """The figure itself; may be +infinity."""

    def influence(self) -> FloatArray:
        """How much each unit moves the figure, around 0. Shape (units,)."""

    def resampled(self, block: IntArray, weights: FloatArray) -> FloatArray:
        """The figure of each replicate. `block` of each unit, shape (units,); `weights` (replicates, blocks)."""


@dataclass(frozen=True)
class RatioStatistic:
    """Sum of one thing ÷ sum of another: attempts a page, completed stations of all. Shapes (units,)."""

    above: FloatArray
    below: FloatArray

    @property
    def units(self) -> int:
        """How many units there are."""
        return len(self.above)

    def value(self) -> float:
        """The ratio over all units; NaN where there is nothing below the line."""
        below = float(self.below.sum())
        return float(self.above.sum()) / below if below else math.nan

    def influence(self) -> FloatArray:
        """What a unit has more above the line than its share below it, relative to the whole."""
        whole = float(self.above.sum())
        moved: FloatArray = self.above - self.value() * self.below
        return moved * (self.units / whole) if whole else np.zeros(self.units)

    def resampled(self, block: IntArray, weights: FloatArray) -> FloatArray:
        """See Statistic."""
        blocks = weights.shape[1]
        above = weights @ np.bincount(block, self.above, minlength=blocks)
        below = weights @ np.bincount(block, self.below, minlength=blocks)
        ratios: FloatArray = np.divide(above, below, out=np.full(len(weights), np.nan), where=below > 0)
        return ratios


@dataclass(frozen=True)
class RateStatistic:
    """Things a second until the run's last end: pages delivered by each station ÷ how long the run went on.

    What is chance in it is which pages came through, and when the last station was done: a replicate ends with another
    one of the last stations, as much earlier or later as that one took less or more than they did on average.
    """

    amount: FloatArray
    """Of each station, shape (units,)."""
    took_s: FloatArray
    """From each station's planned time to the end of its last attempt; NaN without any. Shape (units,)."""
    over_s: float

    @property
    def units(self) -> int:
        """How many units there are."""
        return len(self.amount)

    def value(self) -> float:
        """The rate itself."""
        return float(self.amount.sum()) / self.over_s

    def influence(self) -> FloatArray:
        """What a station has more than the mean one, relative to it."""
        mean = float(self.amount.mean())
        return self.amount / mean - 1 if mean else np.zeros(self.units)

    def resampled(self, block: IntArray, weights: FloatArray) -> FloatArray:
        """See Statistic. Replicate by replicate the same station ends both runs of a pair."""
        blocks = weights.shape[1]
        share = (weights @ np.bincount(block, self.amount, minlength=blocks)) / (
            weights @ np.bincount(block, minlength=blocks)
        )
        last = self.took_s[-min(self.units, max(_LAST_STATIONS[0], self.units // _LAST_STATIONS[1])) :]
        known = np.where(np.isfinite(last), last, np.nan)
        shift = np.nan_to_num(known - np.nanmean(known)) if np.isfinite(known).any() else np.zeros(len(last))
        over_s = self.over_s + shift[np.arange(len(weights)) % len(shift)]
        rates: FloatArray = share * self.units / np.maximum(over_s, self.over_s / 10)
        return rates


@dataclass(frozen=True)
class QuantileStatistic:
    """A percentile by nearest rank, of rows that belong to units. Shapes (rows,); values may be +infinity."""

    values: FloatArray
    unit: IntArray
    units: int
    quantile: float

    @cached_property
    def _rising(self) -> FloatArray:
        return np.sort(self.values)

    def value(self) -> float:
        """The percentile over all rows."""
        return order_statistic(self._rising, self.quantile)

    def influence(self) -> FloatArray:
        """How many rows too many a unit has beyond the percentile."""
        beyond = np.bincount(self.unit, self.values > self.value(), minlength=self.units)
        excess: FloatArray = beyond - (1 - self.quantile) * np.bincount(self.unit, minlength=self.units)
        return excess

    def resampled(self, block: IntArray, weights: FloatArray) -> FloatArray:
        """See Statistic. Percentiles come from counts of each block below each value of a grid."""
        grid, blocks = self._grid(), weights.shape[1]
        wide = len(grid) + 1
        place = np.searchsorted(grid, self.values)
        counts = np.bincount(block[self.unit] * wide + place, minlength=blocks * wide).reshape(blocks, wide)
        reached = weights @ np.cumsum(counts, axis=1, dtype=np.float64)
        total = reached[:, -1]
        rank = np.ceil(self.quantile * total - 1e-9)
        first = np.argmax(reached >= rank[:, None], axis=1)
        found: FloatArray = np.append(grid, np.inf)[first]
        return np.where(total > 0, found, np.nan)

    def _grid(self) -> FloatArray:
        """Finite values, rising, the greatest one included; in a large sample the closer, the nearer the percentile."""
        finite = self._rising[np.isfinite(self._rising)]
        if len(finite) > _GRID_POINTS:
            odds = math.log(self.quantile / (1 - self.quantile)) + np.linspace(-3.0, 3.0, _GRID_POINTS)
            ranks = np.ceil(len(self._rising) / (1 + np.exp(-odds))).astype(np.int64) - 1
            mine = math.ceil(self.quantile * len(self._rising)) - 1
            ranks = np.append(ranks, [mine, len(finite) - 1])
            finite = finite[ranks[(ranks >= 0) & (ranks < len(finite))]]
        return np.unique(finite)


@dataclass(frozen=True, slots=True)
class BootstrapResult:
    """The change that one pair of runs shows, on the log scale, and the same in every replicate."""

    log_ratio: float
    replicates: FloatArray
    blocks: int
    block_units: float
    """Stations a block."""

    def interval(self, alpha: float) -> tuple[float, float]:
        """Bounds that miss the true log ratio with probability `alpha`.

        The bootstrap's 2.5th and 97.5th percentiles, their distances from the estimate stretched by Student's t for so
        few blocks (and such an alpha) over the normal 1.96, and by √(K/(K-1)) for K blocks; after Hesterberg, What
        Teachers Should Know About the Bootstrap (2015), 5.3. Infinite where what never arrives is in reach.
        """
        low, high = self._tails
        if not math.isfinite(self.log_ratio):
            return (low, high) if low == high == self.log_ratio else (-math.inf, math.inf)
        below, above = self._distances
        widened = self._widened(self.blocks, alpha)
        return self.log_ratio - widened * below, self.log_ratio + widened * above

    def units_for(self, alpha: float, furthest: float) -> int | None:
        """About how many stations would bring both bounds within `furthest` of the estimate; None where no number would.

        As if blocks kept their length and the error fell with the square root of their number.
        """
        distance = max(self._distances)
        if not math.isfinite(self.log_ratio) or not math.isfinite(distance):
            return None
        for blocks in range(self.blocks, _MAX_BLOCKS_NEEDED):
            if distance * math.sqrt(self.blocks / blocks) * self._widened(blocks, alpha) <= furthest:
                return math.ceil(blocks * self.block_units)
        return None

    @property
    def _tails(self) -> tuple[float, float]:
        low, high = (float(np.quantile(self.replicates, tail, method="nearest")) for tail in (0.025, 0.975))
        return low, high

    @property
    def _distances(self) -> tuple[float, float]:
        """How far the tails lie below and above the estimate, if that is finite."""
        low, high = self._tails
        return max(0.0, self.log_ratio - low), max(0.0, high - self.log_ratio)

    @staticmethod
    def _widened(blocks: int, alpha: float) -> float:
        return student_t(blocks - 1, 1 - alpha / 2) / _NORMAL_975 * math.sqrt(blocks / (blocks - 1))


def bootstrap_change(
    base: Statistic, run: Statistic, *, paired: bool, rng: np.random.Generator
) -> BootstrapResult | None:
    """The change from base to run with its bootstrap; None where there are too few units to draw from.

    `paired`: both have the same units in the same order, and each replicate draws the same blocks of both.
    """
    if min(base.units, run.units) < MIN_UNITS:
        return None
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
    """Log of run ÷ base; 0 where both are 0 or both never.

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
