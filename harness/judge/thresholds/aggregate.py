"""What an aggregation gives in each stretch of a run: a figure, or why there is none. No data is never a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from harness.analysis.label_matchers import LabelMatcher, matchers_except, matchers_on
from harness.analysis.percentile import percentile_of_unsorted
from harness.analysis.run_data import CounterSum, SeriesSource, select_counter, select_gauge
from harness.analysis.selection import Selection
from harness.judge.thresholds.condition import MAY_NEVER_ARRIVE, Condition
from harness.judge.thresholds.summary_keys import why_no_percentile
from harness.judge.thresholds.units import format_value
from harness.judge.thresholds.windows import TimeWindow

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


class RowSource(Protocol):
    """Where rows come from: `harness.analysis.run_data.Evidence`."""

    def chosen(self, metric: str, rules: Sequence[LabelMatcher]) -> Selection:
        """The rows of a metric that the rules choose."""


@dataclass(frozen=True, slots=True)
class WindowValue:
    """What was observed in a stretch; None with the reason in words."""

    stretch: TimeWindow
    observed: float | None
    missing: str = ""


def aggregate_rows(condition: Condition, source: RowSource, stretches: Sequence[TimeWindow]) -> list[WindowValue]:
    """A figure for each stretch, from the rows."""
    return _of_chosen(condition, source.chosen(condition.metric, condition.rules), stretches)


def aggregate_series(condition: Condition, source: SeriesSource, stretches: Sequence[TimeWindow]) -> list[WindowValue]:
    """A figure for each stretch, from the scrapes."""
    name = condition.metric
    if condition.source == "gauge":
        found = select_gauge(source, name, condition.rules)
        if not len(found.t_s):
            return [WindowValue(one, None, _never_scraped(condition)) for one in stretches]
        return _of_chosen(condition, found, stretches)
    if condition.source == "histogram":
        above = select_counter(source, f"{name}_sum", condition.rules)
        below = select_counter(source, f"{name}_count", condition.rules)
        if condition.aggregation != "avg":
            above, below = below, None
    else:
        above, below = select_counter(source, name, condition.rules), None
        if condition.aggregation == "ratio":
            below = select_counter(source, name, _undivided(condition))
    if above is None:
        return [WindowValue(one, None, _never_scraped(condition)) for one in stretches]
    return [_counted(condition.aggregation, above, below, one) for one in stretches]


def _undivided(condition: Condition) -> list[LabelMatcher]:
    """The rules for the whole that a ratio is a share of: of a histogram's buckets, the one that holds all."""
    if matchers_on(condition.rules, "le"):
        return [*matchers_except(condition.rules, "le"), LabelMatcher("le", "=", "+Inf")]
    return matchers_on(condition.rules, "target")


def _of_chosen(condition: Condition, rows: Selection, stretches: Sequence[TimeWindow]) -> list[WindowValue]:
    bounds = np.array([_bounds(condition, one) for one in stretches]).reshape(-1, 2)
    first, last = np.searchsorted(rows.t_s, bounds.T)
    if condition.metric == "deliveries":
        bounds[:, 0] = -np.inf  # what fell due before may be delivered now
    among_first, among_last = np.searchsorted(rows.among_s, bounds.T)
    among = (among_last - among_first).tolist()
    return [
        _aggregated(condition, rows.value[first[number] : last[number]], among[number], one)
        for number, one in enumerate(stretches)
    ]


def _bounds(condition: Condition, stretch: TimeWindow) -> tuple[float, float]:
    """From when and up to when rows belong to a stretch: all of them to the whole run, for the warm-up's are left out."""
    if not stretch.is_whole or condition.source != "rows" or condition.aggregation == "rate":
        return stretch.from_s, stretch.to_s
    return (-np.inf if condition.span is None else stretch.from_s), np.inf


def _aggregated(condition: Condition, values: FloatArray, among: int, stretch: TimeWindow) -> WindowValue:
    """`among` is the number of rows that these were chosen from."""
    name, count = condition.aggregation, len(values)
    if among == 0:
        return WindowValue(stretch, None, why_no_percentile(0, 0, None))
    if name == "count":
        return WindowValue(stretch, float(count))
    if name == "rate":
        return (
            WindowValue(stretch, count / stretch.seconds)
            if stretch.seconds > 0
            else WindowValue(stretch, None, "no time passed")
        )
    if name == "ratio":
        arrived = int(np.isfinite(values).sum()) if condition.metric in MAY_NEVER_ARRIVE else count
        return WindowValue(stretch, arrived / among)
    value: float | None = None
    if count and name == "p":
        value = percentile_of_unsorted(values, condition.quantile or 0.0)
    elif count:
        value = _simple(name, values)
    if value is None or np.isinf(value):
        never = int(np.isinf(values).sum())
        return WindowValue(stretch, None, why_no_percentile(count, never, condition.quantile))
    return WindowValue(stretch, value)


def _simple(name: str, values: FloatArray) -> float:
    if name == "avg":
        return float(values.mean())
    if name == "last":
        return float(values[-1])
    return float(values.min() if name == "min" else values.max())


def _counted(name: str, above: CounterSum, below: CounterSum | None, stretch: TimeWindow) -> WindowValue:
    """A figure of counters; the whole run's totals reach to the last scrape, when the server has been drained."""
    total = stretch.is_whole and name != "rate"
    to_s = max(above.last_s, stretch.to_s) if total else stretch.to_s
    if not above.seen(stretch.from_s, to_s):
        text = f"no data: nothing was scraped from {format_value(stretch.from_s, 's')} to {format_value(to_s, 's')}"
        return WindowValue(stretch, None, text)
    if name == "last":
        return WindowValue(stretch, above.at(to_s))
    counted = above.between(stretch.from_s, to_s)
    if name == "count":
        return WindowValue(stretch, counted)
    if name == "rate":
        return WindowValue(stretch, counted / stretch.seconds)
    whole = below.between(stretch.from_s, to_s) if below is not None else 0.0
    return (
        WindowValue(stretch, counted / whole)
        if whole > 0
        else WindowValue(stretch, None, why_no_percentile(0, 0, None))
    )


def _never_scraped(condition: Condition) -> str:
    labels = " with these labels" if condition.rules else ""
    return f"no data: no scrape has a series {condition.metric}{labels}"
