"""The windows that a condition must hold in, and what its aggregation gives in each: a value, or why there is none.

No data is never a value, so it can never pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from harness.analysis.percentile import percentile_of_unsorted
from harness.analysis.run_data import CounterSum, SeriesSource, find_series_problem, select_counter, select_gauge
from harness.analysis.selection import LabelMatcher, Selection, matchers_except, matchers_on
from harness.judge.thresholds.condition import MAY_NEVER_ARRIVE, Condition
from harness.judge.thresholds.metrics import NOTHING_TO_COUNT, scraped_names, why_no_percentile
from harness.judge.thresholds.units import format_value
from harness.run_folder.layout import FaultRecord

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

STEPS_PER_WINDOW = 10
"""Windows of `over` begin every tenth of their length, so that no outage hides on the edge between two."""
RECOVERY_WINDOW_S = 5.0
"""Length of the windows of `within … of end of` without `over`: the same as for the goodput of a recovery."""
ROUNDING_TOLERANCE_S = 1e-9


class NoWindowError(Exception):
    """The run has no window in which the condition could be evaluated; the message says why."""


class FaultTimes(Protocol):
    """What windows are computed from: `harness.run_folder.layout.RunRecord`."""

    @property
    def faults(self) -> Sequence[FaultRecord]:
        """Every fault with its times."""

    @property
    def warm_up_s(self) -> float:
        """Length of the warm-up, which is in no window."""


class RowSource(Protocol):
    """Where rows come from: `harness.analysis.run_data.RunData`."""

    def select(self, metric: str, matchers: Sequence[LabelMatcher]) -> Selection:
        """The rows of a metric that the matchers select."""


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A part of the run, in seconds since T0: from a time on, up to another that does not belong to it."""

    from_s: float
    to_s: float
    is_open: bool = False
    """The whole run from the end of the warm-up on, or the rest of it: what comes after `to_s` belongs to it too, while the
    last answers arrive and the server drains."""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.to_s - self.from_s


@dataclass(frozen=True, slots=True)
class WindowValue:
    """What was observed in a window; None with the reason if there is nothing."""

    window: TimeWindow
    observed: float | None
    missing_reason: str = ""


def find_windows(
    condition: Condition, record: FaultTimes, stop_s: float, *, is_finished: bool = True
) -> list[TimeWindow]:
    """The windows that the condition must hold in, in the order of time.

    `stop_s` is when the run stopped starting attempts, or, if it is not finished, how far it has been observed: then only
    windows that are over by that time count. Raises NoWindowError if there is none.
    """
    part = _relevant_part(condition, record, stop_s)
    if condition.fault_span is not None and condition.fault_span.kind == "within":
        length_s = condition.over_s or (min(RECOVERY_WINDOW_S, part.seconds) if is_finished else RECOVERY_WINDOW_S)
        found = _sliding_windows(part, length_s, is_finished=is_finished)
        recovered_s = part.from_s + condition.fault_span.within_s
        # A run that ends before the time to recover is up is judged by what it left last.
        return [one for one in found if one.from_s >= recovered_s - ROUNDING_TOLERANCE_S] or found[-1:]
    if condition.over_s is not None:
        return _sliding_windows(part, condition.over_s, is_finished=is_finished)
    return [part]


def _relevant_part(condition: Condition, record: FaultTimes, stop_s: float) -> TimeWindow:
    """The part of the run that the condition refers to."""
    span = condition.fault_span
    if span is None:
        return TimeWindow(record.warm_up_s, stop_s, is_open=True)
    fault = next((one for one in record.faults if one.name == span.fault), None)
    if fault is None:
        message = f"no data: the run had no fault {span.fault}"
        raise NoWindowError(message)
    if span.kind == "during":
        found = TimeWindow(max(fault.start_s, record.warm_up_s), min(_end_of(fault), stop_s))
        if found.seconds <= 0:
            message = f"no data: the run stopped at {format_value(stop_s, 's')}, before {fault.name} began"
            raise NoWindowError(message)
        return found
    from_s = max(_end_of(fault), record.warm_up_s)
    if from_s >= stop_s:
        message = f"no data: the run stopped at {format_value(stop_s, 's')}, before {fault.name} was over"
        raise NoWindowError(message)
    if span.kind == "after":
        return TimeWindow(from_s, stop_s, is_open=True)
    # The system can't be expected to have recovered from one fault while the next one is active.
    next_s = min((one.start_s for one in record.faults if one.start_s >= from_s), default=stop_s)
    if next_s <= from_s:
        message = f"no data: another fault began when {fault.name} was over"
        raise NoWindowError(message)
    return TimeWindow(from_s, min(next_s, stop_s))


def _end_of(fault: FaultRecord) -> float:
    return float("inf") if fault.end_s is None else fault.end_s


def _sliding_windows(part: TimeWindow, length_s: float, *, is_finished: bool) -> list[TimeWindow]:
    """Windows of one length, a tenth of it apart; in a finished run the last one ends where the part does."""
    room_s = part.seconds - length_s
    if room_s < -ROUNDING_TOLERANCE_S:
        length, available = format_value(length_s, "s"), format_value(part.seconds, "s")
        message = f"no data: a window of {length} does not fit into {available}"
        raise NoWindowError(message)
    step_s = length_s / STEPS_PER_WINDOW
    starts = part.from_s + step_s * np.arange(int((room_s + ROUNDING_TOLERANCE_S) / step_s) + 1)
    if is_finished and part.to_s - length_s - starts[-1] > ROUNDING_TOLERANCE_S:
        starts = np.append(starts, part.to_s - length_s)
    return [TimeWindow(float(start), float(start) + length_s) for start in starts]


