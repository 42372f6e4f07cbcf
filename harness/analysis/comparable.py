"""Which figures of two runs can be compared, which way is better, and how each is made of what its stations did."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.analysis.bootstrap import QuantileStatistic, RateStatistic, RatioStatistic, Statistic
from harness.analysis.durations import DurationSamples
from harness.analysis.percentile import QUANTILES, min_sample_size
from harness.analysis.rows import Rows
from harness.analysis.summary import Summary
from harness.base.model import Outcome

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

_SAMPLES = ("response_seconds", "service_seconds", "delivery_seconds", "completion_seconds")
_MEAN = "mean"


@dataclass(frozen=True, slots=True)
class ComparableFigure:
    """A figure that two runs can be compared by. `key` is its place in summary.json."""

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
"""What a comparison judges unless told otherwise: few, because each more makes every interval wider."""

SHOWN_FIGURES = ("service_seconds.p50", "service_seconds.p95", "delivery_seconds.p99", "completion_seconds.p95")
"""What it shows beside them, without judging."""


@dataclass(frozen=True, slots=True)
class MissingFigure:
    """Why a run has no such figure, in words."""

    reason: str


def compute_statistics(rows: Rows, summary: Summary, keys: Sequence[str]) -> dict[str, Statistic | MissingFigure]:
    """The figures of a run in a form that can be resampled; their values are those of summary.json.

    Raises KeyError for a key that is not in `COMPARABLE_FIGURES`.
    """
    taken = _StatisticBuilder(rows, summary)
    return {key: taken.statistic(COMPARABLE_FIGURES[key].key) for key in keys}


def arrivals_digest(rows: Rows) -> str:
    """The same for two runs in which the same stations turned up at the same moments."""
    digest = hashlib.sha256("\n".join(rows.stations.code).encode())
    digest.update(np.ascontiguousarray(rows.stations.due_s).tobytes())
    return digest.hexdigest()


class _StatisticBuilder:
    def __init__(self, rows: Rows, summary: Summary) -> None:
        self._rows = rows
        self._summary = summary
        self._samples = DurationSamples(rows)
        self._units = len(rows.stations.code)
        order = np.argsort(rows.stations.due_s, kind="stable")
        self._place = np.empty(self._units, dtype=np.int64)
        self._place[order] = np.arange(self._units)

    def statistic(self, key: str) -> Statistic | MissingFigure:
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
        return ratio if ratio.below.any() else MissingFigure("there is nothing to count")

    def _of_sample(self, sample: str, figure: str) -> Statistic | MissingFigure:
        values, station = self._samples.by_station(sample)
        unit = self._place[station]
        if not len(values):
            return MissingFigure("there is nothing to count")
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
        took_s[self._place] = np.where(np.isfinite(ends), ends - rows.stations.due_s, np.nan)
        return RateStatistic(self._per_station(in_time), took_s, rates.over_s)

    def _amplification(self) -> RatioStatistic:
        attempts = self._rows.attempts
        made = ~attempts.ended_as({Outcome.WITHHELD})
        return RatioStatistic(
            self._per_station(attempts.page[made]), self._per_station(np.flatnonzero(self._rows.attempted))
        )

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
        above[self._place] = chosen
        return RatioStatistic(above, np.ones(self._units))

    def _per_station(self, pages: npt.NDArray[np.integer], amount: FloatArray | None = None) -> FloatArray:
        unit = self._place[self._rows.station_of_page[pages]]
        return np.bincount(unit, amount, minlength=self._units).astype(np.float64)
