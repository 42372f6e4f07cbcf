"""A scenario file -> one frozen, validated Scenario. Nothing is started before this has succeeded.

The sections [server] and [[faults]] are the mock server's own vocabulary (mock_server.profile).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, ValidationError, model_validator

from harness.errors import ConfigurationError, UsageError
from mock_server.problems import explain, suggestion
from mock_server.profile import AnyFault, ServerProfile
from mock_server.units import Duration, Frozen, Lognormal, Probability, Size, SizeDistribution

PAGES_OF_FORM = {"ppwp": 3, "pdpr": 18, "pdpd": 8, "pdprdp": 17, "pdprdk": 17}
"""Pages a form has. Only PPWP's three are published; the others are assumptions (docs/domain.md)."""

REGIONS = ("kaliwates", "jember", "provinces")
SCENARIO_FOLDER = resources.files("harness") / "scenarios"


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


class Stations(Frozen):
    """Which stations take part, and what each has to send."""

    region: str = "kaliwates"
    """A shipped region (kaliwates, jember, provinces) or a CSV file beside the scenario: code,name,stations."""
    count: Annotated[int, Field(ge=1)] | None = None
    """Only so many stations, spread evenly over the region; all of them if left out."""
    forms: Annotated[
        tuple[Literal["ppwp", "pdpr", "pdpd", "pdprdp", "pdprdk"], ...], BeforeValidator(_listed), Field(min_length=1)
    ] = ("ppwp",)


def _median_photo() -> Lognormal[Size]:
    return Lognormal[Size].model_validate({"median": "1.6MB", "sigma": 0.2, "max": "4MB"})


class Photos(Frozen):
    """The photos: a bank of shared bodies in the sizes of the distribution, each page with a tail of its own."""

    size: SizeDistribution = Field(default_factory=_median_photo)
    bank: Annotated[int, Field(ge=1, le=64)] = 8
    """How many different bodies there are."""


class _Window(Frozen):
    start: Duration = 0.0
    """When the first station may turn up."""
    over: Annotated[Duration, Field(gt=0)]
    """How long it takes until all have turned up."""


class Constant(_Window):
    """Stations turn up one after another in equal steps."""

    kind: Literal["constant"]


class Poisson(_Window):
    """Stations turn up independently of each other: exponential gaps with mean over ÷ stations."""

    kind: Literal["poisson"]


class Surge(_Window):
    """All stations turn up at random moments of a short window."""

    kind: Literal["surge"]


