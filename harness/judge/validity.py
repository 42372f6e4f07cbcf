"""Whether a measurement can be trusted: the rules under which a run neither passes nor fails.

Only what the generator did counts against a measurement. Starved pages and slow answers are the server's doing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.analysis.cpu_quota import QUOTA_FACT, cores_per_worker
from harness.analysis.durations import DurationSamples
from harness.analysis.percentile import order_statistic
from harness.analysis.run_data import RunData
from harness.analysis.selection import matchers_except
from harness.analysis.summarise import BROKEN_OFF
from harness.analysis.summary import Summary
from harness.base.model import Outcome, Shortage
from harness.judge.results import ThresholdResult, Validity
from harness.judge.thresholds.condition import Condition, parse_condition
from harness.judge.thresholds.evaluate import COMPARISONS, compute_window_values
from harness.judge.thresholds.units import format_value
from harness.run_folder.layout import STOPPED_BY_SIGNAL, RunRecord

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

ALLOWED_LATENESS_S = 0.005
"""Lateness that is always allowed at p50, p95 and p99; above it, 5 % of the response at the same percentile."""
ALLOWED_LATENESS_RATIO = 0.05
SMALL_SAMPLE = 1_000
"""With fewer attempts than this the greatest lateness counts instead of the percentiles."""
ALLOWED_MAX_LATENESS_S = 0.05
ALLOWED_BUSY_RATIO = 0.05
"""Share of a run during which the generator may be above 90 % of its core."""
SHORT_RUN_S = 3.0
"""A shorter run may have too few scrapes for the generator's CPU to be known."""
LATENESS_TO_LIMIT_RATIO = 0.1
"""p99 lateness must be at most this share of a limit that passes."""
ALLOWED_CLOCK_STEP_S = 0.1
CLOCK_DRIFT_RATIO = 500e-6
"""How fast a clock may drift without a step: the most by which adjtime slews it."""

_PERCENTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
_REDUCE_LOAD = "use more workers (--workers), a lighter plan or a quieter machine"
_CAUSES = {
    Shortage.DESCRIPTORS: (
        "a worker ran out of file descriptors (limit: {descriptors:,} per process)",
        "raise the hard limit (ulimit -Hn), use more workers, or lower client.max_in_flight",
    ),
    Shortage.PORTS: (
        "this machine ran out of ports ({ports:,} per source address and destination, each kept for up to 60 s after use)",
        'set client.source_addresses, client.connection = "reuse", or use more machines',
    ),
    Shortage.MEMORY: ("this machine ran out of memory for sockets", "use a machine with more, or a lighter plan"),
    Shortage.OWN_CLIENT: ("the scenario's own client raised an error", "correct it; the run's log has the first one"),
    Shortage.MAX_IN_FLIGHT: (
        "more stations were active at once than client.max_in_flight allows per worker ({max_in_flight:,})",
        "raise it, use more workers, or find out why the server takes so long",
    ),
}


class _Measurement(NamedTuple):
    """What the rules are applied to."""

    summary: Summary
    record: RunRecord
    run_data: RunData
    thresholds: Sequence[ThresholdResult]


def check_validity(
    summary: Summary, record: RunRecord, run_data: RunData, thresholds: Sequence[ThresholdResult]
) -> Validity:
    """The validity of a measurement by every rule; each reason says what was observed and what to change."""
    measurement = _Measurement(summary, record, run_data, thresholds)
    reasons = [reason for rule in VALIDITY_RULES.values() for reason in rule(measurement)]
    return Validity(valid=not reasons, reasons=list(dict.fromkeys(reasons)))


def _check_exit_reason(summary: Summary, record: RunRecord) -> list[str]:
    if record.ended is None:
        return [f"the run was broken off: nothing is known after {format_value(summary.duration_s, 's')}"]
    if record.ended.how == "crashed":
        return [f"the run crashed: {record.ended.message or 'see logs/'}"]
    if record.ended.how in {"killed", "starved", "own_client"}:
        return [record.ended.message]
    if record.ended.how in STOPPED_BY_SIGNAL:
        pages = summary.pages
        delivered = (
            f"{pages.delivered:,} of {pages.planned:,} pages {'was' if pages.delivered == 1 else 'were'} delivered"
        )
        when = f"after {record.ended.at_s:.1f} s"
        how = "stopped because its terminal was closed," if record.ended.how == "hung_up" else record.ended.how
        return [f"the run was {how} {when}, when {delivered}: run it again to its end"]
    return []


def _check_abort(record: RunRecord, thresholds: Sequence[ThresholdResult]) -> list[str]:
    """A run that was cut short for a threshold which its rows then do not breach proves nothing."""
    if record.ended is None or record.ended.how != "aborted" or not all(result.passed for result in thresholds):
        return []
    return [f"the run was aborted early, but its rows breach no threshold: {record.ended.message}"]


def _check_data(summary: Summary) -> list[str]:
    if summary.attempts.total == 0:
        return ["no data: no attempt was made"]
    if summary.lateness_seconds.count == 0 and summary.ended != BROKEN_OFF:
        return ["no data: no attempt was sent after the warm-up"]
    return []


