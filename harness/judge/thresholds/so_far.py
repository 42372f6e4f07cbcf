"""How thresholds stand while a run goes on: a view for people, from the scrapes and rows so far. The rows judge in the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.analysis.run_data import LiveSeries, SeriesSource
from harness.analysis.time_series import SeriesBuilder
from harness.judge.thresholds.abort_on_fail import FailureFinder, is_abortable, watched_series
from harness.judge.thresholds.condition import Condition, parse_condition
from harness.judge.thresholds.evaluate import COMPARISONS, evaluate_windows
from harness.judge.thresholds.metrics import scraped_names
from harness.judge.thresholds.units import Unit
from harness.judge.thresholds.windows import ROUNDING_TOLERANCE_S, NoWindowError, aggregate_series, find_windows
from harness.run_folder.layout import RunRecord
from harness.run_folder.scrape_log import Scrape

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

ThresholdState = Literal["holding", "breached", "failed", "pending", "at_end"]
"""holding, breached: what it would be if the run ended now. failed: it can't pass any more, whatever follows.

pending: not reached yet, and still within reach, or nothing was counted yet. at_end: it is judged by rows that are known only
at the end.
"""
_LOWER = (">", ">=")


@dataclass(frozen=True, slots=True)
class DurationsSoFar:
    """Durations of pages or stations: of those that arrived, and for how long the others have waited."""

    arrived: FloatArray
    waiting: FloatArray
    """Of each that is due and has not arrived, how long it has waited: it will have taken at least that long."""
    planned: int
    never: int
    """How many will not arrive any more, because they were given up."""


@dataclass(frozen=True, slots=True)
class KeySoFar:
    """A figure of the summary during the run."""

    value: float
    most: float | None = None
    """The greatest value that it can still get; None if that is not bounded."""
    least: float | None = None
    """The least value that it can still get; None: its present value, because it only rises."""


@dataclass(frozen=True, slots=True)
class RowsSoFar:
    """What is known of the rows during a run."""

    durations: Mapping[str, DurationsSoFar] = field(default_factory=dict)
    """`delivery_seconds` and `completion_seconds`."""
    keys: Mapping[str, KeySoFar] = field(default_factory=dict)
    """Figures of the summary by their keys."""
    outcomes: Mapping[str, int] = field(default_factory=dict)
    """Attempts that have ended, by outcome."""


@dataclass(frozen=True, slots=True)
class ThresholdSoFar:
    """How one threshold stands."""

    assertion: str
    state: ThresholdState
    limit: float
    unit: Unit
    observed: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class ScrapedSoFar:
    """The series that thresholds need, as far as they were scraped."""

    series: LiveSeries
    observed_s: float
    """Up to this time everything is known of every target: the oldest of their latest scrapes."""


class ThresholdsSoFar:
    """Takes scrapes as they arrive, and finds out how each threshold stands. Not safe for several threads, but for `evaluate`."""

    def __init__(self, assertions: Sequence[str], record: RunRecord, pages: int) -> None:
        """`record` is run.json at the start, `pages` the number planned. The assertions passed `check_assertions`."""
        self._record = record
        self._conditions = [parse_condition(assertion) for assertion in dict.fromkeys(assertions)]
        self._finder = FailureFinder(record, pages)
        needed: list[str] = []
        for one in self._conditions:
            if one.source not in {"key", "rows"}:
                needed += scraped_names(one.metric)
            if is_abortable(one):
                needed += watched_series(one)
        self._names = list(dict.fromkeys([*needed, "harness_pages_delivered_total"])) if needed else []
        self._builders: dict[str, SeriesBuilder] = {}
        self._last_s: dict[str, float] = {}

    def add(self, scrape: Scrape) -> None:
        """Take a scrape, whether it was answered or failed."""
        if self._names:
            builder = self._builders.setdefault(scrape.target, SeriesBuilder(scrape.target, self._names))
            builder.add(scrape.t_s, scrape.text)
            self._last_s[scrape.target] = scrape.t_s

    def scraped(self) -> ScrapedSoFar:
        """The scrapes so far; what comes later does not change them."""
        series = LiveSeries({target: builder.build() for target, builder in self._builders.items()})
        return ScrapedSoFar(series, min(self._last_s.values(), default=0.0))

    def evaluate(self, scraped: ScrapedSoFar, rows: RowsSoFar) -> list[ThresholdSoFar]:
        """Every distinct threshold, in their order."""
        return [self._evaluate(condition, scraped.series, rows, scraped.observed_s) for condition in self._conditions]

    def _evaluate(
        self, condition: Condition, source: SeriesSource, rows: RowsSoFar, observed_s: float
    ) -> ThresholdSoFar:
        found = self._stand(condition, source, rows, observed_s)
        if observed_s > 0 and found.state != "failed" and is_abortable(condition):
            why = self._finder.why_failed(condition, source, observed_s)
            return _so_far(condition, "failed", found.observed, why) if why else found
        return found

    def _stand(self, condition: Condition, source: SeriesSource, rows: RowsSoFar, observed_s: float) -> ThresholdSoFar:
        """How it stands by itself; that it has failed for good may be known besides."""
        if condition.source not in {"key", "rows"}:
            return self._by_series(condition, source, observed_s)
        if condition.source == "key":
            first, _, name = condition.metric.partition(".")
            quantile = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}.get(name)
            if first in rows.durations and quantile is not None:
                return _by_durations(condition, quantile, rows.durations[first])
            return _by_key(condition, rows.keys.get(condition.metric))
        if condition.matchers or condition.fault_span is not None or condition.over_s is not None:
            return _so_far(condition, "at_end")
        if condition.metric in rows.durations and condition.aggregation in {"p", "max"}:
            return _by_durations(condition, condition.quantile or 1.0, rows.durations[condition.metric])
        return _so_far(condition, "at_end")

    def _by_series(self, condition: Condition, source: SeriesSource, observed_s: float) -> ThresholdSoFar:
        try:
            windows = find_windows(condition, self._record, min(observed_s, self._record.deadline_s), is_finished=False)
        except NoWindowError:
            return _so_far(condition, "pending")
        values = [one for one in aggregate_series(condition, source, windows) if one.observed is not None]
        if not values:
            return _so_far(condition, "pending")
        result = evaluate_windows(condition, values)
        return _so_far(condition, "holding" if result.passed else "breached", result.observed, result.reason)


def _by_key(condition: Condition, known: KeySoFar | None) -> ThresholdSoFar:
    if known is None:
        return _so_far(condition, "at_end")
    passes = COMPARISONS[condition.operator]
    if condition.operator in _LOWER and known.most is not None:
        if not passes(known.most, condition.limit):
            return _so_far(condition, "failed", known.value, "too much was given up")
        return _so_far(condition, "holding" if passes(known.value, condition.limit) else "pending", known.value)
    least = known.value if known.least is None else known.least
    if condition.operator in {"<", "<="} and not passes(least, condition.limit):
        return _so_far(condition, "failed", known.value)
    return _so_far(condition, "holding" if passes(known.value, condition.limit) else "breached", known.value)


def _by_durations(condition: Condition, quantile: float, found: DurationsSoFar) -> ThresholdSoFar:
    """An upper limit on a percentile of pages or stations, those that never arrive counting as infinite."""
    if condition.operator not in {"<", "<="}:
        return _so_far(condition, "at_end")
    passes = COMPARISONS[condition.operator]
    so_far = np.sort(np.concatenate([found.arrived, found.waiting, np.full(found.never, np.inf)]))
    if not len(so_far):
        return _so_far(condition, "pending")
    within = so_far < condition.limit if condition.operator == "<" else so_far <= condition.limit
    beyond = len(so_far) - int(within.sum())
    allowed = math.floor((1 - quantile) * found.planned + ROUNDING_TOLERANCE_S)
    observed = float(so_far[max(0, math.ceil(quantile * len(so_far) - ROUNDING_TOLERANCE_S) - 1)])
    shown = observed if math.isfinite(observed) else None
    if beyond > allowed:
        why = f"{beyond:,} of {found.planned:,} are past the limit, {allowed:,} may be"
        return _so_far(condition, "failed", shown, why)
    return _so_far(condition, "holding" if passes(observed, condition.limit) else "breached", shown)


def _so_far(
    condition: Condition, state: ThresholdState, observed: float | None = None, why: str = ""
) -> ThresholdSoFar:  # fmt: skip
    return ThresholdSoFar(condition.text, state, condition.limit, condition.unit, observed, why)
