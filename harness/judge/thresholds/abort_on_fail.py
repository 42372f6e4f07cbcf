"""Which thresholds a run in progress can no longer pass, from its live series (k6: abortOnFail).

A threshold has failed for good if it stays breached whatever is still to come. Three kinds can be known:
  * a window that is over and was breached;
  * what only rises, or only falls, and is past its limit: a count, a rate over a known length, max, min;
  * a ratio, a mean or a percentile that would be past its limit even if every page that is still to come were delivered by
    one more attempt that takes no time.
The rows judge in the end. Because all of these are bounds, what fails by the live series fails by the rows too.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.analysis.run_data import CounterSum, LiveSeries, SeriesSource, select_counter
from harness.analysis.scraped_metrics import ATTEMPTS, DELIVERED
from harness.analysis.selection import LabelMatcher, all_match
from harness.analysis.time_series import SeriesBuilder
from harness.base.errors import ConfigurationError
from harness.base.model import Outcome
from harness.judge.thresholds.condition import Condition, FaultSpan, parse_condition
from harness.judge.thresholds.evaluate import COMPARISONS, evaluate_windows
from harness.judge.thresholds.metrics import scraped_names
from harness.judge.thresholds.units import format_value
from harness.judge.thresholds.windows import (
    ROUNDING_TOLERANCE_S,
    NoWindowError,
    TimeWindow,
    aggregate_series,
    find_windows,
)
from harness.run_folder.layout import RunRecord
from harness.run_folder.scrape_log import Scrape

LIVE_KEY = re.compile(r"attempts\.(?:total|by_outcome\.(\w+))")
"""The keys of the summary that are known during a run."""
LIVE_HISTOGRAMS = {"response_seconds": "harness_response_seconds", "service_seconds": "harness_service_seconds"}
"""The rows that a live histogram counts, and its name."""
UPPER_OPERATORS = ("<", "<=")


@dataclass(frozen=True, slots=True)
class AbortThreshold:
    """A threshold that ends the run early, but not before `grace_s` after the warm-up."""

    assertion: str
    grace_s: float = 0.0


def check_abortable(assertions: Sequence[str], source: str) -> None:
    """Raise ConfigurationError for assertions that can't fail for good before the end, however badly a run goes."""
    problems = []
    for assertion in assertions:
        why = _why_not_abortable(parse_condition(assertion))
        if why:
            problems.append(
                f"the threshold {assertion} can't have abort = true: nothing known during a run can rule this out: {why}"
            )
    if problems:
        raise ConfigurationError(source, problems)


def is_abortable(condition: Condition) -> bool:
    """Whether a condition can fail for good before the end of a run."""
    return not _why_not_abortable(condition)


def _why_not_abortable(condition: Condition) -> str:
    if condition.source != "rows":
        return _why_key_not_abortable(condition) if condition.source == "key" else why_series_not_abortable(condition)
    if condition.fault_span is not None or condition.over_s is not None:
        return "windows of rows are judged at the end; use a series (docs/reference/metrics.md) instead"
    if any(matcher.label != "outcome" for matcher in condition.matchers):
        return "during a run, rows are distinguished only by their outcome"
    if condition.metric == "attempts":
        return _why_attempts_not_abortable(condition)
    if (
        condition.metric not in LIVE_HISTOGRAMS
        or condition.matchers
        or condition.aggregation not in {"p", "avg", "max"}
    ):
        return "its rows are known only at the end"
    return "" if condition.operator in UPPER_OPERATORS else "slower answers may follow"


def _why_attempts_not_abortable(condition: Condition) -> str:
    if condition.aggregation != "ratio":
        return "" if _is_upper_limit(condition) else "more attempts may follow"
    repairable = condition.operator not in ((">", ">=") if selects_accepted(condition) else UPPER_OPERATORS)
    return "attempts that follow may repair it" if repairable else ""


def _why_key_not_abortable(condition: Condition) -> str:
    if LIVE_KEY.fullmatch(condition.metric) is None:
        return "of the summary's keys only attempts.total and attempts.by_outcome.… are known during a run"
    return "" if _is_upper_limit(condition) else "more attempts may follow"


def why_series_not_abortable(condition: Condition) -> str:
    """Why a condition on series can't fail for good during a run; empty if it can."""
    if condition.fault_span is not None or condition.over_s is not None:
        return ""
    rises = condition.aggregation in {"max", "rate"} or (
        condition.source != "gauge" and condition.aggregation in {"count", "last"}
    )
    if rises and _is_upper_limit(condition):
        return ""
    if condition.aggregation == "min" and condition.operator in {">", ">=", "=="}:
        return ""
    return "it may still recover; a window (over, during) that is over can't"


