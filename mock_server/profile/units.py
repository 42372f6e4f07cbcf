"""Quantities with units, and the distributions drawn from them.

Pure: no clock, no random generator. A duration is seconds, a size is bytes, a rate is bytes per second, a ratio is
a float (1.0 = 100 %). In files they are text with a unit ("150ms", "1.6MB", "8Mbit/s", "95%"), so that no key needs a
suffix and no reader has to guess. A value is serialised with its unit, so that it can be read again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from statistics import NormalDist
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, PlainSerializer, Tag, WithJsonSchema

_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_QUANTITY = re.compile(rf"^\s*({_NUMBER})\s*([A-Za-z%/]*)\s*$")
_DURATIONS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_RATES = {
    "bit/s": 0.125, "kbit/s": 125.0, "Mbit/s": 125e3, "Gbit/s": 125e6,
    "B/s": 1.0, "KB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9,
}  # fmt: skip
_EVENT_RATES = {"/s": 1.0, "/min": 1 / 60, "/h": 1 / 3600}
_NORMAL = NormalDist()
NANOSECONDS = 9
"""Decimals of a drawn time, see `whole_nanoseconds`."""


def _parse(text: object, units: Mapping[str, float], what: str, examples: str) -> float:
    match = _QUANTITY.match(text) if isinstance(text, str) else None
    if match is None or match[2] not in units:
        message = f"is not a {what}: write a number and a unit, as in {examples}"
        raise ValueError(message)
    number = float(match[1])
    if math.isfinite(number):  # in decimal, because 144 * 0.001 is not 0.144 in floats
        number = float(Decimal(match[1]) * Decimal(str(units[match[2]])))
    if not math.isfinite(number):
        message = f"is too large for a {what}"
        raise ValueError(message)
    return number


def duration_s(value: object) -> float:
    """Seconds in a text such as "150ms" or "1h".

    Raises ValueError for anything without a unit (a bare number could be seconds or milliseconds).

    >>> duration_s("150ms"), duration_s("2m")
    (0.15, 120.0)
    """
    return _parse(value, _DURATIONS, "duration", '"150ms", "10s", "2m", "1h"')


def size_bytes(value: object) -> int:
    """Bytes in a text such as "1.6MB" (decimal) or "64KiB" (binary).

    >>> size_bytes("1.6MB"), size_bytes("64KiB")
    (1600000, 65536)
    """
    return round(_parse(value, _SIZES, "size", '"500KB", "1.6MB", "64KiB"'))


def rate_bytes_per_s(value: object) -> float:
    """Bytes per second in a text such as "8Mbit/s" or "1MB/s".

    >>> rate_bytes_per_s("8Mbit/s")
    1000000.0
    """
    return _parse(value, _RATES, "rate", '"8Mbit/s", "500KB/s"')


def events_per_s(value: object) -> float:
    """Events per second in a text such as "50/s" or "3000/min".

    >>> events_per_s("50/s"), events_per_s("3000/min")
    (50.0, 50.0)
    """
    return _parse(value, _EVENT_RATES, "rate of events", '"50/s", "3000/min"')


def ratio(value: object) -> float:
    """The ratio in a text such as "95%", or in a plain number.

    >>> ratio("95%"), ratio(0.2)
    (0.95, 0.2)
    """
    if isinstance(value, str):
        number = _parse(value, {"%": 1.0, "": 1.0}, "ratio", '"95%" or 0.95')
        return number / 100 if "%" in value else number  # because 95 * 0.01 is not 0.95 in floats
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        message = 'is not a ratio: write "95%" or 0.95'
        raise ValueError(message)
    return float(value)


def whole_nanoseconds(seconds: float) -> float:
    """The time, rounded to nanoseconds.

    Drawn times are, so that the last bit of exp() and log(), which differs between C libraries, changes nothing that
    follows.

    >>> whole_nanoseconds(0.3), whole_nanoseconds(0.12345678949)
    (0.3, 0.123456789)
    """
    return round(seconds, NANOSECONDS)


def whole_retry_after_s(seconds: float) -> int:
    """What Retry-After says for a pause: whole seconds, at least one (RFC 9110, 10.2.3).

    >>> whole_retry_after_s(0.2), whole_retry_after_s(1.2)
    (1, 2)
    """
    return max(1, math.ceil(seconds))


def _with_unit(unit: str) -> PlainSerializer:
    def write(value: float) -> str:
        return f"{int(value) if float(value).is_integer() else value!r}{unit}"

    return PlainSerializer(write, return_type=str)


def _text_schema(units: Mapping[str, float], *examples: str) -> dict[str, Any]:
    """JSON Schema of the text that a quantity is written as; a bound on its number can't be expressed on a text."""
    alternatives = "|".join(re.escape(unit) for unit in units)
    return {"type": "string", "pattern": rf"^\s*{_NUMBER}\s*({alternatives})\s*$", "examples": list(examples)}


