"""Thresholds: assertions checked before a run, and evaluated against its rows, figures and scrapes after it.

A threshold without a value fails: no data, a sample too small for the percentile, and a percentile that is infinite are
breaches with their reason, never passes (k6 passes without data). What must hold in every window fails by one of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from harness.analysis.durations import DURATION_METRICS
from harness.analysis.percentile import QUANTILES, min_sample_size
from harness.analysis.run_data import SeriesSource
from harness.analysis.selection import LabelMatcher, Selection, all_match, matchers_except, matchers_on
from harness.analysis.summary import Summary
from harness.base.errors import ConfigurationError
from harness.base.model import Station
from harness.judge.results import ThresholdResult, Window
from harness.judge.thresholds.condition import MAY_NEVER_ARRIVE, Condition, parse_condition
from harness.judge.thresholds.metrics import scraped_names, summary_value, why_no_value
from harness.judge.thresholds.parser import InvalidAssertionError
from harness.judge.thresholds.planned_run import PlannedRun, check_condition, place_labels
from harness.judge.thresholds.units import format_value
from harness.judge.thresholds.windows import (
    NoWindowError,
    WindowValue,
    aggregate_rows,
    aggregate_series,
    find_windows,
)
from harness.plan.own_stations import ListedStation
from harness.run_folder.layout import RunRecord
from mock_server.profile.validation_messages import describe_item

if TYPE_CHECKING:
    from harness.plan import Plan

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


class RunDataSource(SeriesSource, Protocol):
    """What conditions are evaluated against: `harness.analysis.run_data.RunData`."""

    @property
    def record(self) -> RunRecord:
        """The content of run.json."""

    @property
    def stop_s(self) -> float:
        """When the run stopped starting attempts."""

    def select(self, metric: str, matchers: Sequence[LabelMatcher]) -> Selection:
        """The rows of a metric that the matchers select."""

    def load_series(self, names: Collection[str]) -> None:
        """Read these series in one pass over the scrapes."""


def check_assertions(assertions: Sequence[str], source: str = "thresholds", run: PlannedRun | None = None) -> None:
    """Raise ConfigurationError with every problem of assertions, before anything starts.

    With `run`, what is known of the run to come, they must also be able to pass and to fail, name only what it has, and give
    quantities with their units. Without it (a recorded run) whatever can be evaluated is accepted.
    """
    problems = find_problems(assertions, run)
    if problems:
        raise ConfigurationError(source, problems)


def find_problems(assertions: Sequence[str], run: PlannedRun | None) -> list[str]:
    """Every problem that `check_assertions` raises, one line each with the place in the assertion below it."""
    problems = []
    for number, assertion in enumerate(assertions):
        try:
            condition = _parse_for(assertion, run)
            if run is not None:
                check_condition(condition, run)
        except InvalidAssertionError as error:
            problems.append(f"{describe_item('thresholds', number)}: {error}".replace("\n", "\n  "))
    return problems


def _parse_for(assertion: str, run: PlannedRun | None) -> Condition:
    return parse_condition(assertion) if run is None else parse_condition(assertion, run.fault_names, run.place_labels)


def evaluate_thresholds(assertions: Sequence[str], summary: Summary, run_data: RunDataSource) -> list[ThresholdResult]:
    """The result of each distinct assertion. They must have passed `check_assertions`."""
    conditions = [parse_condition(assertion) for assertion in dict.fromkeys(assertions)]
    scraped = [one.metric for one in conditions if one.source not in {"key", "rows"}]
    run_data.load_series([name for metric in dict.fromkeys(scraped) for name in scraped_names(metric)])
    return [evaluate_condition(condition, summary, run_data) for condition in conditions]


def evaluate_condition(condition: Condition, summary: Summary, run_data: RunDataSource) -> ThresholdResult:
    """The result of one condition."""
    if condition.source == "key":
        observed = summary_value(summary, condition.metric)
        return _result(condition, observed, "" if observed is not None else why_no_value(summary, condition.metric))
    try:
        return evaluate_windows(condition, compute_window_values(condition, run_data))
    except NoWindowError as error:
        return _result(condition, None, str(error))


def compute_window_values(condition: Condition, run_data: RunDataSource) -> list[WindowValue]:
    """What was observed in each window that the condition must hold in. Raises NoWindowError if there is none."""
    found = find_windows(condition, run_data.record, run_data.stop_s)
    if condition.source == "rows":
        return aggregate_rows(condition, run_data, found)
    return aggregate_series(condition, run_data, found)


def evaluate_windows(condition: Condition, values: Sequence[WindowValue]) -> ThresholdResult:
    """The result of a condition from what was observed in each window: the worst one decides."""
    missing = [one for one in values if one.observed is None]
    breaches = [one for one in values if one.observed is not None and not _passes(condition, one.observed)]
    if breaches:
        worst = max(breaches, key=lambda one: _badness(condition, one))
        reason = _describe_breach(worst.observed or 0.0, condition)
    elif missing:
        worst = missing[0]
        reason = worst.missing_reason
    else:
        worst, reason = max(values, key=lambda one: _badness(condition, one)), ""
    has_window = condition.fault_span is not None or condition.over_s is not None
    window = Window(from_s=round(worst.window.from_s, 6), to_s=round(worst.window.to_s, 6)) if has_window else None
    if reason and window is not None:
        reason += f", from {format_value(window.from_s, 's')} to {format_value(window.to_s, 's')}"
    if reason and len(values) > 1:
        reason += f" ({_count_windows(len(breaches), len(missing), len(values))})"
    return _result(condition, worst.observed, reason, window)


def limits_s(assertions: Sequence[str]) -> list[float]:
    """Every limit on seconds, ascending: the bucket bounds that a live histogram of durations needs.

    The assertions must have passed `check_assertions`.

    >>> limits_s(["p95(delivery_seconds) < 10s", "avg(response_seconds) < 150ms", "pages.undelivered == 0"])
    [0.15, 10.0]
    """
    conditions = [parse_condition(assertion) for assertion in assertions]
    return sorted({one.limit for one in conditions if one.unit == "s" and one.limit > 0})


def _result(condition: Condition, observed: float | None, reason: str, window: Window | None = None) -> ThresholdResult:
    passed = observed is not None and not reason and _passes(condition, observed)
    if observed is not None and not passed and not reason:
        reason = _describe_breach(observed, condition)
    return ThresholdResult(
        assertion=condition.text, observed=observed, limit=condition.limit, unit=condition.unit, window=window,
        passed=passed, reason=reason,
    )  # fmt: skip


def _passes(condition: Condition, observed: float) -> bool:
    return COMPARISONS[condition.operator](observed, condition.limit)


def _badness(condition: Condition, value: WindowValue) -> float:
    """How bad a value is for a condition: the greatest badness is the worst."""
    observed = value.observed or 0.0
    if condition.operator in {"<", "<="}:
        return observed
    if condition.operator in {">", ">="}:
        return -observed
    distance = abs(observed - condition.limit)
    return distance if condition.operator == "==" else -distance


def _count_windows(breaches: int, missing: int, windows: int) -> str:
    parts = [f"{breaches:,} of {windows:,} windows breach it"] if breaches else []
    if missing:
        parts.append(f"{missing:,} of {windows:,} windows have no figure")
    return ", ".join(parts)


def _describe_breach(observed: float, condition: Condition) -> str:
    """By how much a limit is breached."""
    limit, unit = condition.limit, condition.unit
    if unit == "bool":
        return f"{format_value(observed, unit)}, expected {'not ' * (condition.operator == '!=')}{format_value(limit, unit)}"
    if condition.operator == "!=" or observed == limit:
        return f"it is {format_value(limit, unit)}"
    side = "above" if observed > limit else "below"
    distance = abs(observed - limit)
    if unit == "ratio":
        return f"{format_value(distance * 100, '')} percentage points {side} the limit"
    share = f" ({distance / abs(limit) * 100:.0f} %)" if 0 < distance <= 10 * abs(limit) else ""
    return f"{format_value(distance, unit)}{share} {side} the limit"


def find_undersized(assertions: Sequence[str], plan: Plan, warm_up_s: float, deadline_s: float) -> list[str]:
    """One line for each threshold whose percentile needs a larger sample than the plan can give, with both sizes.

    Such a threshold would fail whatever the server does, so it is reported before the run. The plan knows how many pages
    and stations there will be at most; only attempts can be more, through retries. Thresholds with windows are left out: how
    much falls into a window is not known beforehand. The assertions must have passed `check_assertions`.
    """
    lines = []
    for assertion in dict.fromkeys(assertions):
        condition = parse_condition(assertion)
        found = _required_percentile(condition)
        if found is None or condition.fault_span is not None or condition.over_s is not None:
            continue
        metric, quantile, matchers = found
        stations, pages_each = _count_selected(plan, matchers, warm_up_s, deadline_s)
        what, size = ("stations", stations) if metric == "completion_seconds" else ("pages", stations * pages_each)
        if size < min_sample_size(quantile):
            unless = "" if metric in MAY_NEVER_ARRIVE else ", unless retries add to them"
            lines.append(
                f"{assertion} will fail for lack of data{unless}: it needs {min_sample_size(quantile):,} {what}, the plan has "
                f"{size:,}"
            )
    return lines


def _required_percentile(condition: Condition) -> tuple[str, float, Sequence[LabelMatcher]] | None:
    """Duration, quantile and matchers of a condition on a percentile of rows; None for any other."""
    if condition.source == "rows" and condition.quantile is not None and condition.metric in DURATION_METRICS:
        return condition.metric, condition.quantile, condition.matchers
    if condition.source != "key":
        return None
    first, *_, last = condition.metric.split(".")
    return (first, QUANTILES[last], ()) if first in DURATION_METRICS and last in QUANTILES else None


def _count_selected(
    plan: Plan, matchers: Sequence[LabelMatcher], warm_up_s: float, deadline_s: float
) -> tuple[int, int]:
    """At most how many stations of the selected places arrive in time, and how many pages of the selected forms each has."""
    due_s = plan.earliest_due_s
    in_time = due_s < deadline_s
    if (
        plan.closed_loop is None
    ):  # in a closed loop stations arrive later than their soonest: the warm-up leaves out fewer
        in_time &= due_s >= warm_up_s
    forms = matchers_on(matchers, "form")
    places = matchers_except(matchers, "form", *_NO_PLACES)
    numbers = np.flatnonzero(in_time).tolist()
    stations = (
        sum(all_match(places, _labels_of(plan.stations[number])) for number in numbers) if places else len(numbers)
    )
    return stations, sum(all_match(forms, [("form", form)]) for form, _ in plan.slots)


_NO_PLACES = frozenset({"phase", "outcome", "worker"})
"""Labels of rows that say nothing of the station."""


def _labels_of(station: Station) -> list[tuple[str, str]]:
    return place_labels(station.code, station.columns if isinstance(station, ListedStation) else None)