def _point(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Point = Annotated[tuple[Duration, Probability], BeforeValidator(_point)]


class Curve(Frozen):
    """Stations turn up along a piecewise-linear cumulative curve."""

    kind: Literal["curve"]
    points: Annotated[tuple[Point, ...], BeforeValidator(_listed), Field(min_length=2)]
    """[moment, share of all stations that have turned up by then]; rising, from 0 to 1."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        times, shares = zip(*self.points, strict=True)
        rising = all(a < b for a, b in zip(times, times[1:], strict=False))
        if not rising or list(shares) != sorted(shares) or shares[0] != 0 or shares[-1] != 1:
            message = "points must rise in time, and in share from 0 to 1"
            raise ValueError(message)
        return self


Arrivals = Annotated[Constant | Poisson | Surge | Curve, Discriminator("kind")]


class _Backoff(Frozen):
    max_attempts: Annotated[int, Field(ge=1)] | None = None
    """After so many attempts a page is given up; without it only the deadline ends the trying."""
    honour_retry_after: bool = True
    """Wait max(Retry-After, backoff) + U(0, Retry-After) where the server asks for it."""
    idempotency_key: bool = True
    """Send the page's key and digest, so that a repeated upload can be recognised."""


class NoRetry(_Backoff):
    """One attempt a page."""

    strategy: Literal["none"] = "none"


class FixedRetry(_Backoff):
    """A constant pause between attempts."""

    strategy: Literal["fixed"]
    base: Annotated[Duration, Field(gt=0)] = 1.0
    """The pause."""


class ExponentialRetry(_Backoff):
    """min(cap, base·2^n), n from 0."""

    strategy: Literal["exponential"]
    base: Annotated[Duration, Field(gt=0)] = 1.0
    cap: Annotated[Duration, Field(gt=0)] = 30.0


class FullJitterRetry(ExponentialRetry):
    """U(0, min(cap, base·2^n)), n from 0."""

    strategy: Literal["full_jitter"]  # type: ignore[assignment]


Retry = Annotated[NoRetry | FixedRetry | ExponentialRetry | FullJitterRetry, Discriminator("strategy")]


class Client(Frozen):
    """What an officer's phone does."""

    protocol: Literal["multipart"] = "multipart"
    connection: Literal["new", "each", "reuse"] = "new"
    """new: a connection a station; each: a connection an attempt; reuse: a pool shared by the worker's stations."""
    timeout: Annotated[Duration, Field(gt=0)] = 10.0
    """How long an attempt may take from connecting to the whole answer."""
    connect_timeout: Annotated[Duration, Field(gt=0)] | None = None
    """How long connecting may take; `timeout` if left out."""
    retry: Retry = Field(default_factory=lambda: FullJitterRetry(strategy="full_jitter"))
    max_in_flight: Annotated[int, Field(ge=1)] = 20_000
    """Stations of one worker that may be at it at once. More are a generator_error, never the server's fault."""
    source_addresses: Annotated[int, Field(ge=1, le=250)] = 1
    """Loopback addresses to connect from (127.0.0.1 and up): each has its own ports."""


class Threshold(Frozen):
    """A condition that the run must meet."""

    assertion: str = Field(alias="assert", serialization_alias="assert")


class Scenario(Frozen):
    """One load test: who uploads what, when, to which server, with which faults, and what must hold."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    title: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    deadline: Annotated[Duration, Field(gt=0)]
    """When the last attempt may start."""
    time_scale: Annotated[float, Field(gt=0)] = 1.0
    """Election seconds per test second: for labels only."""
    warm_up: Annotated[Duration, Field(ge=0)] = 0.0
    """Attempts due before this are kept in the rows and left out of the figures."""
    stations: Stations = Field(default_factory=Stations)
    photos: Photos = Field(default_factory=Photos)
    arrivals: Arrivals
    client: Client = Field(default_factory=Client)
    server: ServerProfile = Field(default_factory=ServerProfile)
    faults: Annotated[tuple[AnyFault, ...], BeforeValidator(_listed)] = ()
    thresholds: Annotated[tuple[Threshold, ...], BeforeValidator(_listed)] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [fault.name for fault in self.faults]
        for name in names:
            if names.count(name) > 1:
                message = f'two faults are named "{name}": each needs a name of its own'
                raise ValueError(message)
        if self.warm_up >= self.deadline:
            message = f"warm_up ({self.warm_up:g}s) must be shorter than the deadline ({self.deadline:g}s)"
            raise ValueError(message)
        return self

    def resolved(self) -> dict[str, Any]:
        """Every key with its value and unit, as run.json keeps it; `from_resolved` reads it back."""
        return self.model_dump(mode="json", by_alias=True)


def from_resolved(content: dict[str, Any]) -> Scenario:
    """The scenario that `Scenario.resolved` wrote."""
    return Scenario.model_validate(content)


def shipped() -> dict[str, str]:
    """Name -> title of every scenario that comes with the package."""
    found = {}
    for entry in sorted(SCENARIO_FOLDER.iterdir(), key=lambda path: path.name):
        if entry.name.endswith(".toml"):
            found[entry.name.removesuffix(".toml")] = str(tomllib.loads(entry.read_text("utf-8")).get("title", ""))
    return found


def load(source: str, overrides: Sequence[str] = (), seed: int | None = None) -> Scenario:
    """The scenario of a shipped name or a file's path, with `--set` overrides ("client.retry.strategy=none").

    Raises ConfigurationError with every problem of the file, or UsageError where there is no such scenario.
    """
    label, text, folder = _read(source)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(label, [f"is not TOML: {error}"]) from None
    for override in overrides:
        _override(content, override)
    if seed is not None:
        content["seed"] = seed
    return _validated(label, content, folder)


def _read(source: str) -> tuple[str, str, Path | None]:
    names = shipped()
    if source in names:
        return f"{source} (shipped)", (SCENARIO_FOLDER / f"{source}.toml").read_text("utf-8"), None
    path = Path(source)
    if not path.is_file():
        near = suggestion(source, names) or f"; shipped are {', '.join(names)}, or give a path to a .toml file"
        message = f'there is no scenario "{source}"{near}'
        raise UsageError(message)
    try:
        return source, path.read_text("utf-8"), path.parent
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(source, [f"can't be read: {error}"]) from None


def _validated(label: str, content: dict[str, Any], folder: Path | None) -> Scenario:
    try:
        scenario = Scenario.model_validate(content)
    except ValidationError as error:
        raise ConfigurationError(label, explain(error, Scenario, content)) from None
    region = scenario.stations.region
    if region in REGIONS:
        return scenario
    if not region.endswith(".csv"):
        near = suggestion(region, REGIONS) or f"; shipped are {', '.join(REGIONS)}, or name a .csv file"
        raise ConfigurationError(label, [f'stations.region = "{region}" is not a region{near}'])
    file = (folder or Path.cwd()) / region
    if not file.is_file():
        raise ConfigurationError(label, [f'stations.region = "{region}": there is no file {file}'])
    stations = scenario.stations.model_copy(update={"region": str(file.resolve())})
    return scenario.model_copy(update={"stations": stations})


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigurationError("--set", [f'"{override}" should be KEY=VALUE, as in client.retry.strategy=none'])
    *path, last = key.strip().split(".")
    place: Any = content
    for part in path:
        place = _inside(place, part, override)
    if isinstance(place, list):
        index = _index(place, last, override)
        place[index] = _value(text)
    else:
        place[last] = _value(text)


def _inside(place: Any, part: str, override: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, part, override)]
    inner = place.setdefault(part, {})
    if not isinstance(inner, dict | list):
        raise ConfigurationError("--set", [f'"{override}": {part} is {inner!r}, not a table'])
    return inner


def _index(place: Sequence[Any], part: str, override: str) -> int:
    names = [
        str(item.get("name", number)) if isinstance(item, dict) else str(number) for number, item in enumerate(place)
    ]
    numbers: Iterable[str] = [str(number) for number in range(len(place))]
    if part in names:
        return names.index(part)
    if part in numbers:
        return int(part)
    raise ConfigurationError("--set", [f'"{override}": "{part}" is none of {", ".join(names) or "an empty list"}'])


def _value(text: str) -> Any:
    """A TOML value where it is one, else plain text (so that quotes needn't be quoted for the shell)."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
