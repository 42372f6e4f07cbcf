"""When stations arrive: the kinds of the table [arrivals]. harness/plan/ draws the due times."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, model_validator

from harness.base.safe_files import LIST_AS_TUPLE
from mock_server.profile.units import Duration, DurationDistribution, EventRate, FrozenModel, Probability

NonNegative = Annotated[float, Field(ge=0)]


class BurstOptions(FrozenModel):
    """Bursts: the arrival rate of each kelurahan is multiplied by a gamma AR(1) process of its own."""

    cv: Annotated[float, Field(gt=0, le=10)]
    """Standard deviation of the factor; its mean is 1."""
    correlation: Annotated[Duration, Field(gt=0)]
    """Time after which the factor's autocorrelation is down to 1/e."""
    step: Annotated[Duration, Field(gt=0)] = 1.0
    """How long the factor stays constant."""


class _BurstyArrivals(FrozenModel):
    burst: BurstOptions | None = None
    """Bursts in each kelurahan; none if left out."""


class _TimedArrivals(FrozenModel):
    start: Duration = 0.0
    """When the first station may arrive."""
    over: Annotated[Duration, Field(gt=0)]
    """How long it takes until all have arrived."""


class _RatedArrivals(_TimedArrivals):
    rate: Annotated[EventRate, Field(gt=0, le=100_000)] | None = None
    """How many stations arrive per unit of time, as in "10/s", for the time `over`. Left out: all stations, or stations.count."""

    @model_validator(mode="after")
    def _has_stations(self) -> Self:
        if self.rated_stations == 0:
            message = f"rate ({self.rate:g}/s) over {self.over:g}s is less than one station"
            raise ValueError(message)
        return self

    @property
    def rated_stations(self) -> int | None:
        """How many stations arrive by the rate; None without one."""
        return None if self.rate is None else round(self.rate * self.over)

    def gap_s(self, stations: int) -> float:
        """Mean time between two arrivals."""
        return self.over / stations if self.rate is None else 1 / self.rate


class ConstantArrivals(_RatedArrivals):
    """Stations arrive one after another at equal intervals."""

    kind: Literal["constant"]


class PoissonArrivals(_RatedArrivals, _BurstyArrivals):
    """Stations arrive independently of each other: exponential gaps with mean 1 ÷ rate, or over ÷ stations."""

    kind: Literal["poisson"]


class SurgeArrivals(_TimedArrivals, _BurstyArrivals):
    """All stations arrive at random moments of a short window."""

    kind: Literal["surge"]


class RampArrivals(_TimedArrivals, _BurstyArrivals):
    """The rate rises (or falls) linearly. Only the ratio of `first` to `last` matters, as the number of stations is given."""

    kind: Literal["ramp"]
    first: NonNegative = 0.0
    """Rate at the beginning, relative to `last`."""
    last: NonNegative = 1.0
    """Rate at the end, relative to `first`."""

    @model_validator(mode="after")
    def _has_arrivals(self) -> Self:
        if self.first == self.last == 0:
            message = "first and last must not both be 0: no station would arrive"
            raise ValueError(message)
        return self


Step = Annotated[tuple[Duration, NonNegative], LIST_AS_TUPLE]


class StepArrivals(_BurstyArrivals):
    """The rate is constant within each step."""

    kind: Literal["steps"]
    rates: Annotated[tuple[Step, ...], LIST_AS_TUPLE, Field(min_length=2)]
    """[time, rate from then on]; only the ratios of the rates matter; the last rate is 0 and marks the end."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        times, rates = zip(*self.rates, strict=True)
        if not all(a < b for a, b in pairwise(times)) or rates[-1] != 0 or sum(rates) == 0:
            message = "rates must be in the order of time, have a rate above 0, and end with a rate of 0"
            raise ValueError(message)
        return self


class DeadlineRushArrivals(_BurstyArrivals):
    """The rate rises towards a deadline: it is proportional to 1/(until - t)."""

    kind: Literal["deadline_rush"]
    start: Duration = 0.0
    """When the first station may arrive."""
    until: Annotated[Duration, Field(gt=0)]
    """The deadline."""
    cut_off: Annotated[Duration, Field(gt=0)]
    """How long before `until` the last station arrives: at `until` the rate would be infinite."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.cut_off >= self.until - self.start:
            message = f"cut_off ({self.cut_off:g}s) must be shorter than the time from start to until ({self.until - self.start:g}s)"
            raise ValueError(message)
        return self


Point = Annotated[tuple[Duration, Probability], LIST_AS_TUPLE]


class CurveArrivals(_BurstyArrivals):
    """Stations arrive along a piecewise-linear cumulative curve."""

    kind: Literal["curve"]
    points: Annotated[tuple[Point, ...], LIST_AS_TUPLE, Field(min_length=2)]
    """[time, share of all stations that have arrived by then]; ascending, from 0 to 1."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        times, shares = zip(*self.points, strict=True)
        rising = all(a < b for a, b in pairwise(times))
        if not rising or list(shares) != sorted(shares) or shares[0] != 0 or shares[-1] != 1:
            message = "points must be in the order of time, with shares ascending from 0 to 1"
            raise ValueError(message)
        return self


class ReplayArrivals(FrozenModel):
    """Every station arrives when it did in an earlier run."""

    kind: Literal["replay"]
    run: str = ""
    """Folder of the earlier run, in the scenario's own folder or below; anywhere if set on the command line."""
    due: Annotated[dict[str, NonNegative], Field(min_length=1)] | None = None
    """Station code -> seconds, taken from the earlier run's plan, so that run.json contains the whole scenario."""

    @model_validator(mode="after")
    def _names_a_source(self) -> Self:
        if not self.run and self.due is None:
            message = "run is missing: name the folder of an earlier run"
            raise ValueError(message)
        return self


class ListedArrivals(FrozenModel):
    """Every station arrives when the list of stations says (stations.due): an arrival list of your own, replayed."""

    kind: Literal["listed"]
    start: Duration = 0.0
    """When the list begins."""
    speed: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    """How many times faster than listed: 60 plays an hour in a minute."""


class ClosedArrivals(FrozenModel):
    """A closed loop: a fixed number of phones, each of which uploads a station's pages, pauses, and takes the next station."""

    kind: Literal["closed"]
    phones: Annotated[int, Field(ge=1)]
    """Number of phones: never more stations than this are active at once, however slow the server is."""
    think: DurationDistribution
    """Pause between a phone's stations; also before its first."""
    start: Duration = 0.0
    """When the phones start, each with a pause."""


DrawnArrivals = PoissonArrivals | SurgeArrivals | RampArrivals | StepArrivals | DeadlineRushArrivals | CurveArrivals
OpenArrivals = ConstantArrivals | DrawnArrivals | ReplayArrivals | ListedArrivals
ArrivalsConfig = OpenArrivals | ClosedArrivals
Arrivals = Annotated[ArrivalsConfig, Discriminator("kind")]