def _check_lateness(summary: Summary, samples: DurationSamples) -> list[str]:
    lateness, response = samples.sample("lateness_seconds"), samples.sample("response_seconds")
    if len(lateness) == 0:
        return []
    if len(lateness) < SMALL_SAMPLE:
        rules = [("maximum", float(lateness[-1]), ALLOWED_MAX_LATENESS_S, 0.99)]
    else:
        rules = [
            (name, order_statistic(lateness, quantile), ALLOWED_LATENESS_S, quantile) for name, quantile in _PERCENTILES
        ]
    late = []
    for name, observed_s, always_s, quantile in rules:
        share_s = ALLOWED_LATENESS_RATIO * order_statistic(response, quantile) if len(response) else 0.0
        allowed_s = max(always_s, share_s)
        if observed_s > allowed_s:
            late.append(f"{name} {format_value(observed_s, 's')} (allowed: {format_value(allowed_s, 's')})")
    if not late:
        return []
    message = "the generator was late, and response times can't be separated from that delay"
    return [f"{message}: {', '.join(late)}, of {summary.lateness_seconds.count:,} attempts: {_REDUCE_LOAD}"]


def _check_never_begun(summary: Summary) -> list[str]:
    never = summary.generator.never_begun
    if not never:
        return []
    message = (
        f"{never:,} of {summary.stations.due:,} stations that were due were never begun: the generator did not offer the "
        f"planned load: {_REDUCE_LOAD}"
    )
    return [message]


def _check_cpu(summary: Summary, record: RunRecord) -> list[str]:
    if record.simulated:
        return []  # nothing was generated
    generator = summary.generator
    if generator.cpu_above_90_ratio is None or generator.cpu_above_90_s is None or generator.cpu_max_ratio is None:
        if summary.duration_s < SHORT_RUN_S:
            return []  # over before there could be two scrapes
        return [
            "the generator's CPU is not known because it was not scraped: see logs/ for why its exporter was silent"
        ]
    reasons = []
    quota = record.host.get(QUOTA_FACT)
    above = generator.quota_above_90_ratio
    if above is not None and above > ALLOWED_BUSY_RATIO:
        reasons.append(
            f"the run's processes together used more than 90 % of this container's CPU quota ({quota:g} cores) in "
            f"{format_value(above, 'ratio')} of the run: give it more (docker run --cpus, kubernetes: "
            "limits.cpu)"
        )
    if generator.cpu_above_90_ratio > ALLOWED_BUSY_RATIO:
        is_limited = cores_per_worker(record) < 1
        of, remedy = (
            ("the CPU quota", "give the container more CPU")
            if is_limited
            else ("its core", f"use --workers {generator.workers + 1}")
        )
        reasons.append(
            f"the generator was above 90 % of {of} for {format_value(generator.cpu_above_90_s, 's')}, "
            f"{format_value(generator.cpu_above_90_ratio, 'ratio')} of the run (at most "
            f"{format_value(generator.cpu_max_ratio, 'ratio')}): {remedy}"
        )
    return reasons


def _check_workers(record: RunRecord) -> list[str]:
    return [f"worker {worker.rank} of the generator was lost: see logs/" for worker in record.workers if worker.lost]


def shortage_reasons(failed: int, record: RunRecord) -> list[str]:
    """One reason for each resource that ran out, given that `failed` attempts ended as generator_error.

    What a lost worker ran out of is not known: its failures are reported without a cause.
    """
    if not failed:
        return []
    causes: Counter[str] = Counter()
    for worker in record.workers:
        causes.update(worker.shortages)
    explained = (
        record.ended is not None and record.ended.how == "own_client"
    )  # by the rule `ending`, with its traceback
    named = [name for name in Shortage if causes[name] and not (explained and name is Shortage.OWN_CLIENT)]
    reasons = [_shortage_reason(name, causes[name], record) for name in named]
    unknown = failed - sum(causes.values())
    if unknown > 0:
        reasons.append(
            f"{unknown:,} attempts failed in the generator (generator_error: descriptors, ports, memory or "
            "client.max_in_flight; their worker did not report which): see logs/"
        )
    return reasons


def _shortage_reason(shortage: Shortage, count: int, record: RunRecord) -> str:
    cause, remedy = _CAUSES[shortage]
    client = record.scenario.get("client", {})
    known = {
        "descriptors": record.host.get("descriptors", 0),
        "ports": record.host.get("ports", 0),
        "max_in_flight": client.get("max_in_flight", 0),
    }
    attempts = "1 attempt" if count == 1 else f"{count:,} attempts"
    return f"{attempts} could not be made (generator_error): {cause.format(**known)}: {remedy}"


def _check_never_ended(summary: Summary, record: RunRecord) -> list[str]:
    # A run that ended by itself waits for every attempt in flight, up to the client's timeout; none may be left.
    censored = summary.attempts.by_outcome.get(Outcome.CENSORED, 0)
    if censored and record.ended is not None and record.ended.how in {"completed", "deadline"}:
        return [f"{censored:,} attempts began and never ended although the run was not broken off: see logs/"]
    return []


