"""The change of one figure between two sides, with an interval over blocks of time, pairs of seeds, or runs. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.bootstrap import (
    MIN_UNITS,
    BootstrapResult,
    Statistic,
    bootstrap_change,
    log_ratio,
    student_t,
)
from harness.analysis.comparable import QuantileStatistic, RateStatistic
from harness.judge.compare.results import UNINFORMATIVE_FACTOR, IntervalMethod

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

_UNINFORMATIVE_LOG = math.log(UNINFORMATIVE_FACTOR)


@dataclass(frozen=True, slots=True)
class RunStatistic:
    """A figure of one run."""

    seed: int
    arrivals: str
    """Digest of who arrived when; runs of equal arrivals are resampled together."""
    statistic: Statistic


@dataclass(frozen=True, slots=True)
class LogChange:
    """The logarithm of run ÷ base, with bounds that miss it with probability alpha; an infinite bound means none."""

    estimate: float
    low: float
    high: float
    how: IntervalMethod
    drawn_from: str
    uninformative: str = ""
    """Why a bound is missing or too far off to say anything, and what it would take; empty if neither is the case."""
    bootstrap: BootstrapResult | None = None
    """What the interval of a pair of runs was drawn from, if more stations would narrow it."""
    runs: int = 1
    """Runs of the smaller side."""

    def at_least(self, half_width: float) -> LogChange:
        """The same with an interval of at least this half width."""
        low, high = min(self.low, self.estimate - half_width), max(self.high, self.estimate + half_width)
        return replace(self, low=low, high=high)


def compute_change(
    base: Sequence[RunStatistic], run: Sequence[RunStatistic], alpha: float, rng: np.random.Generator
) -> LogChange:
    """The change between two sides of at least one run each.

    One run per side: a bootstrap over blocks of time. The same two or more seeds on both sides: Student's t over seeds, of
    the differences between each seed's mean logarithms. Otherwise over runs: Welch's t; or, with a single run on one side,
    Student's t that takes that run to be as noisy as the others.
    """
    if len(base) == len(run) == 1:
        return _over_blocks(base[0], run[0], alpha, rng)
    seeds = {one.seed for one in base}
    if len(seeds) > 1 and seeds == {one.seed for one in run}:
        return replace(_over_seeds(base, run, alpha), runs=min(len(base), len(run)))
    return replace(_over_runs(base, run, alpha), runs=min(len(base), len(run)))


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean: the mean whose ratios belong to differences of mean logarithms.

    >>> geometric_mean([1.0, 4.0]), geometric_mean([0.0, 4.0])
    (2.0, 0.0)
    """
    if 0.0 in values:
        return 0.0
    if len(values) == 1:
        return values[0]  # exp(log(x)) is not always x
    return math.exp(sum(map(math.log, values)) / len(values))


def _over_blocks(base: RunStatistic, run: RunStatistic, alpha: float, rng: np.random.Generator) -> LogChange:
    paired = base.arrivals == run.arrivals and base.statistic.units == run.statistic.units
    found = bootstrap_change(base.statistic, run.statistic, paired=paired, rng=rng)
    if found is None:
        estimate = log_ratio(base.statistic.value(), run.statistic.value())
        few = f"fewer than {MIN_UNITS} stations: no interval"
        return LogChange(estimate, -math.inf, math.inf, "", few, f"{few}; compare more runs, or larger ones")
    low, high = found.interval(alpha)
    together = "the same blocks of both runs" if paired else "each run by itself"
    drawn_from = f"{found.blocks} blocks of {found.block_units:.1f} consecutive stations, {together}"
    uninformative = ""
    if low != high and max(found.log_ratio - low, high - found.log_ratio) > _UNINFORMATIVE_LOG:
        uninformative = _why_uninformative(found, base.statistic, alpha)
    # a rate ends with a single station, however many there are
    narrowing = None if isinstance(base.statistic, RateStatistic) else found
    return LogChange(found.log_ratio, low, high, "blocks of time", drawn_from, uninformative, narrowing)


