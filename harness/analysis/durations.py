"""The five durations of a run as samples, and the distribution of a sample.

Which rows belong to a sample decides what its figures mean. That is defined here once, for the summary and for thresholds
alike. Rows that were due in the warm-up belong to none.
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
"""Samples sorted in parallel: numpy releases the GIL while it sorts."""
DURATION_METRICS = ("response_seconds", "service_seconds", "delivery_seconds", "completion_seconds", "lateness_seconds")
"""Names of the samples."""


@dataclass(frozen=True)
class DurationSamples:
    """The samples of a run: seconds in ascending order, +infinity for what was never acknowledged."""

    rows: Rows

    def sample(self, metric: str) -> FloatArray:
        """A sample by its name. Raises KeyError for a name that is not in `DURATION_METRICS`."""
        if metric not in DURATION_METRICS:
            raise KeyError(metric)
        sample: FloatArray = getattr(self, metric.removesuffix("_seconds"))
        return sample

    @cached_property
    def after_warm_up(self) -> BoolArray:
        """Attempts that were due after the warm-up. Shape (attempts,)."""
        return self.rows.attempts.due_s >= self.rows.record.warm_up_s

    @cached_property
    def finished(self) -> BoolArray:
        """Attempts after the warm-up that were answered or timed out: only these have a response time."""
        return (
            self.after_warm_up
            & self.rows.attempts.ended_as(ANSWERED | TIMED_OUT)
            & np.isfinite(self.rows.attempts.done_s)
        )

    @cached_property
    def response(self) -> FloatArray:
        """Answered or timed-out attempts, from due to done: what someone waits who came on schedule (wrk2's rule)."""
        return self.responses_of(self.finished)

    @cached_property
    def service(self) -> FloatArray:
        """Answered or timed-out attempts, from just before connecting to done."""
        return self.services_of(self.finished)

    @cached_property
    def lateness(self) -> FloatArray:
        """All attempts that were sent, from due to just before connecting: the generator's own delay."""
        attempts = self.rows.attempts
        return _sorted_finite(attempts.sent_s[self.after_warm_up] - attempts.due_s[self.after_warm_up])

    @cached_property
    def delivery(self) -> FloatArray:
        """Pages whose station arrived, from first due to acknowledged; +infinity if that never happened.

        So it is of a page that was never attempted because the one before it did not get through: a server cannot improve
        the figure by starving pages.
        """
        return np.sort(self.waits("delivery_seconds")[1])

    @cached_property
    def completion(self) -> FloatArray:
        """Stations that arrived, from planned to the last acknowledgement; +infinity if a page is missing."""
        return np.sort(self.waits("completion_seconds")[1])

    def by_station(self, metric: str) -> tuple[FloatArray, IntArray]:
        """A sample in the order of its rows, and the station of each value. Shapes (n,).

        Raises KeyError for lateness, which is not compared between runs.
        """
        rows = self.rows
        if metric in {"delivery_seconds", "completion_seconds"}:
            _, took_s, number = self.waits(metric)
            return took_s, number if metric == "completion_seconds" else rows.station_of_page[number]
        attempts = rows.attempts
        since_s = {"response_seconds": attempts.due_s, "service_seconds": attempts.sent_s}[metric]
        chosen = np.flatnonzero(self.finished & np.isfinite(attempts.done_s - since_s))
        return (attempts.done_s - since_s)[chosen], rows.station_of_page[attempts.page[chosen]]

    def waits(self, metric: str) -> tuple[FloatArray, FloatArray, IntArray]:
        """Delivery or completion, row by row: when it was due, seconds waited, and the number of its page or station."""
        rows = self.rows
        warm_up_s = rows.record.warm_up_s
        if metric == "completion_seconds":
            due_s = rows.stations.due_s
            number = np.flatnonzero((due_s >= warm_up_s) & (due_s < rows.stop_s))
            return due_s[number], rows.completed_s[number] - due_s[number], number
        fell_due = np.isfinite(rows.first_due_s)
        station_due = rows.station_due_s < rows.stop_s
        # A page without a due time waits behind another page of its station: it counts from the station's arrival on.
        number = np.flatnonzero(np.where(fell_due, rows.first_due_s >= warm_up_s, station_due))
        due_s = np.where(fell_due, rows.first_due_s, rows.station_due_s)[number]
        return due_s, np.where(fell_due[number], rows.acknowledged_s[number] - due_s, np.inf), number

    def responses_of(self, attempts: BoolArray) -> FloatArray:
        """Response times of the chosen attempts that have an end, ascending."""
        return _sorted_finite(self.rows.attempts.done_s[attempts] - self.rows.attempts.due_s[attempts])

    def services_of(self, attempts: BoolArray) -> FloatArray:
        """Service times of the chosen attempts that have an end, ascending."""
        return _sorted_finite(self.rows.attempts.done_s[attempts] - self.rows.attempts.sent_s[attempts])

    def distribution_by_outcome(self, metric: str) -> DistributionByOutcome:
        """The distribution of response or service time, of the whole and of each outcome whose attempts have an end."""
        durations_of = {"response_seconds": self.responses_of, "service_seconds": self.services_of}[metric]
        occurred = np.flatnonzero(np.bincount(self.rows.attempts.outcome, self.after_warm_up, minlength=len(OUTCOMES)))

        def of_outcome(number: int) -> Distribution:
            return compute_distribution(durations_of(self.after_warm_up & (self.rows.attempts.outcome == number)))

        with ThreadPoolExecutor(SORT_THREADS) as pool:
            whole = pool.submit(lambda: compute_distribution(self.sample(metric)))
            found = dict(zip(occurred.tolist(), pool.map(of_outcome, occurred.tolist()), strict=True))
        by_outcome = {str(OUTCOMES[number]): one for number, one in found.items() if one.count}
        return DistributionByOutcome(**dict(whole.result()), by_outcome=by_outcome)


def compute_distribution(rising: FloatArray) -> Distribution:
    """The distribution of a sample in ascending order.

    A percentile is None if the sample is too small for it, or if it is infinite; mean and maximum are None as soon as one
    value is.
    """
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
    known.sort()  # in place: the sample of a long run is large
    return known


def _finite(value: float | None) -> float | None:
    return None if value is None or np.isinf(value) else value