def aggregate_rows(condition: Condition, source: RowSource, windows: Sequence[TimeWindow]) -> list[WindowValue]:
    """The value in each window, from the rows."""
    return _aggregate_selection(condition, source.select(condition.metric, condition.matchers), windows)


def aggregate_series(condition: Condition, source: SeriesSource, windows: Sequence[TimeWindow]) -> list[WindowValue]:
    """The value in each window, from the scrapes."""
    name = condition.metric
    if problem := find_series_problem(source, scraped_names(name)[0], condition.matchers):
        return [WindowValue(one, None, f"no data: {problem}") for one in windows]
    if condition.source == "gauge":
        found = select_gauge(source, name, condition.matchers)
        if not len(found.t_s):
            return [WindowValue(one, None, _never_scraped(condition)) for one in windows]
        return _aggregate_selection(condition, found, windows)
    if condition.source == "histogram":
        above = select_counter(source, f"{name}_sum", condition.matchers)
        below = select_counter(source, f"{name}_count", condition.matchers)
        if condition.aggregation != "avg":  # count and rate of a histogram are those of its events
            above, below = below, None
    else:
        above, below = select_counter(source, name, condition.matchers), None
        if condition.aggregation == "ratio":
            below = select_counter(source, name, _matchers_of_whole(condition))
    if above is None:
        return [WindowValue(one, None, _never_scraped(condition)) for one in windows]
    return [_aggregate_counter(condition.aggregation, above, below, one) for one in windows]


def _matchers_of_whole(condition: Condition) -> list[LabelMatcher]:
    """Matchers for the whole that a ratio is a share of: of the buckets of a histogram, the one that contains all."""
    if matchers_on(condition.matchers, "le"):
        return [*matchers_except(condition.matchers, "le"), LabelMatcher("le", "=", "+Inf")]
    return matchers_on(condition.matchers, "target")


def _aggregate_selection(condition: Condition, rows: Selection, windows: Sequence[TimeWindow]) -> list[WindowValue]:
    bounds = np.array([_bounds(condition, one) for one in windows]).reshape(-1, 2)
    first, last = np.searchsorted(rows.t_s, bounds.T)
    if condition.metric == "deliveries":
        bounds[:, 0] = -np.inf  # a page that was due before the window may be delivered in it
    population_first, population_last = np.searchsorted(rows.population_s, bounds.T)
    population = (population_last - population_first).tolist()
    return [
        _aggregate(condition, rows.value[first[number] : last[number]], population[number], one)
        for number, one in enumerate(windows)
    ]


def _bounds(condition: Condition, window: TimeWindow) -> tuple[float, float]:
    """From when and up to when rows belong to a window; no bounds for the whole run, whose warm-up is left out already."""
    if not window.is_open or condition.source != "rows" or condition.aggregation == "rate":
        return window.from_s, window.to_s
    return (-np.inf if condition.fault_span is None else window.from_s), np.inf


def _aggregate(condition: Condition, values: FloatArray, population: int, window: TimeWindow) -> WindowValue:
    """`population` is the number of rows that `values` were selected from."""
    name, count = condition.aggregation, len(values)
    if population == 0:
        return WindowValue(window, None, NOTHING_TO_COUNT)
    if name == "count":
        return WindowValue(window, float(count))
    if name == "rate":
        is_empty = window.seconds <= 0
        return WindowValue(window, None, "no time passed") if is_empty else WindowValue(window, count / window.seconds)
    if name == "ratio":
        arrived = int(np.isfinite(values).sum()) if condition.metric in MAY_NEVER_ARRIVE else count
        return WindowValue(window, arrived / population)
    value: float | None = None
    if count and name == "p":
        value = percentile_of_unsorted(values, condition.quantile or 0.0)
    elif count:
        value = _reduce(name, values)
    if value is None or np.isinf(value):
        never = int(np.isinf(values).sum())
        return WindowValue(window, None, why_no_percentile(count, never, condition.quantile, condition.metric))
    return WindowValue(window, value)


def _reduce(name: str, values: FloatArray) -> float:
    if name == "avg":
        return float(values.mean())
    if name == "last":
        return float(values[-1])
    return float(values.min() if name == "min" else values.max())


def _aggregate_counter(name: str, above: CounterSum, below: CounterSum | None, window: TimeWindow) -> WindowValue:
    """The value of counters; the totals of the whole run extend to the last scrape, when the server has been drained."""
    is_total = window.is_open and name != "rate"
    to_s = max(above.last_s, window.to_s) if is_total else window.to_s
    if not above.was_scraped(window.from_s, to_s):
        text = f"no data: nothing was scraped from {format_value(window.from_s, 's')} to {format_value(to_s, 's')}"
        return WindowValue(window, None, text)
    if name == "last":
        return WindowValue(window, above.at(to_s))
    counted = above.between(window.from_s, to_s)
    if name == "count":
        return WindowValue(window, counted)
    if name == "rate":
        return WindowValue(window, counted / window.seconds)
    whole = below.between(window.from_s, to_s) if below is not None else 0.0
    return WindowValue(window, counted / whole) if whole > 0 else WindowValue(window, None, NOTHING_TO_COUNT)


def _never_scraped(condition: Condition) -> str:
    labels = " with these labels" if condition.matchers else ""
    return f"no data: no scrape has a series {condition.metric}{labels}"