def _is_upper_limit(condition: Condition) -> bool:
    exact = condition.operator == "==" and condition.aggregation in {"max", "count", "last", ""}
    return condition.operator in UPPER_OPERATORS or exact


def selects_accepted(condition: Condition) -> bool:
    """Whether the condition selects the attempt of a delivered page."""
    return all(matcher.matches(str(Outcome.ACCEPTED)) for matcher in condition.matchers)


class FailureFinder:
    """Finds out whether a threshold has failed for good, from the scrapes so far. Only for thresholds that pass `is_abortable`."""

    def __init__(self, record: RunRecord, pages: int) -> None:
        """`record` is run.json at the start, `pages` the number planned."""
        self._record = record
        self._pages = pages

    def why_failed(self, condition: Condition, source: SeriesSource, observed_s: float) -> str:
        """What was observed that can't be made good any more; "" while the threshold can pass.

        Up to `observed_s` everything is known of every target.
        """
        if condition.source in {"key", "rows"}:
            return self._by_rows(condition, source, observed_s)
        try:
            until_s = min(observed_s, self._record.deadline_s)
            windows = find_windows(condition, self._record, until_s, is_finished=False)
        except NoWindowError:
            return ""
        over = [one for one in windows if self._is_over(condition, one, observed_s)]
        values = [one for one in aggregate_series(condition, source, over) if one.observed is not None]
        if values and not (result := evaluate_windows(condition, values)).passed:
            return f"{format_value(result.observed or 0.0, result.unit)}, {result.reason}"
        return "" if over else self._by_monotony(condition, source, windows[0], observed_s)

    def _is_over(self, condition: Condition, window: TimeWindow, observed_s: float) -> bool:
        """Whether nothing can change what was observed in a window."""
        span = condition.fault_span
        if span is not None and span.kind == "within":
            recovered_s = self._end_of(span) + span.within_s
            return window.to_s <= observed_s and window.from_s >= recovered_s - ROUNDING_TOLERANCE_S
        if condition.over_s is not None:
            return window.to_s <= observed_s
        return span is not None and span.kind == "during" and window.to_s >= self._end_of(span)

    def _end_of(self, span: FaultSpan) -> float:
        ends = [fault.end_s for fault in self._record.faults if fault.name == span.fault]
        return ends[0] if ends and ends[0] is not None else math.inf

    def _by_monotony(self, condition: Condition, source: SeriesSource, so_far: TimeWindow, observed_s: float) -> str:
        """What only rises (or, for min, falls) and is past its limit already."""
        within = condition.fault_span is not None and condition.fault_span.kind == "within"
        if within or condition.over_s is not None or why_series_not_abortable(replace(condition, fault_span=None)):
            return ""
        window = replace(so_far, is_open=False)
        (value,) = aggregate_series(condition, source, [window])
        if value.observed is None:
            return ""
        observed = value.observed
        if condition.aggregation == "rate":  # the count so far over the longest time that the window can get
            observed *= window.seconds / self._max_length_s(condition, so_far)
        return _describe_past(condition, observed, observed_s)

    def _max_length_s(self, condition: Condition, so_far: TimeWindow) -> float:
        until_s = self._record.deadline_s
        if condition.fault_span is not None and condition.fault_span.kind == "during":
            until_s = min(until_s, self._end_of(condition.fault_span))
        return max(until_s - so_far.from_s, so_far.seconds)

    def _by_rows(self, condition: Condition, source: SeriesSource, observed_s: float) -> str:
        """Rows of the whole run, by the generator's own counters."""
        warm_up_s = self._record.warm_up_s
        # Rows of the warm-up do not count, but an attempt that began in it may be counted up to one timeout later.
        from_s = warm_up_s + self._record.client_timeout_s if warm_up_s and condition.source == "rows" else -1.0
        counts = _Counts(source, from_s, observed_s)
        to_come = max(0.0, self._pages - counts.of(DELIVERED, ()))
        if condition.source == "key":
            match = LIVE_KEY.fullmatch(condition.metric)
            outcome = match[1] if match else None
            matchers = (LabelMatcher("outcome", "=", outcome),) if outcome else ()
            return _describe_past(condition, counts.of(ATTEMPTS, matchers), observed_s)
        if condition.metric == "attempts":
            best = "at best " if condition.aggregation == "ratio" else ""
            return _describe_past(condition, self._best_attempts(condition, counts, to_come), observed_s, best)
        return self._by_durations(condition, counts, to_come, observed_s)

    def _best_attempts(self, condition: Condition, counts: _Counts, to_come: float) -> float:
        chosen = counts.of(ATTEMPTS, condition.matchers)
        if condition.aggregation == "count":
            return chosen
        if condition.aggregation == "rate":
            return chosen / max(self._record.deadline_s - self._record.warm_up_s, 1e-9)
        among = counts.of(ATTEMPTS, ()) + to_come
        best = chosen + (to_come if selects_accepted(condition) else 0.0)
        return best / among if among else condition.limit

    def _by_durations(self, condition: Condition, counts: _Counts, to_come: float, observed_s: float) -> str:
        name = LIVE_HISTOGRAMS[condition.metric]
        number = counts.of(f"{name}_count", ())
        among = number + to_come
        if not number or not among:
            return ""
        if condition.aggregation == "avg":
            return _describe_past(condition, counts.of(f"{name}_sum", ()) / among, observed_s, "at best ")
        at_most = LabelMatcher("le", "=", repr(condition.limit))
        if not counts.has(f"{name}_bucket", at_most):
            return ""  # without a bucket that ends at the limit the rows must decide
        above = number - counts.of(f"{name}_bucket", (at_most,))
        beyond = 1 - (condition.quantile or 1.0)
        if above <= math.floor(beyond * among + ROUNDING_TOLERANCE_S):
            return ""
        limit = format_value(condition.limit, condition.unit)
        return f"{above:,.0f} of {number:,.0f} are above {limit} already at {format_value(observed_s, 's')}"