def _why_uninformative(found: BootstrapResult, statistic: Statistic, alpha: float) -> str:
    """Why one pair of runs cannot show how much has changed, and how many stations could."""
    if isinstance(statistic, RateStatistic):  # more stations do not help: the run still ends with a single one of them
        return (
            f"{found.blocks} blocks of stations that queue together, and the time at which the last station is done, vary "
            "too much for an interval: compare more runs per side"
        )
    enough = found.units_needed(alpha, _UNINFORMATIVE_LOG)
    if enough is None and isinstance(statistic, QuantileStatistic):
        return "an interval can't rule out that it is infinite: compare a lower percentile, more stations, or more runs"
    if enough is None:
        return "an interval can't rule out that it is 0: compare more stations, or more runs"
    stations = round(found.blocks * found.block_units)
    return (
        f"{stations} stations are too few for an interval: they form {found.blocks} blocks of about "
        f"{found.block_units:.0f} that queue together; it takes at least {enough:,} stations, or more runs per side"
    )


def _over_seeds(base: Sequence[RunStatistic], run: Sequence[RunStatistic], alpha: float) -> LogChange:
    seeds = sorted({one.seed for one in base})
    logs = np.array([_logs(run, seed).mean() - _logs(base, seed).mean() for seed in seeds])
    if not np.isfinite(logs).all():
        return _without_bounds(logs, "pairs of seeds")
    error = float(logs.std(ddof=1)) / math.sqrt(len(logs))
    drawn_from = f"{len(seeds)} seeds, {len(base)} runs against {len(run)}"
    return _with_student_t(float(logs.mean()), error, len(logs) - 1, alpha, "pairs of seeds", drawn_from)


def _over_runs(base: Sequence[RunStatistic], run: Sequence[RunStatistic], alpha: float) -> LogChange:
    before, after = _logs(base), _logs(run)
    n, m = len(before), len(after)
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        return _without_bounds(np.subtract.outer(after, before).ravel(), "runs")
    drawn_from = f"{n} {'run' if n == 1 else 'runs'} against {m}"
    if min(n, m) == 1:
        # A single run has no variance of its own, so the other side's is used for both.
        freedom = float(n + m - 2)
        pooled = float(((before - before.mean()) ** 2).sum() + ((after - after.mean()) ** 2).sum()) / freedom
        error = math.sqrt(pooled * (1 / n + 1 / m))
    else:
        # Welch: standard error and degrees of freedom (Welch-Satterthwaite) without assuming equal variances.
        parts = float(before.var(ddof=1)) / n, float(after.var(ddof=1)) / m
        error = math.sqrt(sum(parts))
        freedom = sum(parts) ** 2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1)) if error else n + m - 2
    return _with_student_t(float(after.mean() - before.mean()), error, freedom, alpha, "runs", drawn_from)


def _with_student_t(
    estimate: float, error: float, freedom: float, alpha: float, how: IntervalMethod, drawn_from: str
) -> LogChange:
    half = student_t(freedom, 1 - alpha / 2) * error
    few = f"{drawn_from}: too few for how much they differ; five per side are a good number"
    uninformative = few if half > _UNINFORMATIVE_LOG else ""
    return LogChange(estimate, estimate - half, estimate + half, how, drawn_from, uninformative)


def _without_bounds(logs: FloatArray, how: IntervalMethod) -> LogChange:
    """The change if a figure is 0 or infinite in some runs: certain only if all of one side and none of the other agree."""
    with np.errstate(invalid="ignore"):
        same = float(logs[0]) if (logs == logs[0]).all() else math.nan
    if math.isinf(same):
        return LogChange(same, same, same, how, "all runs agree")
    why = "it is 0 or infinite in some of the runs"
    return LogChange(0.0, -math.inf, math.inf, how, why, f"{why}: compare a lower percentile, or more runs")


def _logs(side: Sequence[RunStatistic], seed: int | None = None) -> FloatArray:
    values = [one.statistic.value() for one in side if seed is None or one.seed == seed]
    with np.errstate(divide="ignore"):
        logs: FloatArray = np.log(np.array(values))
        return logs