def _check_problems(record: RunRecord) -> list[str]:
    return [problem for problem in record.problems if record.ended is None or problem not in record.ended.message]


def _check_clock(summary: Summary, record: RunRecord) -> list[str]:
    step_s = abs(record.clock_step_s)
    if step_s <= ALLOWED_CLOCK_STEP_S + CLOCK_DRIFT_RATIO * summary.duration_s:
        return []
    step = format_value(step_s, "s")
    return [f"the clock stepped by {step} during the run: configure time synchronisation to slew instead of step"]


def _check_limits(thresholds: Sequence[ThresholdResult], run_data: RunData) -> list[str]:
    """Upper limits on durations that cannot be judged because the generator was too late.

    A limit that holds needs a lateness of at most a tenth of it. A breach that remains when the lateness is subtracted stays
    a breach; one that does not remain may be the generator's own.
    """
    reasons = []
    for threshold in thresholds:
        condition = parse_condition(threshold.assertion)
        if not condition.is_upper_limit_of_rows_s or threshold.observed is None:
            continue
        observed = _observe_lateness(condition, threshold, run_data)
        breaches = [one for one in observed if not COMPARISONS[condition.operator](one.observed_s, threshold.limit)]
        worst = max(breaches or observed, key=lambda one: one.lateness_s)
        late = f"the generator's {worst.name} lateness, {format_value(worst.lateness_s, 's')},"
        if threshold.passed and worst.lateness_s > LATENESS_TO_LIMIT_RATIO * threshold.limit:
            reasons.append(f"{late} is more than a tenth of the limit in {threshold.assertion}: {_REDUCE_LOAD}")
        elif not threshold.passed and not any(_remains_breached(condition, one) for one in breaches):
            reasons.append(f"{late} alone may be what breaches {threshold.assertion}: {_REDUCE_LOAD}")
    return reasons


class _ObservedLateness(NamedTuple):
    """What was observed in a window of the run, and how late the generator was in it."""

    observed_s: float
    name: str
    lateness_s: float


def _observe_lateness(condition: Condition, threshold: ThresholdResult, run_data: RunData) -> list[_ObservedLateness]:
    """What a threshold was judged by, with the lateness of the same rows: same labels (outcome aside), same windows.

    Lateness is a property of sending, so a matcher on the outcome must not hide it.
    """
    if threshold.window is None:
        late = run_data.samples.sample("lateness_seconds")
        if condition.matchers:
            late = np.sort(run_data.select("lateness_seconds", matchers_except(condition.matchers, "outcome")).value)
        return [_ObservedLateness(threshold.observed or 0.0, *_summarise_lateness(late))]
    rows = run_data.select("lateness_seconds", matchers_except(condition.matchers, "outcome"))
    found = []
    for one in compute_window_values(condition, run_data):
        if one.observed is not None:
            first, last = np.searchsorted(rows.t_s, [one.window.from_s, one.window.to_s]).tolist()
            found.append(_ObservedLateness(one.observed, *_summarise_lateness(np.sort(rows.value[first:last]))))
    return found


def _summarise_lateness(lateness: FloatArray) -> tuple[str, float]:
    """The lateness that counts, by name and in seconds: p99, or the maximum of a small sample. Ascending values."""
    if len(lateness) == 0:
        return "maximum", 0.0
    if len(lateness) < SMALL_SAMPLE:
        return "maximum", float(lateness[-1])
    return "p99", order_statistic(lateness, 0.99)


def _remains_breached(condition: Condition, one: _ObservedLateness) -> bool:
    """Whether an upper limit is still breached when the lateness is subtracted."""
    return not COMPARISONS[condition.operator](one.observed_s - one.lateness_s, condition.limit)


VALIDITY_RULES: Mapping[str, Callable[[_Measurement], list[str]]] = {
    "ending": lambda it: _check_exit_reason(it.summary, it.record),
    "aborted": lambda it: _check_abort(it.record, it.thresholds),
    "no_data": lambda it: _check_data(it.summary),
    "lateness": lambda it: _check_lateness(it.summary, it.run_data.samples),
    "never_begun": lambda it: _check_never_begun(it.summary),
    "cpu": lambda it: _check_cpu(it.summary, it.record),
    "worker_lost": lambda it: _check_workers(it.record),
    "generator_error": lambda it: shortage_reasons(
        it.summary.attempts.by_outcome.get(Outcome.GENERATOR_ERROR, 0), it.record
    ),
    "never_ended": lambda it: _check_never_ended(it.summary, it.record),
    "clock_step": lambda it: _check_clock(it.summary, it.record),
    "limit": lambda it: _check_limits(it.thresholds, it.run_data),
    "problem": lambda it: _check_problems(it.record),
}
"""Each rule by its name in docs/explanation/measuring.md; it returns its reasons, none if the measurement keeps the rule."""
