"""Whether a measurement is to be trusted: the rules under which a run is neither a pass nor a fail.

What is held against the generator is the generator's own doing; starved pages and slow answers are the server's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.analysis.durations import DurationSamples
from harness.analysis.label_matchers import matchers_except
from harness.analysis.percentile import order_statistic
from harness.analysis.run_data import RunData
from harness.analysis.summarise import BROKEN_OFF
from harness.analysis.summary import Summary
from harness.base.model import Outcome
from harness.judge.results import ThresholdResult, Validity
from harness.judge.shortages import shortage_reasons
from harness.judge.thresholds.condition import Condition, parse_condition
from harness.judge.thresholds.evaluate import COMPARISONS, compute_window_values
from harness.judge.thresholds.units import format_value
from harness.run_folder.layout import RunRecord

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

ALLOWED_LATENESS_S = 0.005
"""Lateness that is always allowed at p50, p95 and p99; above it, 5 % of the response at the same percentile."""
ALLOWED_LATENESS_RATIO = 0.05
SMALL_SAMPLE = 1_000
"""Below this many attempts the greatest lateness counts instead of the percentiles."""
ALLOWED_MAX_LATENESS_S = 0.05
ALLOWED_BUSY_RATIO = 0.05
"""Share of a run that the generator may stand above 90 % of its core."""
SHORT_RUN_S = 3.0
"""A run shorter than this may have too few scrapes to know the generator's CPU."""
LATENESS_TO_LIMIT_RATIO = 0.1
"""p99 lateness must be at most this share of a limit that passes."""
ALLOWED_CLOCK_STEP_S = 0.1
CLOCK_DRIFT_RATIO = 500e-6
"""What a clock may drift without a step: the most that adjtime slews."""

_PERCENTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
_REDUCE_LOAD = "use more workers (--workers), a lighter plan or a quieter machine"


class _Measurement(NamedTuple):
    """What is held against the rules."""

    summary: Summary
    record: RunRecord
    evidence: RunData
    thresholds: Sequence[ThresholdResult]


def check_validity(
    summary: Summary, record: RunRecord, evidence: RunData, thresholds: Sequence[ThresholdResult]
) -> Validity:
    """The measurement held against every rule; the reasons say what was seen and what to change."""
    it = _Measurement(summary, record, evidence, thresholds)
    reasons = [reason for rule in VALIDITY_RULES.values() for reason in rule(it)]
    return Validity(valid=not reasons, reasons=list(dict.fromkeys(reasons)))


def _summarise_lateness(lateness: FloatArray) -> tuple[str, float]:
    """What stands for the generator's lateness, by name and in seconds: p99, or the greatest of a small sample.

    `lateness` is sorted upwards.
    """
    if len(lateness) == 0:
        return "greatest", 0.0
    if len(lateness) < SMALL_SAMPLE:
        return "greatest", float(lateness[-1])
    return "p99", order_statistic(lateness, 0.99)


def _check_exit_reason(summary: Summary, record: RunRecord) -> list[str]:
    if record.ended is None:
        return [f"the run was broken off: nothing is known of it after {format_value(summary.duration_s, 's')}"]
    if record.ended.how == "crashed":
        return [f"the run crashed: {record.ended.message or 'see logs/'}"]
    if record.ended.how in {"killed", "starved"}:
        return [record.ended.message]
    return []


def _aborted(record: RunRecord, thresholds: Sequence[ThresholdResult]) -> list[str]:
    """A run that was cut short for a threshold which its rows then don't breach proves nothing."""
    if record.ended is None or record.ended.how != "aborted" or not all(one.passed for one in thresholds):
        return []
    return [f"the run was aborted early, and what it left breaches nothing: {record.ended.message}"]


def _data(summary: Summary) -> list[str]:
    if summary.attempts.total == 0:
        return ["there is no data: not one attempt was made"]
    if summary.lateness_seconds.count == 0 and summary.ended != BROKEN_OFF:
        return ["there is no data: not one attempt was sent after the warm-up"]
    return []


def _lateness(summary: Summary, samples: DurationSamples) -> list[str]:
    lateness, response = samples.of("lateness_seconds"), samples.of("response_seconds")
    if len(lateness) == 0:
        return []
    if len(lateness) < SMALL_SAMPLE:
        rules = [("greatest", float(lateness[-1]), ALLOWED_MAX_LATENESS_S, 0.99)]
    else:
        rules = [
            (name, order_statistic(lateness, quantile), ALLOWED_LATENESS_S, quantile) for name, quantile in _PERCENTILES
        ]
    late = []
    for name, seen_s, always_s, quantile in rules:
        share_s = ALLOWED_LATENESS_RATIO * order_statistic(response, quantile) if len(response) else 0.0
        allowed_s = max(always_s, share_s)
        if seen_s > allowed_s:
            late.append(f"{name} {format_value(seen_s, 's')} (allowed: {format_value(allowed_s, 's')})")
    if not late:
        return []
    of = f"of {summary.lateness_seconds.count:,} attempts"
    return [
        f"the generator was late, which its figures can't be told apart from: {', '.join(late)}, {of}: {_REDUCE_LOAD}"
    ]


def _stations(summary: Summary) -> list[str]:
    never = summary.generator.never_begun
    if not never:
        return []
    message = (
        f"{never:,} of {summary.stations.due:,} stations whose time had come were never begun: the generator did not "
        f"offer the load that was planned: {_REDUCE_LOAD}"
    )
    return [message]


