"""The change of one figure between two sides, with its interval: over blocks of time, pairs of seeds, or runs. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.figures.resampling import FEWEST_UNITS, Statistic, log_ratio, resample
from harness.figures.student import student_t
from harness.judge.comparison import How

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Seen:
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
    how: How
    drawn_from: str

    def at_least(self, half_width: float) -> LogChange:
        """The same with an interval of at least this half width."""
        low, high = min(self.low, self.estimate - half_width), max(self.high, self.estimate + half_width)
        return LogChange(self.estimate, low, high, self.how, self.drawn_from)


def change(base: Sequence[Seen], run: Sequence[Seen], alpha: float, rng: np.random.Generator) -> LogChange:
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


def _over_blocks(base: Seen, run: Seen, alpha: float, rng: np.random.Generator) -> LogChange:
    paired = base.plan == run.plan and base.statistic.units == run.statistic.units
    found = resample(base.statistic, run.statistic, paired=paired, rng=rng)
    if found is None:
        estimate = log_ratio(base.statistic.value(), run.statistic.value())
        few = f"fewer than {FEWEST_UNITS} stations: no interval"
        return LogChange(estimate, -math.inf, math.inf, "", few)
    low, high = found.interval(alpha)
    together = "the same of both runs" if paired else "of each run by itself"
    text = f"{found.blocks} blocks of {found.block_units:.1f} neighbours in time, {together}"
    return LogChange(found.log_ratio, low, high, "blocks of time", text)


def _over_seeds(base: Sequence[Seen], run: Sequence[Seen], alpha: float) -> LogChange:
    seeds = sorted({seen.seed for seen in base})
    logs = np.array([_logs(run, seed).mean() - _logs(base, seed).mean() for seed in seeds])
    if not np.isfinite(logs).all():
        return _without_bounds(logs, "pairs of seeds")
    error = float(logs.std(ddof=1)) / math.sqrt(len(logs))
    text = f"{len(seeds)} seeds, {len(base)} runs against {len(run)}"
    return _student(float(logs.mean()), error, len(logs) - 1, alpha, "pairs of seeds", text)


def _over_runs(base: Sequence[Seen], run: Sequence[Seen], alpha: float) -> LogChange:
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


def _student(estimate: float, error: float, freedom: float, alpha: float, how: How, text: str) -> LogChange:
    half = student_t(freedom, 1 - alpha / 2) * error
    return LogChange(estimate, estimate - half, estimate + half, how, text)


def _without_bounds(logs: FloatArray, how: How) -> LogChange:
    """Where a figure is 0 or never in some runs: certain only if it is so in all of one side and none of the other."""
    with np.errstate(invalid="ignore"):
        same = float(logs[0]) if (logs == logs[0]).all() else math.nan
    if math.isinf(same):
        return LogChange(same, same, same, how, "all runs agree")
    return LogChange(0.0, -math.inf, math.inf, how, "it is nothing or without end in some of the runs")


def _logs(side: Sequence[Seen], seed: int | None = None) -> FloatArray:
    values = [seen.statistic.value() for seen in side if seed is None or seen.seed == seed]
    with np.errstate(divide="ignore"):
        logs: FloatArray = np.log(np.array(values))
        return logs
