"""One figure of both sides: its change against its tolerance, and how much worse each figure may be. Pure.

A figure passes if the whole interval of its change is within the tolerance, fails if the whole interval is beyond it, and is
inconclusive otherwise: too little data to decide is neither a pass nor a fail.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.analysis.bootstrap import Statistic
from harness.analysis.comparable import (
    COMPARABLE_FIGURES,
    JUDGED_FIGURES,
    SHOWN_FIGURES,
    ComparableFigure,
    MissingFigure,
)
from harness.base.errors import UsageError
from harness.judge.compare.change import LogChange, RunStatistic, compute_change, geometric_mean
from harness.judge.compare.noise import FigureNoise, Noise
from harness.judge.compare.results import FigureComparison, FigureVerdict, RelativeChange, format_percent
from harness.judge.compare.run import ComparedRun
from harness.judge.thresholds.units import parse_limit
from mock_server.profile.validation_messages import suggestion

DEFAULT_TOLERANCE = 0.05
RECOMMENDED_RUNS = 5
"""Runs per side that are a good number: fewer are weak evidence."""

_SEED = 20_240_214
"""Seed of the bootstrap, so that the same runs always give the same comparison."""
_MAX_LOG = 700.0
"""expm1 overflows a little above this."""


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How much worse a figure may be, relative to the base: 0.05 is 5 %."""

    default: float = DEFAULT_TOLERANCE
    by_key: Mapping[str, float] = field(default_factory=dict)

    @property
    def judged(self) -> list[str]:
        """The figures that are judged: the default ones, and those that were given a tolerance of their own."""
        return list(dict.fromkeys([*JUDGED_FIGURES, *self.by_key]))

    @property
    def shown(self) -> list[str]:
        """The figures that are judged, then those that are only shown."""
        return list(dict.fromkeys([*self.judged, *SHOWN_FIGURES]))

    def of(self, key: str) -> float | None:
        """The tolerance of a figure; None if it is not judged."""
        return self.by_key.get(key, self.default) if key in self.judged else None


def parse_tolerances(texts: Sequence[str]) -> Tolerances:
    """Tolerances as given on the command line: "5%" for all figures, "response_seconds.p95=10%" for one.

    Raises UsageError for a text that is not a ratio, or names no comparable figure; the message lists what is allowed.

    >>> parse_tolerances(["10%", "attempts.amplification=1%"]).of("attempts.amplification")
    0.01
    """
    default, by_key = DEFAULT_TOLERANCE, {}
    for text in texts:
        key, equals, value = text.rpartition("=")
        if equals and key not in COMPARABLE_FIGURES:
            near = suggestion(key, list(COMPARABLE_FIGURES)) or f"; available: {', '.join(COMPARABLE_FIGURES)}"
            message = f'--tolerance "{text}": {key} is not a figure that can be compared{near}'
            raise UsageError(message)
        if equals:
            by_key[key] = _parse_ratio(text, value)
        else:
            default = _parse_ratio(text, value)
    return Tolerances(default, by_key)


def _parse_ratio(text: str, value: str) -> float:
    try:
        tolerance = parse_limit(value.strip(), "ratio")
    except ValueError as error:
        message = f'--tolerance "{text}": {error}'
        raise UsageError(message) from None
    if tolerance < 0:
        message = f'--tolerance "{text}" must not be negative: it is how much worse a figure may be'
        raise UsageError(message)
    return tolerance


@dataclass(frozen=True, slots=True)
class Sides:
    """Base and run, with at least one run each."""

    base: Sequence[ComparedRun]
    run: Sequence[ComparedRun]

    @property
    def runs(self) -> list[ComparedRun]:
        """The runs of both sides."""
        return [*self.base, *self.run]


def figure_name(key: str) -> str:
    """A figure as it is called in a sentence.

    >>> figure_name("delivery_seconds.p50"), figure_name("stations.completed_by_deadline_ratio")
    ('delivery p50', 'stations complete by the deadline')
    """
    known = {
        "rates.goodput_per_s": "goodput",
        "attempts.amplification": "amplification",
        "attempts.resent_ratio": "the share of bytes sent again",
        "stations.completed_ratio": "stations complete",
        "stations.completed_by_deadline_ratio": "stations complete by the deadline",
    }
    sample, _, name = key.partition(".")
    return known.get(key) or f"{sample.removesuffix('_seconds')} {name.replace('_', '.')}"


def why_missing(key: str, sides: Sides) -> str | None:
    """Why a figure cannot be compared; None if it can."""
    for name, side in (("base", sides.base), ("run", sides.run)):
        for one in side:
            found = one.figures[key]
            if isinstance(found, MissingFigure):
                return f"{name}: {found.reason}"
    if _never_arrives(key, sides):
        return "it is infinite on both sides, because too many pages were never acknowledged: compare a lower percentile, or completion"
    return None