def _ratio_schema(**bounds: int) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "number", **bounds}, _text_schema({"%": 1.0, "": 1.0}, "95%")]})


Duration = Annotated[
    float, BeforeValidator(duration_s), _with_unit("s"), WithJsonSchema(_text_schema(_DURATIONS, "150ms", "10s", "2m"))
]
Size = Annotated[
    int, BeforeValidator(size_bytes), _with_unit("B"), WithJsonSchema(_text_schema(_SIZES, "500KB", "1.6MB", "64KiB"))
]
Rate = Annotated[
    float,
    BeforeValidator(rate_bytes_per_s),
    _with_unit("B/s"),
    WithJsonSchema(_text_schema(_RATES, "8Mbit/s", "500KB/s")),
]
EventRate = Annotated[
    float,
    BeforeValidator(events_per_s),
    _with_unit("/s"),
    WithJsonSchema(_text_schema(_EVENT_RATES, "50/s", "3000/min")),
]
Ratio = Annotated[float, BeforeValidator(ratio), Field(ge=0), _ratio_schema(minimum=0)]
Probability = Annotated[float, BeforeValidator(ratio), Field(ge=0, le=1), _ratio_schema(minimum=0, maximum=1)]


class FrozenModel(BaseModel):
    """Base of every model that is read from a file: immutable, strictly typed, and an unknown key is an error."""

    # A process uses few of the models that it imports: a validator is built at its first use.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


U = TypeVar("U")


class _BoundedDistribution(FrozenModel, Generic[U]):
    max: U | None = None
    """Larger values are cut to this one."""

    def _raw(self, p: float) -> float:
        raise AssertionError(p)

    def quantile(self, p: float) -> float:
        """The value below which a share `p` (0 < p < 1) of draws lies; pass a uniform random number to draw.

        Drawing by quantile keeps common random numbers: the same uniform number gives the same rank in every variant
        of an experiment.
        """
        value = self._raw(p)
        return min(value, self._max)

    def sampler(self) -> Callable[[float], float]:
        """The same function as `quantile`, with its parameters looked up once: for millions of draws."""
        return self.quantile

    @property
    def _max(self) -> float:
        return math.inf if self.max is None else float(self.max)  # type: ignore[arg-type]

    def expected_value(self) -> float:
        """The mean of draws, values above `max` cut to it (the limited expected value)."""
        raise AssertionError


class Fixed(_BoundedDistribution[U], Generic[U]):
    """Always the same value."""

    distribution: Literal["fixed"] = "fixed"
    value: U

    def _raw(self, p: float) -> float:  # noqa: ARG002
        return float(self.value)  # type: ignore[arg-type]

    def expected_value(self) -> float:
        """The value itself."""
        return self.quantile(0.5)


