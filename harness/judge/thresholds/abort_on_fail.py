"""Which thresholds a run that is under way can't pass any more, from its live series.

Hopeless means: whatever is still to come, it stays breached. Three things are:
  * a window that is over and was breached;
  * what only rises, or only falls, and is past its limit: a count, a rate over a length that is known, max, min;
  * a share, a mean or a percentile that would be past its limit even if every page that is still to come were delivered
    by one more attempt that takes no time.
The rows judge in the end. A breach that is hopeless by the live series is one by the rows, for all are bounds.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.analysis.label_matchers import LabelMatcher, all_match
from harness.analysis.run_data import CounterSum, LiveSeries, SeriesSource, select_counter
from harness.analysis.time_series import SeriesBuilder
from harness.judge.thresholds.abortable import (
    LIVE_HISTOGRAMS,
    LIVE_KEY,
    AbortThreshold,
    selects_accepted,
    why_series_not_abortable,
)
from harness.judge.thresholds.aggregate import aggregate_series
from harness.judge.thresholds.condition import Condition, FaultSpan, parse_condition
from harness.judge.thresholds.evaluate import COMPARISONS, evaluate_windows
from harness.judge.thresholds.metrics import scraped_names
from harness.judge.thresholds.units import format_value
from harness.judge.thresholds.windows import ROUNDING_TOLERANCE_S, NoWindowError, TimeWindow, find_windows
from harness.run_folder.layout import RunRecord
from harness.run_folder.scrape_log import Scrape

ATTEMPTS, DELIVERED = "harness_attempts_total", "harness_pages_delivered_total"


class AbortMonitor:
    """Takes scrapes as they come, and says which of the watched thresholds is hopeless."""

    def __init__(self, watched: Sequence[AbortThreshold], record: RunRecord, pages: int) -> None:
        """`record` is run.json at the start; `pages` are all that are planned. They must have passed `check_watched`."""
        self._record = record
        self._pages = pages
        self._watched = [(parse_condition(one.assertion), record.warm_up_s + one.grace_s) for one in watched]
        self._builders: dict[str, SeriesBuilder] = {}
        self._last_s: dict[str, float] = {}
        needed = [name for condition, _ in self._watched for name in _series_of(condition)]
        self._names = list(dict.fromkeys([*needed, DELIVERED]))
        self._lock = threading.Lock()
        self._is_new = False

    def see(self, scrape: Scrape) -> None:
        """Take a scrape, also one that failed."""
        with self._lock:
            builder = self._builders.setdefault(scrape.target, SeriesBuilder(scrape.target, self._names))
            builder.add(scrape.t_s, scrape.text)
            self._last_s[scrape.target] = scrape.t_s
            self._is_new = True

    def hopeless(self) -> str:
        """The first watched threshold that can't be passed any more, with what was seen; "" while all can."""
        with self._lock:
            seen_s = min(self._last_s.values(), default=0.0)
            due = [condition for condition, from_s in self._watched if seen_s >= from_s]
            if not (self._is_new and due):
                return ""
            self._is_new = False
            source = LiveSeries({target: builder.curves() for target, builder in self._builders.items()})
        for condition in due:
            why = self._why(condition, source, seen_s)
            if why:
                return f"{condition.text} can't be passed any more: {why}"
        return ""

    def _why(self, condition: Condition, source: SeriesSource, seen_s: float) -> str:
        if condition.source in {"key", "rows"}:
            return self._of_rows(condition, source, seen_s)
        try:
            found = find_windows(condition, self._record, min(seen_s, self._record.deadline_s), to_the_end=False)
        except NoWindowError:
            return ""
        over = [one for one in found if self._is_over(condition, one, seen_s)]
        figures = [one for one in aggregate_series(condition, source, over) if one.observed is not None]
        if figures and not (result := evaluate_windows(condition, figures)).passed:
            return f"{format_value(result.observed or 0.0, result.unit)}, {result.reason}"
        return "" if over else self._risen(condition, source, found[0], seen_s)

    def _is_over(self, condition: Condition, one: TimeWindow, seen_s: float) -> bool:
        """Whether nothing can change what was seen in a stretch."""
        span = condition.span
        if span is not None and span.kind == "within":
            return one.to_s <= seen_s and one.from_s >= self._end_of(span) + span.within_s - ROUNDING_TOLERANCE_S
        if condition.over_s is not None:
            return one.to_s <= seen_s
        return span is not None and span.kind == "during" and one.to_s >= self._end_of(span)

    def _end_of(self, span: FaultSpan) -> float:
        """When the fault that a span names ends."""
        ends = [fault.end_s for fault in self._record.faults if fault.name == span.fault]
        return ends[0] if ends and ends[0] is not None else math.inf

    def _risen(self, condition: Condition, source: SeriesSource, so_far: TimeWindow, seen_s: float) -> str:
        """What only rises (or, for min, falls) and is past its limit already."""
        within = condition.span is not None and condition.span.kind == "within"
        if within or condition.over_s is not None or why_series_not_abortable(replace(condition, span=None)):
            return ""
        stretch = replace(so_far, is_whole=False)
        (figure,) = aggregate_series(condition, source, [stretch])
        if figure.observed is None:
            return ""
        observed = figure.observed
        if condition.aggregation == "rate":
            observed *= stretch.seconds / self._longest_s(condition, so_far)
        return _past(condition, observed, seen_s)

    def _longest_s(self, condition: Condition, so_far: TimeWindow) -> float:
        """The longest that the stretch can get: until the fault ends, or the deadline."""
        until_s = self._record.deadline_s
        if condition.span is not None and condition.span.kind == "during":
            until_s = min(until_s, self._end_of(condition.span))
        return max(until_s - so_far.from_s, so_far.seconds)

    def _of_rows(self, condition: Condition, source: SeriesSource, seen_s: float) -> str:
        """Rows of the whole run, by the generator's own counters. What the warm-up began is left out, and more."""
        warm_up_s = self._record.warm_up_s
        from_s = warm_up_s + self._record.client_timeout_s if warm_up_s and condition.source == "rows" else -1.0
        counts = _Counts(source, from_s, seen_s)
        to_come = max(0.0, self._pages - counts.of(DELIVERED, ()))
        if condition.source == "key":
            match = LIVE_KEY.fullmatch(condition.metric)
            word = match[1] if match else None
            rules = (LabelMatcher("outcome", "=", word),) if word else ()
            return _past(condition, counts.of(ATTEMPTS, rules), seen_s)
        if condition.metric == "attempts":
            best = "at best " if condition.aggregation == "ratio" else ""
            return _past(condition, self._attempts(condition, counts, to_come), seen_s, best)
        return self._durations(condition, counts, to_come, seen_s)

    def _attempts(self, condition: Condition, counts: _Counts, to_come: float) -> float:
        chosen = counts.of(ATTEMPTS, condition.rules)
        if condition.aggregation == "count":
            return chosen
        if condition.aggregation == "rate":
            return chosen / max(self._record.deadline_s - self._record.warm_up_s, 1e-9)
        among = counts.of(ATTEMPTS, ()) + to_come
        best = chosen + (to_come if selects_accepted(condition) else 0.0)
        return best / among if among else condition.limit

    def _durations(self, condition: Condition, counts: _Counts, to_come: float, seen_s: float) -> str:
        name = LIVE_HISTOGRAMS[condition.metric]
        number = counts.of(f"{name}_count", ())
        among = number + to_come
        if not number or not among:
            return ""
        if condition.aggregation == "avg":
            return _past(condition, counts.of(f"{name}_sum", ()) / among, seen_s, "at best ")
        at_most = LabelMatcher("le", "=", repr(condition.limit))
        if not counts.has(f"{name}_bucket", at_most):
            return ""
        above = number - counts.of(f"{name}_bucket", (at_most,))
        beyond = 1 - (condition.quantile or 1.0)
        if above <= math.floor(beyond * among + ROUNDING_TOLERANCE_S):
            return ""
        limit = format_value(condition.limit, condition.unit)
        return f"{above:,.0f} of {number:,.0f} are above {limit} already at {format_value(seen_s, 's')}"