def compare_figure(
    key: str, sides: Sides, tolerances: Tolerances, noise: Noise | None, alpha: float
) -> FigureComparison:
    """One figure of both sides, judged if it has a tolerance; `alpha` is the chance that its interval misses the truth."""
    figure, tolerance = COMPARABLE_FIGURES[key], tolerances.of(key)
    known = noise.figures.get(key) if noise is not None else None
    detectable = None if known is None else known.detectable(alpha, len(sides.base), len(sides.run))
    absent, change = why_missing(key, sides), None
    if absent is None:
        change = _compute_change(key, sides, known, alpha)
        verdict, reason = _judge_change(figure, change, tolerance, detectable, alpha)
    else:
        verdict, reason = _judge_absence(key, sides, tolerances), absent
    return FigureComparison(
        key=key,
        unit=figure.unit,
        better=figure.better,
        base=_mean_value(sides.base, key),
        run=_mean_value(sides.run, key),
        change=None if change is None else _to_relative(change),
        tolerance=tolerance,
        detectable=detectable,
        verdict=verdict,
        reason=reason,
    )


def relative_change(log: float) -> float:
    """A relative change from its logarithm: 0.2 is 20 % more; infinite at infinity."""
    return math.expm1(log) if log < _MAX_LOG else math.inf


def _compute_change(key: str, sides: Sides, known: FigureNoise | None, alpha: float) -> LogChange:
    base, run = _statistics(sides.base, key), _statistics(sides.run, key)
    found = compute_change(base, run, alpha, np.random.default_rng(_SEED))
    # The runs at hand may happen to agree more than this machine ever does: its known noise is the least interval.
    return found if known is None else found.at_least(known.half_width(alpha, len(base), len(run)))


def _judge_change(
    figure: ComparableFigure, change: LogChange, tolerance: float | None, detectable: float | None, alpha: float
) -> tuple[FigureVerdict, str]:
    if tolerance is None:
        return "not judged", change.uninformative
    sign = 1 if figure.better == "lower" else -1
    least, most = sorted((sign * relative_change(change.low), sign * relative_change(change.high)))
    allowed = format_percent(tolerance)
    if least > tolerance:
        return "fail", f"worse by more than {allowed}"
    if detectable is not None and detectable > tolerance:
        return "inconclusive", (
            f"the tolerance of {allowed} is less than this machine can detect: {format_percent(detectable)}, as calibrated; "
            "allow more, compare more runs, or calibrate with more runs"
        )
    if most <= tolerance:
        return "pass", change.uninformative
    return "inconclusive", change.uninformative or _what_it_takes(change, tolerance, alpha)


def _what_it_takes(change: LogChange, tolerance: float, alpha: float) -> str:
    """Why a tolerance can't be judged by this interval, and about what would decide it if nothing has changed."""
    undecided = f"it may or may not be worse by more than {format_percent(tolerance)}: to tell, compare"
    needed = None
    if change.bootstrap is not None and tolerance > 0:
        needed = change.bootstrap.units_needed(alpha, math.log1p(tolerance))
    if needed is None:
        return f"{undecided} about {_runs_needed(change, tolerance)} runs per side"
    return f"{undecided} five runs per side, or runs of about {needed:,} stations like these (harness run regression is made for it)"


def _runs_needed(change: LogChange, tolerance: float) -> int:
    """About how many runs per side would narrow an interval to the tolerance: its width falls with the root of their number."""
    half = (change.high - change.low) / 2
    if change.runs == 1 or tolerance <= 0 or not math.isfinite(half):
        return RECOMMENDED_RUNS
    needed = change.runs * (half / math.log1p(tolerance)) ** 2
    return max(RECOMMENDED_RUNS, change.runs + 1, math.ceil(needed))


def _judge_absence(key: str, sides: Sides, tolerances: Tolerances) -> FigureVerdict:
    """The verdict on a missing figure: no reason to doubt if no run of this scenario can have it and nobody asked for it."""
    if tolerances.of(key) is None:
        return "not judged"
    all_lack_it = all(isinstance(one.figures[key], MissingFigure) for one in sides.runs) or _never_arrives(key, sides)
    return "not compared" if all_lack_it and key not in tolerances.by_key else "inconclusive"


def _never_arrives(key: str, sides: Sides) -> bool:
    found = [one.figures[key] for one in sides.runs]
    return all(not isinstance(statistic, MissingFigure) and math.isinf(statistic.value()) for statistic in found)


def _statistics(side: Sequence[ComparedRun], key: str) -> list[RunStatistic]:
    return [RunStatistic(one.record.seed, one.arrivals, _statistic(one, key)) for one in side]


def _statistic(one: ComparedRun, key: str) -> Statistic:
    found = one.figures[key]
    if isinstance(found, MissingFigure):
        raise TypeError(key)
    return found


def _mean_value(side: Sequence[ComparedRun], key: str) -> float | None:
    found = [one.figures[key] for one in side]
    values = [statistic.value() for statistic in found if not isinstance(statistic, MissingFigure)]
    if len(values) < len(found) or not all(map(math.isfinite, values)):
        return None
    return geometric_mean(values)


def _to_relative(found: LogChange) -> RelativeChange:
    estimate, low, high = (relative_change(log) for log in (found.estimate, found.low, found.high))
    return RelativeChange(
        change=_finite(estimate),
        low=None if found.low == -math.inf else _finite(low),  # -100 % would read like a bound
        high=_finite(high),
        how=found.how,
        drawn_from=found.drawn_from,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