class Uniform(_BoundedDistribution[U], Generic[U]):
    """Equally likely anywhere between `low` and `high`."""

    distribution: Literal["uniform"] = "uniform"
    low: U
    high: U

    def _raw(self, p: float) -> float:
        low, high = float(self.low), float(self.high)  # type: ignore[arg-type]
        return low + p * (high - low)

    def expected_value(self) -> float:
        """The middle; less if `max` lies below `high`."""
        low, high = sorted((float(self.low), float(self.high)))  # type: ignore[arg-type]
        if self._max >= high:
            return (low + high) / 2
        if self._max <= low:
            return self._max
        below = (self._max - low) / (high - low)
        return below * (low + self._max) / 2 + (1 - below) * self._max


class Exponential(_BoundedDistribution[U], Generic[U]):
    """Memoryless, with the given mean."""

    distribution: Literal["exponential"] = "exponential"
    mean: U

    def _raw(self, p: float) -> float:
        return -float(self.mean) * math.log1p(-p)  # type: ignore[arg-type]

    def expected_value(self) -> float:
        """`mean`, or less with a `max`: the integral of the survival function up to it."""
        mean = float(self.mean)  # type: ignore[arg-type]
        return -mean * math.expm1(-self._max / mean) if mean > 0 else 0.0


class Lognormal(_BoundedDistribution[U], Generic[U]):
    """exp(Normal(log(median), sigma)), as service times and photo sizes are distributed."""

    distribution: Literal["lognormal"] = "lognormal"
    median: U
    sigma: Annotated[float, Field(ge=0)] = 0.5

    def _raw(self, p: float) -> float:
        return float(self.median) * math.exp(self.sigma * _NORMAL.inv_cdf(p))  # type: ignore[arg-type]

    def sampler(self) -> Callable[[float], float]:
        """The same function as `quantile`."""
        median, sigma, limit = float(self.median), self.sigma, self._max  # type: ignore[arg-type]
        exp, inv_cdf = math.exp, _NORMAL.inv_cdf
        return lambda p: min(median * exp(sigma * inv_cdf(p)), limit)

    def expected_value(self) -> float:
        """Median · exp(sigma²/2), or less with a `max`: m·e^(s²/2)·Φ((ln(M/m) - s²)/s) + M·(1 - Φ(ln(M/m)/s))."""
        median = float(self.median)  # type: ignore[arg-type]
        whole = median * math.exp(self.sigma**2 / 2)
        if self.sigma == 0 or median == 0 or self._max in {0.0, math.inf}:
            return min(whole, self._max)
        cut = math.log(self._max / median) / self.sigma
        return whole * _NORMAL.cdf(cut - self.sigma) + self._max * (1 - _NORMAL.cdf(cut))


def _kind_of(value: object) -> str | None:
    if isinstance(value, dict):
        return str(value.get("distribution"))
    return getattr(value, "distribution", None)


def _text_as_fixed(value: object) -> object:
    return {"distribution": "fixed", "value": value} if isinstance(value, str) else value


def _distribution_of(unit: Any) -> Any:
    union = (
        Annotated[Fixed[unit], Tag("fixed")]
        | Annotated[Uniform[unit], Tag("uniform")]
        | Annotated[Exponential[unit], Tag("exponential")]
        | Annotated[Lognormal[unit], Tag("lognormal")]
    )
    tagged = Annotated[union, Discriminator(_kind_of)]
    return Annotated[tagged, BeforeValidator(_text_as_fixed, json_schema_input_type=unit | tagged)]


AnyDistribution = Fixed[Any] | Uniform[Any] | Exponential[Any] | Lognormal[Any]
DurationDistribution = _distribution_of(Duration)
SizeDistribution = _distribution_of(Size)
RateDistribution = _distribution_of(Rate)


def lognormal_duration(median: str, sigma: float) -> Lognormal[Duration]:
    """A lognormal duration, for a default in code.

    >>> lognormal_duration("150ms", 0.5).quantile(0.5)
    0.15
    """
    return Lognormal[Duration].model_validate({"median": median, "sigma": sigma})
