"""The five durations of a run as samples, and samples as figures.

Who is in which sample decides what a figure means; it is said here once, for the summary and for thresholds alike.
Rows that fell due in the warm-up are in none.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.percentile import QUANTILES, percentile, percentile_interval
from harness.analysis.rows import Rows
from harness.analysis.summary import Distribution, DistributionByOutcome
from harness.base.model import ANSWERED, OUTCOMES, TIMED_OUT

if TYPE_CHECKING:
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

SORT_THREADS = 2
"""Samples sorted side by side: numpy lets go of the interpreter while it sorts."""
DURATION_METRICS = ("response_seconds", "service_seconds", "delivery_seconds", "completion_seconds", "lateness_seconds")
"""Names of the samples."""


@dataclass(frozen=True)
class DurationSamples:
    """The samples of a run: seconds, sorted upwards, +infinity for what never arrived."""

    rows: Rows

    def of(self, metric: str) -> FloatArray:
        """A sample by its name. Raises KeyError for a name that is not in `DURATION_METRICS`."""
        if metric not in DURATION_METRICS:
            raise KeyError(metric)
        sample: FloatArray = getattr(self, metric.removesuffix("_seconds"))
        return sample

    @cached_property
    def counted(self) -> BoolArray:
        """Attempts that fell due after the warm-up. Shape (attempts,)."""
        return self.rows.attempts.due_s >= self.rows.record.warm_up_s

    @cached_property
    def finished(self) -> BoolArray:
        """Counted attempts that were answered or timed out: those whose response is one."""
        return self.counted & self.rows.attempts.ended_as(ANSWERED | TIMED_OUT) & np.isfinite(self.rows.attempts.done_s)

    @cached_property
    def response(self) -> FloatArray:
        """Answered or timed-out attempts: from due to done."""
        return self.responses_of(self.finished)

    @cached_property
    def service(self) -> FloatArray:
        """Answered or timed-out attempts: from just before connecting to done."""
        return self.services_of(self.finished)

    @cached_property
    def lateness(self) -> FloatArray:
        """All attempts that were sent: from due to just before connecting."""
        attempts = self.rows.attempts
        return _sorted_finite(attempts.sent_s[self.counted] - attempts.due_s[self.counted])

    @cached_property
    def delivery(self) -> FloatArray:
        """Pages whose station's time came: from first due to acknowledged, +infinity if that never happened.

        A page that was never attempted, because the one before it did not get through, is one that never arrived: a
        server can't improve the figure by starving pages.
        """
        return np.sort(self.waits("delivery_seconds")[1])

    @cached_property
    def completion(self) -> FloatArray:
        """Stations whose time came: from planned to the last acknowledgement, +infinity if a page is missing."""
        return np.sort(self.waits("completion_seconds")[1])

    def by_station(self, metric: str) -> tuple[FloatArray, IntArray]:
        """A sample in the order of its rows, and each value's station. Shapes (n,). Lateness has no stations: KeyError."""
        rows = self.rows
        if metric in {"delivery_seconds", "completion_seconds"}:
            _, took_s, which = self.waits(metric)
            return took_s, which if metric == "completion_seconds" else rows.station_of_page[which]
        attempts = rows.attempts
        since_s = {"response_seconds": attempts.due_s, "service_seconds": attempts.sent_s}[metric]
        chosen = np.flatnonzero(self.finished & np.isfinite(attempts.done_s - since_s))
        return (attempts.done_s - since_s)[chosen], rows.station_of_page[attempts.page[chosen]]

    def waits(self, metric: str) -> tuple[FloatArray, FloatArray, IntArray]:
        """Delivery or completion row by row: when it was due, seconds waited, and number of its page or station."""
        rows = self.rows
        warm_up_s = rows.record.warm_up_s
        if metric == "completion_seconds":
            due_s = rows.stations.due_s
            which = np.flatnonzero((due_s >= warm_up_s) & (due_s < rows.stop_s))
            return due_s[which], rows.completed_s[which] - due_s[which], which
        fell_due = np.isfinite(rows.first_due_s)
        station_due = rows.station_due_s < rows.stop_s
        which = np.flatnonzero(np.where(fell_due, rows.first_due_s >= warm_up_s, station_due))
        due_s = np.where(fell_due, rows.first_due_s, rows.station_due_s)[which]
        return due_s, np.where(fell_due[which], rows.acknowledged_s[which] - due_s, np.inf), which

    def responses_of(self, attempts: BoolArray) -> FloatArray:
        """Responses of the chosen attempts, as far as they have an end."""
        return _sorted_finite(self.rows.attempts.done_s[attempts] - self.rows.attempts.due_s[attempts])

    def services_of(self, attempts: BoolArray) -> FloatArray:
        """Service times of the chosen attempts, as far as they have an end."""
        return _sorted_finite(self.rows.attempts.done_s[attempts] - self.rows.attempts.sent_s[attempts])

    def split(self, metric: str) -> DistributionByOutcome:
        """Response or service in figures, with every outcome whose attempts have an end beside the whole."""
        of = {"response_seconds": self.responses_of, "service_seconds": self.services_of}[metric]
        occurred = np.flatnonzero(np.bincount(self.rows.attempts.outcome, self.counted, minlength=len(OUTCOMES)))

        def ended_so(number: int) -> Distribution:
            return compute_distribution(of(self.counted & (self.rows.attempts.outcome == number)))

        with ThreadPoolExecutor(SORT_THREADS) as pool:
            whole = pool.submit(lambda: compute_distribution(self.of(metric)))
            found = dict(zip(occurred.tolist(), pool.map(ended_so, occurred.tolist()), strict=True))
        by_outcome = {str(OUTCOMES[number]): one for number, one in found.items() if one.count}
        return DistributionByOutcome(**dict(whole.result()), by_outcome=by_outcome)


def compute_distribution(rising: FloatArray) -> Distribution:
    """A sample, sorted upwards, in figures: None where it can't bear a percentile or the figure is +infinity."""
    never = len(rising) - int(np.searchsorted(rising, np.inf))
    arrived = len(rising) > 0 and never == 0
    figures = {name: _finite(percentile(rising, quantile)) for name, quantile in QUANTILES.items()}
    intervals = {
        name: percentile_interval(rising, quantile) for name, quantile in QUANTILES.items() if figures[name] is not None
    }
    return Distribution(
        count=len(rising),
        mean=float(rising.mean()) if arrived else None,
        max=float(rising[-1]) if arrived else None,
        never=never,
        intervals={name: bounds for name, bounds in intervals.items() if bounds is not None},
        **figures,
    )


def _sorted_finite(values: FloatArray) -> FloatArray:
    known: FloatArray = values[np.isfinite(values)]
    known.sort()  # in its place: a long run's sample is large
    return known


def _finite(value: float | None) -> float | None:
    return None if value is None or np.isinf(value) else value