@dataclass(frozen=True, slots=True)
class _Counts:
    """What the generator's workers have counted since a moment."""

    source: SeriesSource
    from_s: float
    to_s: float

    def of(self, name: str, rules: Sequence[LabelMatcher]) -> float:
        """What the counters that the rules choose have counted since."""
        found: CounterSum | None = select_counter(self.source, name, rules)
        return 0.0 if found is None else max(0.0, found.between(self.from_s, self.to_s))

    def has(self, name: str, rule: LabelMatcher) -> bool:
        """Whether there is a series that the rule chooses."""
        every = (labels for curves in self.source.targets(name) for labels in curves.series.get(name, ()))
        return any(all_match([rule], labels) for labels in every)


def _past(condition: Condition, observed: float, seen_s: float, best: str = "") -> str:
    if condition.operator == "==":
        falls = condition.aggregation == "min"
        hopeless = observed < condition.limit if falls else observed > condition.limit
    else:
        hopeless = not COMPARISONS[condition.operator](observed, condition.limit)
    return f"{best}{format_value(observed, condition.unit)} already at {format_value(seen_s, 's')}" if hopeless else ""


def _series_of(condition: Condition) -> list[str]:
    """The series that a condition is watched by."""
    if condition.source == "key" or condition.metric == "attempts":
        return [ATTEMPTS]
    if condition.source == "rows":
        name = LIVE_HISTOGRAMS[condition.metric]
        return [f"{name}_bucket", f"{name}_sum", f"{name}_count"]
    return scraped_names(condition.metric)