class AbortMonitor:
    """Takes scrapes as they arrive, and reports which of the thresholds has failed for good.

    Scrapes are added by the scraper's thread and evaluated by the run's, so both take a lock.
    """

    def __init__(self, thresholds: Sequence[AbortThreshold], record: RunRecord, pages: int) -> None:
        """`record` is run.json at the start, `pages` the number planned. The thresholds passed `check_abortable`."""
        self._finder = FailureFinder(record, pages)
        self._conditions = [(parse_condition(one.assertion), record.warm_up_s + one.grace_s) for one in thresholds]
        self._builders: dict[str, SeriesBuilder] = {}
        self._last_s: dict[str, float] = {}
        needed = [name for condition, _ in self._conditions for name in watched_series(condition)]
        self._names = list(dict.fromkeys([*needed, DELIVERED]))
        self._lock = threading.Lock()
        self._has_new = False

    def add(self, scrape: Scrape) -> None:
        """Take a scrape, whether it was answered or failed."""
        with self._lock:
            builder = self._builders.setdefault(scrape.target, SeriesBuilder(scrape.target, self._names))
            builder.add(scrape.t_s, scrape.text)
            self._last_s[scrape.target] = scrape.t_s
            self._has_new = True

    def find_failed(self) -> str:
        """The first threshold that has failed for good, with what was observed, as a sentence; empty while none has."""
        with self._lock:
            # Up to the oldest of the latest scrapes everything is known of every target.
            observed_s = min(self._last_s.values(), default=0.0)
            due = [condition for condition, from_s in self._conditions if observed_s >= from_s]
            if not (self._has_new and due):
                return ""
            self._has_new = False
            source = LiveSeries({target: builder.build() for target, builder in self._builders.items()})
        for condition in due:
            why = self._finder.why_failed(condition, source, observed_s)
            if why:
                return f"{condition.text} can't be passed any more: {why}"
        return ""


@dataclass(frozen=True, slots=True)
class _Counts:
    """What the generator's workers have counted between two times."""

    source: SeriesSource
    from_s: float
    to_s: float

    def of(self, name: str, matchers: Sequence[LabelMatcher]) -> float:
        """The sum of the counters that the matchers select."""
        found: CounterSum | None = select_counter(self.source, name, matchers)
        return 0.0 if found is None else max(0.0, found.between(self.from_s, self.to_s))

    def has(self, name: str, matcher: LabelMatcher) -> bool:
        """Whether there is a series that the matcher selects."""
        every = (labels for series in self.source.targets(name) for labels in series.columns.get(name, ()))
        return any(all_match([matcher], labels) for labels in every)


def _describe_past(condition: Condition, observed: float, observed_s: float, best: str = "") -> str:
    """What was observed, if it is past the limit for good; else empty."""
    if condition.operator == "==":
        falls = condition.aggregation == "min"
        is_past = observed < condition.limit if falls else observed > condition.limit
    else:
        is_past = not COMPARISONS[condition.operator](observed, condition.limit)
    at = format_value(observed_s, "s")
    return f"{best}{format_value(observed, condition.unit)} already at {at}" if is_past else ""


def watched_series(condition: Condition) -> list[str]:
    """The series that a condition is evaluated by during a run."""
    if condition.source == "key" or condition.metric == "attempts":
        return [ATTEMPTS]
    if condition.source == "rows":
        name = LIVE_HISTOGRAMS[condition.metric]
        return [f"{name}_bucket", f"{name}_sum", f"{name}_count"]
    return scraped_names(condition.metric)
