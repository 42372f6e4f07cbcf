"""Which figures of two runs can be compared, which way is better, and each as a statistic that can be resampled."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.analysis.bootstrap import Statistic
from harness.analysis.durations import DurationSamples
from harness.analysis.percentile import QUANTILES, min_sample_size, order_statistic
from harness.analysis.rows import Rows
from harness.analysis.summary import Summary
from harness.base.model import Outcome

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

_SAMPLES = ("response_seconds", "service_seconds", "delivery_seconds", "completion_seconds")
_MEAN = "mean"
_GRID_POINTS = 512
"""Number of candidate values for a resampled percentile; a smaller sample offers all of its values."""
_LAST_STATIONS = (20, 10)
"""A resampled run may end with any of its last 20 stations, or of the last tenth if that is more."""


@dataclass(frozen=True, slots=True)
class ComparableFigure:
    """A figure that two runs can be compared by. `key` is its dotted path in summary.json."""

    key: str
    better: Literal["lower", "higher"]
    unit: Literal["s", "ratio", "per_s", ""]


COMPARABLE_FIGURES: dict[str, ComparableFigure] = {
    figure.key: figure
    for figure in (
        *(ComparableFigure(f"{sample}.{name}", "lower", "s") for sample in _SAMPLES for name in (*QUANTILES, _MEAN)),
        ComparableFigure("rates.goodput_per_s", "higher", "per_s"),
        ComparableFigure("attempts.amplification", "lower", ""),
        ComparableFigure("attempts.resent_ratio", "lower", "ratio"),
        ComparableFigure("stations.completed_ratio", "higher", "ratio"),
        ComparableFigure("stations.completed_by_deadline_ratio", "higher", "ratio"),
    )
}
"""By key."""

JUDGED_FIGURES = (
    "delivery_seconds.p50",
    "delivery_seconds.p95",
    "response_seconds.p95",
    "rates.goodput_per_s",
    "attempts.amplification",
    "stations.completed_by_deadline_ratio",
)
"""The figures that a comparison judges by default: few, because every further one makes all intervals wider."""

SHOWN_FIGURES = ("service_seconds.p50", "service_seconds.p95", "delivery_seconds.p99", "completion_seconds.p95")
"""The figures that are shown beside them without being judged."""


@dataclass(frozen=True, slots=True)
class MissingFigure:
    """Why a run does not have a figure."""

    reason: str


@dataclass(frozen=True)
class RatioStatistic:
    """The sum of one quantity ÷ the sum of another, such as attempts per page. Shapes (units,)."""

    above: FloatArray
    below: FloatArray

    @property
    def units(self) -> int:
        """See Statistic."""
        return len(self.above)

    def value(self) -> float:
        """The ratio over all units; NaN if the denominator is 0."""
        below = float(self.below.sum())
        return float(self.above.sum()) / below if below else math.nan

    def influence(self) -> FloatArray:
        """What each unit has in the numerator beyond its share of the denominator, relative to the whole."""
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
    """A count per second until the last attempt ended, or the deadline came: pages delivered ÷ duration.

    Two things are random: which pages got through, and when the last station was done. A replicate therefore ends with
    another one of the last stations, earlier or later by what that one took less or more than they did on average.
    """

    amount: FloatArray
    """Count of each station. Shape (units,)."""
    took_s: FloatArray
    """From each station's planned time to the end of its last attempt; NaN without attempts. Shape (units,)."""
    over_s: float

    @property
    def units(self) -> int:
        """See Statistic."""
        return len(self.amount)

    def value(self) -> float:
        """The rate itself."""
        return float(self.amount.sum()) / self.over_s

    def influence(self) -> FloatArray:
        """By how much each station exceeds the mean, relative to it."""
        mean = float(self.amount.mean())
        return self.amount / mean - 1 if mean else np.zeros(self.units)

    def resampled(self, block: IntArray, weights: FloatArray) -> FloatArray:
        """See Statistic. In each replicate the same station ends both runs of a pair."""
        blocks = weights.shape[1]
        share = (weights @ np.bincount(block, self.amount, minlength=blocks)) / (
            weights @ np.bincount(block, minlength=blocks)
        )
        last = self.took_s[-min(self.units, max(_LAST_STATIONS[0], self.units // _LAST_STATIONS[1])) :]
        known = np.where(np.isfinite(last), last, np.nan)
        offset_s = np.nan_to_num(known - np.nanmean(known)) if np.isfinite(known).any() else np.zeros(len(last))
        over_s = self.over_s + offset_s[np.arange(len(weights)) % len(offset_s)]
        rates: FloatArray = share * self.units / np.maximum(over_s, self.over_s / 10)
        return rates


@dataclass(frozen=True)
class QuantileStatistic:
    """A percentile by nearest rank of rows that belong to units. Shapes (rows,); values may be +infinity."""

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
        """How many more rows a unit has beyond the percentile than its share."""
        beyond = np.bincount(self.unit, self.values > self.value(), minlength=self.units)
        excess: FloatArray = beyond - (1 - self.quantile) * np.bincount(self.unit, minlength=self.units)
        return excess

    def resampled(self, block: IntArray, weights: FloatArray) -> FloatArray:
        """See Statistic. Counts rows per block and grid value: sorting the rows of every replicate would be far slower."""
        grid, blocks = self._grid(), weights.shape[1]
        width = len(grid) + 1  # the last column counts what never ended
        column = np.searchsorted(grid, self.values)
        counts = np.bincount(block[self.unit] * width + column, minlength=blocks * width).reshape(blocks, width)
        reached = weights @ np.cumsum(counts, axis=1, dtype=np.float64)
        total = reached[:, -1]
        rank = np.ceil(self.quantile * total - 1e-9)
        first = np.argmax(reached >= rank[:, None], axis=1)
        found: FloatArray = np.append(grid, np.inf)[first]
        return np.where(total > 0, found, np.nan)

    def _grid(self) -> FloatArray:
        """Finite values in ascending order, the greatest included; in a large sample denser near the percentile."""
        finite = self._rising[np.isfinite(self._rising)]
        if len(finite) > _GRID_POINTS:
            odds = math.log(self.quantile / (1 - self.quantile)) + np.linspace(-3.0, 3.0, _GRID_POINTS)
            ranks = np.ceil(len(self._rising) / (1 + np.exp(-odds))).astype(np.int64) - 1
            own_rank = math.ceil(self.quantile * len(self._rising)) - 1
            ranks = np.append(ranks, [own_rank, len(finite) - 1])
            finite = finite[ranks[(ranks >= 0) & (ranks < len(finite))]]
        return np.unique(finite)


def compute_statistics(rows: Rows, summary: Summary, keys: Sequence[str]) -> dict[str, Statistic | MissingFigure]:
    """The figures of a run as statistics, whose values are those of summary.json.

    Raises KeyError for a key that is not in `COMPARABLE_FIGURES`.
    """
    builder = _StatisticBuilder(rows, summary)
    return {key: builder.build(COMPARABLE_FIGURES[key].key) for key in keys}


def arrivals_digest(rows: Rows) -> str:
    """A digest of who arrived when: equal for two runs in which the same stations arrived at the same times."""
    digest = hashlib.sha256("\n".join(rows.stations.code).encode())
    digest.update(np.ascontiguousarray(rows.stations.due_s).tobytes())
    return digest.hexdigest()


class _StatisticBuilder:
    def __init__(self, rows: Rows, summary: Summary) -> None:
        self._rows = rows
        self._summary = summary
        self._samples = DurationSamples(rows)
        self._units = len(rows.stations.code)
        # Stations are stored by code; neighbours of a block must be neighbours in time.
        order = np.argsort(rows.stations.due_s, kind="stable")
        self._unit_of_station = np.empty(self._units, dtype=np.int64)
        self._unit_of_station[order] = np.arange(self._units)

    def build(self, key: str) -> Statistic | MissingFigure:
        part, figure = key.split(".")
        if part in _SAMPLES:
            return self._of_sample(part, figure)
        if key == "rates.goodput_per_s":
            return self._goodput()
        ratio = {
            "amplification": self._amplification,
            "resent_ratio": self._resent_ratio,
            "completed_ratio": self._completed_ratio,
            "completed_by_deadline_ratio": self._completed_by_deadline_ratio,
        }[figure]()
        return ratio if ratio.below.any() else MissingFigure("no data: there is nothing to count")

    def _of_sample(self, sample: str, figure: str) -> Statistic | MissingFigure:
        values, station = self._samples.by_station(sample)
        unit = self._unit_of_station[station]
        if not len(values):
            return MissingFigure("no data: there is nothing to count")
        if figure == _MEAN:
            rows = np.bincount(unit, minlength=self._units).astype(np.float64)
            return RatioStatistic(np.bincount(unit, values, minlength=self._units).astype(np.float64), rows)
        quantile = QUANTILES[figure]
        if len(values) < min_sample_size(quantile):
            return MissingFigure(f"n/a (needs {min_sample_size(quantile):,}; there are {len(values):,})")
        return QuantileStatistic(values, unit, self._units, quantile)

    def _goodput(self) -> Statistic | MissingFigure:
        rows, rates = self._rows, self._summary.rates
        if rates.goodput_per_s is None:
            return MissingFigure("there is no such figure for this run")
        fell_due = (rows.station_due_s >= rows.record.warm_up_s) & (rows.station_due_s < rows.stop_s)
        in_time = np.flatnonzero(fell_due & (rows.acknowledged_s <= rows.record.deadline_s))
        ends = np.full(self._units, -np.inf)
        done_s = np.nan_to_num(rows.attempts.done_s, nan=-np.inf)
        np.maximum.at(ends, rows.station_of_page[rows.attempts.page], done_s)
        took_s = np.empty(self._units)
        took_s[self._unit_of_station] = np.where(np.isfinite(ends), ends - rows.stations.due_s, np.nan)
        return RateStatistic(self._per_station(in_time), took_s, rates.over_s)

    def _amplification(self) -> RatioStatistic:
        attempts = self._rows.attempts
        made = ~attempts.ended_as({Outcome.WITHHELD})
        pages = np.flatnonzero(self._rows.attempted)
        return RatioStatistic(self._per_station(attempts.page[made]), self._per_station(pages))

    def _resent_ratio(self) -> RatioStatistic:
        attempts = self._rows.attempts
        resent, sent = (
            self._per_station(attempts.page, size.astype(np.float64))
            for size in (attempts.resent_bytes, attempts.sent_bytes)
        )
        return RatioStatistic(resent, sent)

    def _completed_ratio(self) -> RatioStatistic:
        return self._share_of_stations(np.isfinite(self._rows.completed_s))

    def _completed_by_deadline_ratio(self) -> RatioStatistic:
        return self._share_of_stations(self._rows.completed_s <= self._rows.record.deadline_s)

    def _share_of_stations(self, chosen: npt.NDArray[np.bool_]) -> RatioStatistic:
        above = np.zeros(self._units)
        above[self._unit_of_station] = chosen
        return RatioStatistic(above, np.ones(self._units))

    def _per_station(self, pages: npt.NDArray[np.integer], amount: FloatArray | None = None) -> FloatArray:
        unit = self._unit_of_station[self._rows.station_of_page[pages]]
        return np.bincount(unit, amount, minlength=self._units).astype(np.float64)
