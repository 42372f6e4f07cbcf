"""One figure of both sides: its change, held against its tolerance. Pure.

It passes where the whole interval of the change is within the tolerance, fails where the whole interval is beyond it, and
is inconclusive else: too few data to tell is neither a pass nor a fail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.bootstrap import Statistic
from harness.analysis.comparable import COMPARABLE_FIGURES, ComparableFigure, MissingFigure
from harness.judge.compare.change import LogChange, RunStatistic, compute_change, geometric_mean
from harness.judge.compare.noise import FigureNoise, Noise
from harness.judge.compare.results import FigureComparison, FigureVerdict, RelativeChange, format_percent
from harness.judge.compare.run import ComparedRun
from harness.judge.compare.tolerances import Tolerances

_SEED = 20_240_214
"""The bootstrap's: the same runs give the same comparison."""
_LARGEST_LOG = 700.0


@dataclass(frozen=True, slots=True)
class Sides:
    """Base and run, at least one run each."""

    base: Sequence[ComparedRun]
    run: Sequence[ComparedRun]

    @property
    def runs(self) -> list[ComparedRun]:
        """All of them."""
        return [*self.base, *self.run]


def why_missing(key: str, sides: Sides) -> str | None:
    """Why a figure can't be compared, in words; None where it can."""
    for name, side in (("base", sides.base), ("run", sides.run)):
        for one in side:
            found = one.figures[key]
            if isinstance(found, MissingFigure):
                return f"{name}: {found.reason}"
    if _never_arrives(key, sides):
        return "it never arrived on either side: compare a lower percentile, or completion"
    return None


def compare_figure(
    key: str, sides: Sides, tolerances: Tolerances, noise: Noise | None, alpha: float
) -> FigureComparison:
    """One figure of both sides, judged if it has a tolerance; `alpha` is the chance that its interval misses the truth."""
    figure, tolerance = COMPARABLE_FIGURES[key], tolerances.of(key)
    known = noise.figures.get(key) if noise is not None else None
    detectable = None if known is None else known.detectable(alpha, len(sides.base), len(sides.run))
    absent, found = why_missing(key, sides), None
    if absent is None:
        found = _found(key, sides, known, alpha)
        verdict, reason = _judged(figure, found, tolerance, detectable)
    else:
        verdict, reason = _absent(key, sides, tolerances), absent
    return FigureComparison(
        key=key,
        unit=figure.unit,
        better=figure.better,
        base=_value(sides.base, key),
        run=_value(sides.run, key),
        change=None if found is None else _relative(found),
        tolerance=tolerance,
        detectable=detectable,
        verdict=verdict,
        reason=reason,
    )


def relative_change(log: float) -> float:
    """A relative change from its logarithm: 0.2 is 20 % more; infinite at infinity."""
    return math.expm1(log) if log < _LARGEST_LOG else math.inf


def _found(key: str, sides: Sides, known: FigureNoise | None, alpha: float) -> LogChange:
    base, run = _seen(sides.base, key), _seen(sides.run, key)
    found = compute_change(base, run, alpha, np.random.default_rng(_SEED))
    return found if known is None else found.at_least(known.half_width(alpha, len(base), len(run)))


def _judged(
    figure: ComparableFigure, found: LogChange, tolerance: float | None, detectable: float | None
) -> tuple[FigureVerdict, str]:
    if tolerance is None:
        return "not judged", found.vague
    sign = 1 if figure.better == "lower" else -1
    least, most = sorted((sign * relative_change(found.low), sign * relative_change(found.high)))
    allowed = format_percent(tolerance)
    if least > tolerance:
        return "fail", f"worse by more than {allowed}"
    if detectable is not None and detectable > tolerance:
        return "inconclusive", (
            f"the tolerance of {allowed} is tighter than this machine can see: {format_percent(detectable)}, as calibrated; "
            "allow more, compare more runs, or calibrate with more"
        )
    if most <= tolerance:
        return "pass", found.vague
    return "inconclusive", found.vague or f"by more than {allowed} or not: more runs, or longer ones, would tell"


def _absent(key: str, sides: Sides, tolerances: Tolerances) -> FigureVerdict:
    """What a figure that is not there means: nothing, where no run of this scenario could have it and nobody asked."""
    if tolerances.of(key) is None:
        return "not judged"
    nobody_has = all(isinstance(one.figures[key], MissingFigure) for one in sides.runs) or _never_arrives(key, sides)
    return "not compared" if nobody_has and key not in tolerances.by_key else "inconclusive"


def _never_arrives(key: str, sides: Sides) -> bool:
    found = [one.figures[key] for one in sides.runs]
    return all(not isinstance(statistic, MissingFigure) and math.isinf(statistic.value()) for statistic in found)


def _seen(side: Sequence[ComparedRun], key: str) -> list[RunStatistic]:
    return [RunStatistic(one.record.seed, one.plan, _statistic(one, key)) for one in side]


def _statistic(one: ComparedRun, key: str) -> Statistic:
    found = one.figures[key]
    if isinstance(found, MissingFigure):
        raise TypeError(key)
    return found


def _value(side: Sequence[ComparedRun], key: str) -> float | None:
    found = [one.figures[key] for one in side]
    values = [statistic.value() for statistic in found if not isinstance(statistic, MissingFigure)]
    if len(values) < len(found) or not all(map(math.isfinite, values)):
        return None
    return geometric_mean(values)


def _relative(found: LogChange) -> RelativeChange:
    estimate, low, high = (relative_change(log) for log in (found.estimate, found.low, found.high))
    return RelativeChange(
        change=_finite(estimate),
        low=None if found.low == -math.inf else _finite(low),
        high=_finite(high),
        how=found.how,
        drawn_from=found.drawn_from,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
