"""The change of one figure between two sides, with its interval: over blocks of time, pairs of seeds, or runs. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.bootstrap import (
    MIN_UNITS,
    BootstrapResult,
    QuantileStatistic,
    RateStatistic,
    Statistic,
    bootstrap_change,
    log_ratio,
)
from harness.analysis.student import student_t
from harness.judge.compare.results import UNINFORMATIVE_FACTOR, IntervalMethod

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

_UNINFORMATIVE_LOG = math.log(UNINFORMATIVE_FACTOR)
_LAST_ONE = (
    "it hangs on when the last station is done, which differs too much for an interval: compare more runs a side"
)


@dataclass(frozen=True, slots=True)
class RunStatistic:
    """A figure in one run: its seed, what plan it played, the figure."""

    seed: int
    plan: str
    statistic: Statistic


@dataclass(frozen=True, slots=True)
class LogChange:
    """Log of run ÷ base with bounds that miss it with probability alpha; infinite for "no bound"."""

    estimate: float
    low: float
    high: float
    how: IntervalMethod
    drawn_from: str
    vague: str = ""
    """Why a bound is missing or too far to tell anything, and how many it needs; empty where neither is so."""

    def at_least(self, half_width: float) -> LogChange:
        """The same with an interval of at least this half width."""
        low, high = min(self.low, self.estimate - half_width), max(self.high, self.estimate + half_width)
        return replace(self, low=low, high=high)


def compute_change(
    base: Sequence[RunStatistic], run: Sequence[RunStatistic], alpha: float, rng: np.random.Generator
) -> LogChange:
    """The change between two sides of at least one run each.

    One run a side: a bootstrap over blocks of time. The same two or more seeds on both sides: Student's t over seeds, of
    differences of each seed's mean logarithm. Else over runs: Welch's t, or with a single run on one side Student's t that
    takes its noise to be the other side's.
    """
    if len(base) == len(run) == 1:
        return _over_blocks(base[0], run[0], alpha, rng)
    if len({seen.seed for seen in base}) > 1 and {seen.seed for seen in base} == {seen.seed for seen in run}:
        return _over_seeds(base, run, alpha)
    return _over_runs(base, run, alpha)


def geometric_mean(values: Sequence[float]) -> float:
    """The mean that differences of logarithms belong to.

    >>> geometric_mean([1.0, 4.0]), geometric_mean([0.0, 4.0])
    (2.0, 0.0)
    """
    if 0.0 in values:
        return 0.0
    if len(values) == 1:
        return values[0]
    return math.exp(sum(map(math.log, values)) / len(values))


def _over_blocks(base: RunStatistic, run: RunStatistic, alpha: float, rng: np.random.Generator) -> LogChange:
    paired = base.plan == run.plan and base.statistic.units == run.statistic.units
    found = bootstrap_change(base.statistic, run.statistic, paired=paired, rng=rng)
    if found is None:
        estimate = log_ratio(base.statistic.value(), run.statistic.value())
        few = f"fewer than {MIN_UNITS} stations: no interval"
        return LogChange(estimate, -math.inf, math.inf, "", few, f"{few}; compare more runs, or larger ones")
    low, high = found.interval(alpha)
    together = "the same of both runs" if paired else "of each run by itself"
    text = f"{found.blocks} blocks of {found.block_units:.1f} neighbours in time, {together}"
    vague = ""
    if low != high and max(found.log_ratio - low, high - found.log_ratio) > _UNINFORMATIVE_LOG:
        vague = _why_uninformative(found, base.statistic, alpha)
    return LogChange(found.log_ratio, low, high, "blocks of time", text, vague)


def _why_uninformative(found: BootstrapResult, statistic: Statistic, alpha: float) -> str:
    """Why one pair of runs can't tell how much has changed, and how many stations could, in words."""
    if isinstance(statistic, RateStatistic):  # no number of stations mends that: it ends with one of them
        return (
            f"{found.blocks} blocks that wait together, and when the last station is done, differ too much for an interval: "
            "compare more runs a side"
        )
    enough = found.units_for(alpha, _UNINFORMATIVE_LOG)
    if enough is None and isinstance(statistic, QuantileStatistic):
        return (
            "an interval can't leave out that it never arrives: compare a lower percentile, more stations, or more runs"
        )
    if enough is None:
        return "an interval can't leave out that it is nothing at all: compare more stations, or more runs"
    stations = round(found.blocks * found.block_units)
    return (
        f"{stations} stations are too few for an interval: they make {found.blocks} blocks of about {found.block_units:.0f} that "
        f"wait together; it needs at least {enough:,} stations, or more runs a side"
    )


def _over_seeds(base: Sequence[RunStatistic], run: Sequence[RunStatistic], alpha: float) -> LogChange:
    seeds = sorted({seen.seed for seen in base})
    logs = np.array([_logs(run, seed).mean() - _logs(base, seed).mean() for seed in seeds])
    if not np.isfinite(logs).all():
        return _without_bounds(logs, "pairs of seeds")
    error = float(logs.std(ddof=1)) / math.sqrt(len(logs))
    text = f"{len(seeds)} seeds, {len(base)} runs against {len(run)}"
    return _student(float(logs.mean()), error, len(logs) - 1, alpha, "pairs of seeds", text)


def _over_runs(base: Sequence[RunStatistic], run: Sequence[RunStatistic], alpha: float) -> LogChange:
    before, after = _logs(base), _logs(run)
    n, m = len(before), len(after)
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        return _without_bounds(np.subtract.outer(after, before).ravel(), "runs")
    text = f"{n} {'run' if n == 1 else 'runs'} against {m}"
    if min(n, m) == 1:
        freedom = float(n + m - 2)
        pooled = float(((before - before.mean()) ** 2).sum() + ((after - after.mean()) ** 2).sum()) / freedom
        error = math.sqrt(pooled * (1 / n + 1 / m))
    else:
        parts = float(before.var(ddof=1)) / n, float(after.var(ddof=1)) / m
        error = math.sqrt(sum(parts))
        freedom = sum(parts) ** 2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1)) if error else n + m - 2
    return _student(float(after.mean() - before.mean()), error, freedom, alpha, "runs", text)


def _student(estimate: float, error: float, freedom: float, alpha: float, how: IntervalMethod, text: str) -> LogChange:
    half = student_t(freedom, 1 - alpha / 2) * error
    vague = (
        f"{text}: too few for how much they differ; five a side are a good number" if half > _UNINFORMATIVE_LOG else ""
    )
    return LogChange(estimate, estimate - half, estimate + half, how, text, vague)


def _without_bounds(logs: FloatArray, how: IntervalMethod) -> LogChange:
    """Where a figure is 0 or never in some runs: certain only if it is so in all of one side and none of the other."""
    with np.errstate(invalid="ignore"):
        same = float(logs[0]) if (logs == logs[0]).all() else math.nan
    if math.isinf(same):
        return LogChange(same, same, same, how, "all runs agree")
    why = "it is nothing or without end in some of the runs"
    return LogChange(0.0, -math.inf, math.inf, how, why, f"{why}: compare a lower percentile, or more runs")


def _logs(side: Sequence[RunStatistic], seed: int | None = None) -> FloatArray:
    values = [seen.statistic.value() for seen in side if seed is None or seen.seed == seed]
    with np.errstate(divide="ignore"):
        logs: FloatArray = np.log(np.array(values))
        return logs