def _cpu(summary: Summary) -> list[str]:
    it = summary.generator
    if it.cpu_above_90_ratio is None or it.cpu_above_90_s is None or it.cpu_max_ratio is None:
        if summary.duration_s < SHORT_RUN_S:
            return []  # over before two scrapes could tell
        return ["the generator's CPU is not known, for want of its scrapes: see logs/ for why its exporter was silent"]
    if it.cpu_above_90_ratio <= ALLOWED_BUSY_RATIO:
        return []
    message = (
        f"the generator stood above 90 % of its core for {format_value(it.cpu_above_90_s, 's')}, "
        f"{format_value(it.cpu_above_90_ratio, 'ratio')} of the run (at most {format_value(it.cpu_max_ratio, 'ratio')}): "
        f"use --workers {it.workers + 1}"
    )
    return [message]


def _workers(record: RunRecord) -> list[str]:
    return [
        f"worker {worker.rank} of the generator was lost: see logs/ for its last words"
        for worker in record.workers
        if worker.lost
    ]


def _own_failures(summary: Summary, record: RunRecord) -> list[str]:
    count = summary.attempts.by_outcome.get(Outcome.GENERATOR_ERROR, 0)
    return shortage_reasons(count, record)


def _never_ended(summary: Summary, record: RunRecord) -> list[str]:
    censored = summary.attempts.by_outcome.get(Outcome.CENSORED, 0)
    if censored and record.ended is not None and record.ended.how in {"completed", "deadline"}:
        return [f"{censored:,} attempts were begun and never ended although the run was not broken off: see logs/"]
    return []


def _problems(record: RunRecord) -> list[str]:
    return [problem for problem in record.problems if record.ended is None or problem not in record.ended.message]


def _clock(summary: Summary, record: RunRecord) -> list[str]:
    step_s = abs(record.clock_step_s)
    if step_s <= ALLOWED_CLOCK_STEP_S + CLOCK_DRIFT_RATIO * summary.duration_s:
        return []
    return [
        f"the clock stepped by {format_value(step_s, 's')} during the run: keep time synchronisation from stepping it"
    ]


def _limits(thresholds: Sequence[ThresholdResult], evidence: RunData) -> list[str]:
    """Upper limits on seconds that the generator's lateness is too great to judge.

    A limit that holds needs a lateness of at most a tenth of it. A breach that remains after the lateness is subtracted
    stays a breach; one that doesn't may be the generator's own.
    """
    reasons = []
    for threshold in thresholds:
        condition = parse_condition(threshold.assertion)
        if not condition.is_upper_limit_of_rows_s or threshold.observed is None:
            continue
        seen = _observed_late(condition, threshold, evidence)
        breaches = [one for one in seen if not COMPARISONS[condition.operator](one.observed_s, threshold.limit)]
        worst = max(breaches or seen, key=lambda one: one.lateness_s)
        late = f"the generator's {worst.name} lateness, {format_value(worst.lateness_s, 's')},"
        if threshold.passed and worst.lateness_s > LATENESS_TO_LIMIT_RATIO * threshold.limit:
            reasons.append(f"{late} is more than a tenth of the limit in {threshold.assertion}: {_REDUCE_LOAD}")
        elif not threshold.passed and not any(_stands(condition, one) for one in breaches):
            reasons.append(f"{late} may be all that breaches {threshold.assertion}: {_REDUCE_LOAD}")
    return reasons


class _ObservedLateness(NamedTuple):
    """What was observed in a stretch of the run, and how late the generator was there."""

    observed_s: float
    name: str
    lateness_s: float


def _observed_late(condition: Condition, threshold: ThresholdResult, evidence: RunData) -> list[_ObservedLateness]:
    """What a threshold was judged by, with the lateness of just that: its labels (but for the outcome), each window."""
    if threshold.window is None:
        late = evidence.samples.of("lateness_seconds")
        if condition.rules:
            late = np.sort(evidence.chosen("lateness_seconds", matchers_except(condition.rules, "outcome")).value)
        return [_ObservedLateness(threshold.observed or 0.0, *_summarise_lateness(late))]
    rows = evidence.chosen("lateness_seconds", matchers_except(condition.rules, "outcome"))
    found = []
    for one in compute_window_values(condition, evidence):
        if one.observed is not None:
            first, last = np.searchsorted(rows.t_s, [one.stretch.from_s, one.stretch.to_s]).tolist()
            found.append(_ObservedLateness(one.observed, *_summarise_lateness(np.sort(rows.value[first:last]))))
    return found


def _stands(condition: Condition, seen: _ObservedLateness) -> bool:
    """Whether an upper limit is still breached when the lateness is taken off."""
    return not COMPARISONS[condition.operator](seen.observed_s - seen.lateness_s, condition.limit)


VALIDITY_RULES: Mapping[str, Callable[[_Measurement], list[str]]] = {
    "ending": lambda it: _check_exit_reason(it.summary, it.record),
    "aborted": lambda it: _aborted(it.record, it.thresholds),
    "no_data": lambda it: _data(it.summary),
    "lateness": lambda it: _lateness(it.summary, it.evidence.samples),
    "never_begun": lambda it: _stations(it.summary),
    "cpu": lambda it: _cpu(it.summary),
    "worker_lost": lambda it: _workers(it.record),
    "generator_error": lambda it: _own_failures(it.summary, it.record),
    "never_ended": lambda it: _never_ended(it.summary, it.record),
    "clock_step": lambda it: _clock(it.summary, it.record),
    "limit": lambda it: _limits(it.thresholds, it.evidence),
    "problem": lambda it: _problems(it.record),
}
"""Each rule by the name that docs/explanation/measuring.md gives it; what it returns are the reasons, none where it is kept."""
