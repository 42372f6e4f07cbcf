"""When stations turn up: the tables under arrivals. harness/plan/ draws by them."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, model_validator

from mock_server.profile.units import Duration, DurationDistribution, FrozenModel, Probability

NonNegative = Annotated[float, Field(ge=0)]


def _list_as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


class BurstOptions(FrozenModel):
    """How unevenly the stations of one kelurahan turn up: their rate is multiplied by a gamma AR(1) process."""

    cv: Annotated[float, Field(gt=0, le=10)]
    """Standard deviation of the factor; its mean is 1."""
    correlation: Annotated[Duration, Field(gt=0)]
    """Time after which the factor's autocorrelation is down to 1/e."""
    step: Annotated[Duration, Field(gt=0)] = 1.0
    """How long the factor stays the same."""


class _BurstyArrivals(FrozenModel):
    burst: BurstOptions | None = None
    """Makes the rate of each kelurahan uneven in its own way; the same for all if left out."""


class _TimedArrivals(FrozenModel):
    start: Duration = 0.0
    """When the first station may turn up."""
    over: Annotated[Duration, Field(gt=0)]
    """How long it takes until all have turned up."""


class ConstantArrivals(_TimedArrivals):
    """Stations turn up one after another in equal steps."""

    kind: Literal["constant"]


class PoissonArrivals(_TimedArrivals, _BurstyArrivals):
    """Stations turn up independently of each other: exponential gaps with mean over ÷ stations."""

    kind: Literal["poisson"]


class SurgeArrivals(_TimedArrivals, _BurstyArrivals):
    """All stations turn up at random moments of a short window."""

    kind: Literal["surge"]


class RampArrivals(_TimedArrivals, _BurstyArrivals):
    """The rate grows (or falls) in a straight line. Only the ratio of `first` to `last` counts: the stations are given."""

    kind: Literal["ramp"]
    first: NonNegative = 0.0
    """Rate at the beginning, relative to `last`."""
    last: NonNegative = 1.0
    """Rate at the end, relative to `first`."""

    @model_validator(mode="after")
    def _anyone_comes(self) -> Self:
        if self.first == self.last == 0:
            message = "first and last must not both be 0: nobody would turn up"
            raise ValueError(message)
        return self


Step = Annotated[tuple[Duration, NonNegative], BeforeValidator(_list_as_tuple)]


class StepArrivals(_BurstyArrivals):
    """The rate is constant from step to step."""

    kind: Literal["steps"]
    rates: Annotated[tuple[Step, ...], BeforeValidator(_list_as_tuple), Field(min_length=2)]
    """[moment, rate from then on]; only the rates' ratios count; the last rate is 0: the end."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        times, rates = zip(*self.rates, strict=True)
        if not all(a < b for a, b in pairwise(times)) or rates[-1] != 0 or sum(rates) == 0:
            message = "rates must rise in time, hold a rate above 0, and end with a rate of 0"
            raise ValueError(message)
        return self


class DeadlineRushArrivals(_BurstyArrivals):
    """Ever more stations turn up as the end draws near: the hazard is proportional to 1/(until - t)."""

    kind: Literal["deadline_rush"]
    start: Duration = 0.0
    """When the first station may turn up."""
    until: Annotated[Duration, Field(gt=0)]
    """The end that everyone waits for."""
    cut_off: Annotated[Duration, Field(gt=0)]
    """So long before `until` the last station has turned up: the hazard is without bounds there."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.cut_off >= self.until - self.start:
            message = (
                f"cut_off ({self.cut_off:g}s) must be shorter than from start to until ({self.until - self.start:g}s)"
            )
            raise ValueError(message)
        return self


Point = Annotated[tuple[Duration, Probability], BeforeValidator(_list_as_tuple)]


class CurveArrivals(_BurstyArrivals):
    """Stations turn up along a piecewise-linear cumulative curve."""

    kind: Literal["curve"]
    points: Annotated[tuple[Point, ...], BeforeValidator(_list_as_tuple), Field(min_length=2)]
    """[moment, share of all stations that have turned up by then]; rising, from 0 to 1."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        times, shares = zip(*self.points, strict=True)
        rising = all(a < b for a, b in pairwise(times))
        if not rising or list(shares) != sorted(shares) or shares[0] != 0 or shares[-1] != 1:
            message = "points must rise in time, and in share from 0 to 1"
            raise ValueError(message)
        return self


class ReplayArrivals(FrozenModel):
    """Every station turns up when it did in an earlier run."""

    kind: Literal["replay"]
    run: str = ""
    """Folder of the earlier run: in the scenario's own folder or below; anywhere if it is set on the command line."""
    due: Annotated[dict[str, NonNegative], Field(min_length=1)] | None = None
    """Station code -> seconds: what is taken from the run's plan, so that run.json alone tells the whole scenario."""

    @model_validator(mode="after")
    def _names_a_source(self) -> Self:
        if not self.run and self.due is None:
            message = "run is missing: name the folder of an earlier run"
            raise ValueError(message)
        return self


class ClosedArrivals(FrozenModel):
    """A fixed number of phones, each going round: a station's pages, a pause to think, the next station's pages."""

    kind: Literal["closed"]
    phones: Annotated[int, Field(ge=1)]
    """How many there are: no more stations than these are ever at it at once, however slow the server is."""
    think: DurationDistribution
    """Pause between the end of a phone's station and its next; also before its first."""
    start: Duration = 0.0
    """When the phones begin, each with a pause."""


DrawnArrivals = PoissonArrivals | SurgeArrivals | RampArrivals | StepArrivals | DeadlineRushArrivals | CurveArrivals
OpenArrivals = ConstantArrivals | DrawnArrivals | ReplayArrivals
ArrivalsConfig = OpenArrivals | ClosedArrivals
Arrivals = Annotated[ArrivalsConfig, Discriminator("kind")]
