"""Whether a server sustains a load: pure, over when stations arrived and when they were complete.

Above its capacity a server's response times depend on how long one looks, so they cannot tell. What is in flight can: it grows
for as long as more arrives than is completed. So its slope decides, with its confidence interval, and Little's law (L = λW: what
is in flight equals the arrival rate times the time in the system) shows whether the time looked at was long enough to be steady.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.stats import t as student

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

SustainedState = Literal["sustained", "grows", "undecided"]

GROWTH_RATIO = 0.025
"""What is in flight counts as growing from this part of the arrivals on: half of the width to which a rate is found."""
LITTLE_RATIO = 0.05
"""How far L and λW may lie apart for the load to count as steady."""
_WARM_UP_RATIO = 0.2
"""The first part of the time, in which what is in flight grows from nothing."""
_BATCHES = 10
_CONFIDENCE = 0.95
_FEWEST = 10
"""Fewer stations than this decide nothing."""


@dataclass(frozen=True, slots=True)
class Sustained:
    """What the stations of one level show."""

    state: SustainedState
    why: str
    """What decided it, as the end of a sentence."""
    arrivals_per_s: float
    """Stations that arrived per second of the time that was looked at."""
    in_flight: float
    """Stations that had arrived and were not complete: the mean over that time."""
    growth_per_s: float
    growth_low: float
    growth_high: float
    """Slope of what is in flight, in stations per second, with its 95 % confidence interval."""
    little_ratio: float | None
    """L ÷ λW; 1 if the load is steady. None if nothing arrived."""


def judge_sustained(arrived_s: FloatArray, completed_s: FloatArray, end_s: float) -> Sustained:
    """Whether the stations that arrive until `end_s` are completed as fast as they arrive.

    `completed_s` is infinite for a station that never was. Shapes (stations,). The slope is that of the means of ten batches of
    the time, whose residuals depend less on each other than those of moments would.
    """
    begin_s = _WARM_UP_RATIO * end_s
    inside = (arrived_s >= begin_s) & (arrived_s < end_s)
    span_s = end_s - begin_s
    rate = float(np.count_nonzero(inside)) / span_s
    means = _batch_means(arrived_s, completed_s, begin_s, end_s)
    slope, margin = _slope(means, span_s / _BATCHES)
    in_flight = float(means.mean())
    # a station that was not complete has been in the system at least until the end
    stayed_s = float((np.minimum(completed_s, end_s) - arrived_s)[inside].sum())
    little = in_flight * span_s / stayed_s if stayed_s > 0 else None
    per_arrival = 1 / max(rate, 1e-9)
    late, _ = _slope(means[_BATCHES // 2 :], span_s / _BATCHES)
    # what is in flight also grows while the first stations are still on their way, but not for long
    quickest_s = float((completed_s - arrived_s).min(initial=np.inf))
    is_filling = quickest_s > begin_s or late * per_arrival <= GROWTH_RATIO
    state, why = _decide(
        int(np.count_nonzero(inside)), slope * per_arrival, margin * per_arrival, little, is_filling=is_filling
    )
    return Sustained(state, why, rate, in_flight, slope, slope - margin, slope + margin, little)


def _decide(
    stations: int, growth: float, margin: float, little: float | None, *, is_filling: bool
) -> tuple[SustainedState, str]:
    """The state, by the slope as a part of what arrives."""
    if stations < _FEWEST or little is None:
        return "undecided", f"only {stations} stations arrived"
    if growth - margin > GROWTH_RATIO and not is_filling:
        return "grows", f"of 100 stations that arrive {100 * growth:.0f} are left over"
    if growth + margin > GROWTH_RATIO:
        return "undecided", "the time was too short to tell whether what is in flight grows"
    if abs(little - 1) > LITTLE_RATIO:
        return "undecided", f"L is {little:.2f} of λW: the time was too short for a steady state"
    return "sustained", "what is in flight does not grow"


def _batch_means(arrived_s: FloatArray, completed_s: FloatArray, begin_s: float, end_s: float) -> FloatArray:
    """The mean number in flight in each batch of the time, exactly: the time that all spend in it, by its length."""
    edges = np.linspace(begin_s, end_s, _BATCHES + 1)
    # ∫ over (-∞, edge] of what is in flight, for every edge
    spent = [
        float((np.minimum(completed_s, edge) - arrived_s)[arrived_s < edge].clip(min=0).sum())
        for edge in edges.tolist()
    ]
    means: FloatArray = np.diff(np.asarray(spent, dtype=np.float64)) / np.diff(edges)
    return means


def _slope(means: FloatArray, step_s: float) -> tuple[float, float]:
    """The least-squares slope of the means per second, and half of its confidence interval."""
    times = step_s * (np.arange(len(means)) - (len(means) - 1) / 2)
    weight = float((times**2).sum())
    slope = float((times * means).sum()) / weight
    residuals = means - means.mean() - slope * times
    free = len(means) - 2
    error = float(np.sqrt((residuals**2).sum() / free / weight))
    return slope, float(student.ppf((1 + _CONFIDENCE) / 2, free)) * error


class _SustainedModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class SustainedLevel(_SustainedModel):
    """One rate that was tried on a target."""

    pages_per_s: float
    """What was offered."""
    seconds: float
    """How long, in the run that decided."""
    state: SustainedState
    why: str
    growth_ratio: float | None
    """Of what arrives, the part by which what is in flight grows; with its 95 % confidence interval. None without a valid run."""
    growth_low: float | None
    growth_high: float | None
    little_ratio: float | None
    in_flight: float | None
    """Stations, on average."""
    p95_delivery_s: float | None
    """Of the decided run; null if too few pages came through, or too many did not."""
    runs: list[str]
    """Names of its run folders below runs/."""


class SustainedFigures(_SustainedModel):
    """The content of sustained.json."""

    format: int = 1
    """Version of the file format: raised by a change that breaks readers, not by a new key."""
    name: str
    title: str
    target: str
    asks_per_s: float
    """Pages per second of the plan's busiest time."""
    asks_window_s: float
    """Length of that time: a minute, or less if all stations arrive within less."""
    bears_per_s: float | None
    """The greatest rate that was sustained; None if none was."""
    fails_per_s: float | None
    """The least rate above it that was not; None if none was tried."""
    limit: str
    """Why no greater rate was tried, if none failed and the search came to its end; empty otherwise."""
    levels: list[SustainedLevel]
    """In ascending order."""
    exit_code: int
    why_unknown: str = ""
    """Why nobody can tell (exit code 3); empty otherwise."""
