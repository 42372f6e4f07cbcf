"""What many seeds of one scenario have in common: bands of the key figures, and how likely each threshold holds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import betaincinv

from harness.analysis.run_figures import FIGURES, RunFigures

BAND = (0.05, 0.95)
"""The middle 90 % of the seeds."""
_TAIL = 0.025


class _SeedsModel(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class FigureBand(_SeedsModel):
    """One key figure over the seeds; None stands for a value that never came."""

    median: float | None
    low: float | None
    """5 % of the seeds are below."""
    high: float | None
    """5 % of the seeds are above."""
    never: int
    """Seeds in which there is no such value: it never happened, or there are too few samples."""


class ThresholdOdds(_SeedsModel):
    """How often a threshold held."""

    assertion: str
    held: int
    seeds: int
    low: float
    high: float
    """95 % interval of the probability that it holds (Clopper-Pearson)."""

    @property
    def ratio(self) -> float:
        """Share of the seeds in which it held."""
        return self.held / self.seeds


class SeedsFigures(_SeedsModel):
    """The content of seeds.json."""

    format: int = 1
    name: str
    title: str
    seeds: list[int]
    deadline_s: float
    time_scale: float
    figures: dict[str, FigureBand]
    """By the keys of `run_figures.FIGURES`."""
    thresholds: list[ThresholdOdds]
    verdicts: dict[str, int]
    """Seeds by verdict."""
    unsafe: int
    """Seeds in which the audit found the server unsafe."""
    runs: list[RunFigures]


def summarise_seeds(
    runs: Sequence[RunFigures], *, name: str, title: str, deadline_s: float, time_scale: float
) -> SeedsFigures:  # fmt: skip
    """The figures of at least one run, each with another seed."""
    assertions = [threshold.assertion for threshold in runs[0].thresholds]
    held = {one: sum(run.thresholds[place].passed for run in runs) for place, one in enumerate(assertions)}
    words = [run.verdict for run in runs]
    return SeedsFigures(
        name=name,
        title=title,
        seeds=[run.seed for run in runs],
        deadline_s=deadline_s,
        time_scale=time_scale,
        figures={key: compute_band([run.values[key] for run in runs]) for key in FIGURES},
        thresholds=[make_odds(one, held[one], len(runs)) for one in assertions],
        verdicts={word: words.count(word) for word in ("pass", "fail", "invalid")},
        unsafe=sum(run.safety is False for run in runs),
        runs=list(runs),
    )


def compute_band(values: Sequence[float | None]) -> FigureBand:
    """Median and middle 90 %: values that occurred, the nearest ones by rank. What never came counts as infinite.

    >>> compute_band([1.0, 2.0, None]).median
    2.0
    """
    known = np.sort([math.inf if value is None else value for value in values])
    low, median, high = (float(np.quantile(known, at, method="inverted_cdf")) for at in (BAND[0], 0.5, BAND[1]))
    never = sum(value is None for value in values)
    return FigureBand(median=_finite(median), low=_finite(low), high=_finite(high), never=never)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def make_odds(assertion: str, held: int, seeds: int) -> ThresholdOdds:
    """How likely a threshold holds that held in `held` of `seeds` runs.

    >>> round(make_odds("x < 1", 29, 29).low, 3)
    0.881
    """
    low = float(betaincinv(held, seeds - held + 1, _TAIL)) if held else 0.0
    high = float(betaincinv(held + 1, seeds - held, 1 - _TAIL)) if held < seeds else 1.0
    return ThresholdOdds(assertion=assertion, held=held, seeds=seeds, low=low, high=high)
