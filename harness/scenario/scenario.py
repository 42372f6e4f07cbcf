"""What a scenario is: frozen, validated tables. scenario_files.py reads them from a file.

The sections [server] and [[faults]] are the mock server's own vocabulary (mock_server.profile.profile).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from harness.scenario.arrivals import Arrivals
from harness.scenario.link import LinkChoice
from harness.scenario.protocol import TlsOptions, TusOptions
from harness.scenario.retry import FullJitterRetry, Retry
from harness.scenario.target import TargetApi
from mock_server.faults.registry import AnyFault, check_distinct_names
from mock_server.profile.server_profile import ServerProfile
from mock_server.profile.units import Duration, FrozenModel, Lognormal, Size, SizeDistribution

PAGES_OF_FORM = {"ppwp": 3, "pdpr": 18, "pdpd": 8, "pdprdp": 17, "pdprdk": 17}
"""Pages a form has. Only PPWP's three are published; the others are assumptions (docs/explanation/domain.md)."""

REGIONS = ("kaliwates", "jember", "provinces")


def _check_printable(text: str) -> str:
    if not text.isprintable():
        message = "should be one line without control characters"
        raise ValueError(message)
    return text


def _list_as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


class StationOptions(FrozenModel):
    """Which stations take part, and what each has to send."""

    region: str = "kaliwates"
    """A shipped region (kaliwates, jember, provinces) or a CSV file beside the scenario: code,name,stations."""
    count: Annotated[int, Field(ge=1)] | None = None
    """Only so many stations, spread evenly over the region; all of them if left out."""
    forms: Annotated[
        tuple[Literal["ppwp", "pdpr", "pdpd", "pdprdp", "pdprdk"], ...],
        BeforeValidator(_list_as_tuple),
        Field(min_length=1),
    ] = ("ppwp",)
    """What each station has to send: ppwp has 3 pages, pdpr 18, pdpd 8, pdprdp 17, pdprdk 17 (all but ppwp's are assumed)."""


def _median_photo() -> Lognormal[Size]:
    return Lognormal[Size].model_validate({"median": "1.6MB", "sigma": 0.2, "max": "4MB"})


class PhotoOptions(FrozenModel):
    """The photos: a bank of shared bodies in the sizes of the distribution, each page with a tail of its own."""

    size: SizeDistribution = Field(default_factory=_median_photo)
    """How large they are: real JPEGs, at least 1 KB."""
    bank: Annotated[int, Field(ge=1, le=64)] = 8
    """How many different bodies there are."""


class ClientOptions(FrozenModel):
    """What an officer's phone does."""

    protocol: Literal["multipart", "put", "tus"] = "multipart"
    """multipart: a form a page; put: the photo alone; tus: resumable."""
    tus: TusOptions | None = None
    """How resumable uploads are made; only with protocol = "tus"."""
    tls: TlsOptions = Field(default_factory=TlsOptions)
    """Where the server speaks TLS."""
    connection: Literal["new", "each", "reuse"] = "new"
    """new: a connection a station; each: a connection an attempt; reuse: a pool shared by the worker's stations."""
    timeout: Annotated[Duration, Field(gt=0)] = 10.0
    """How long an attempt may take from connecting to the whole answer."""
    connect_timeout: Annotated[Duration, Field(gt=0)] | None = None
    """How long connecting may take; `timeout` if left out."""
    retry: Retry = Field(default_factory=lambda: FullJitterRetry(strategy="full_jitter"))
    """What a station does when an attempt fails."""
    link: LinkChoice = "unlimited"
    """How the phones are connected: unlimited, phone (assumed Indonesian phones), or a table."""
    max_in_flight: Annotated[int, Field(ge=1)] = 20_000
    """Stations of one worker that may be at it at once. More are a generator_error, never the server's fault."""
    source_addresses: Annotated[int, Field(ge=1, le=250)] = 1
    """Loopback addresses to connect from (127.0.0.1 and up): each has its own ports."""

    @field_validator("tus")
    @classmethod
    def _tus_is_chosen(cls, tus: TusOptions | None, known: ValidationInfo) -> TusOptions | None:
        if tus is not None and known.data.get("protocol", "tus") != "tus":
            message = f'goes with client.protocol = "tus", not with "{known.data["protocol"]}": leave it out'
            raise ValueError(message)
        return tus


class AuditOptions(FrozenModel):
    """How what the server holds is read in the end."""

    kill_server: bool = False
    """Kill the mock as by kill -9 after its drain, and read what it holds once it is back: see run-folder.md."""


class Threshold(FrozenModel):
    """A condition that the run must meet."""

    assertion: str = Field(alias="assert", serialization_alias="assert")
    """The condition, as in "p95(delivery_seconds) < 10s"."""
    abort: bool = False
    """End the run early once this can't be passed any more."""
    grace: Annotated[Duration, Field(ge=0)] = 0.0
    """With `abort`: not before so long after T0 (after the warm-up, if there is one)."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.grace and not self.abort:
            message = "grace says how long abort = true waits: set abort too"
            raise ValueError(message)
        return self


class Scenario(FrozenModel):
    """One load test: who uploads what, when, to which server, with which faults, and what must hold."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    """What the run folder and the reports call it: small letters, digits, - and _."""
    title: Annotated[str, Field(max_length=200), AfterValidator(_check_printable)] = ""
    """A line for people."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """The same scenario and seed plan the same photos, digests and due times, byte for byte."""
    deadline: Annotated[Duration, Field(gt=0)]
    """When the last attempt may start."""
    time_scale: Annotated[float, Field(gt=0)] = 1.0
    """Election seconds per test second: for labels only."""
    warm_up: Annotated[Duration, Field(ge=0)] = 0.0
    """Attempts due before this are kept in the rows and left out of the figures."""
    stations: StationOptions = Field(default_factory=StationOptions)
    """Who uploads."""
    photos: PhotoOptions = Field(default_factory=PhotoOptions)
    """What."""
    arrivals: Arrivals
    """When stations turn up."""
    client: ClientOptions = Field(default_factory=ClientOptions)
    """How a phone uploads, and what it does when that fails."""
    server: ServerProfile = Field(default_factory=ServerProfile)
    """The mock server's ordinary day; not used with --target."""
    faults: Annotated[tuple[AnyFault, ...], BeforeValidator(_list_as_tuple)] = ()
    """The mock server's bad day."""
    audit: AuditOptions = Field(default_factory=AuditOptions)
    """How what is held is read in the end."""
    target: TargetApi | None = None
    """How an upload server that isn't the mock is spoken to; `--target` says where it is. None: the mock's own API."""
    thresholds: Annotated[tuple[Threshold, ...], BeforeValidator(_list_as_tuple)] = ()
    """What must hold, beside that nothing acknowledged is lost."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_distinct_names(self.faults)
        if self.warm_up >= self.deadline:
            message = f"warm_up ({self.warm_up:g}s) must be shorter than the deadline ({self.deadline:g}s)"
            raise ValueError(message)
        strangers = sorted({"server", "faults"} & self.model_fields_set) if self.target is not None else []
        if strangers:
            message = f"[{strangers[0]}] describes the mock and [target] a server that isn't it: remove one of them"
            raise ValueError(message)
        if self.target is not None and self.audit.kill_server:
            message = "audit.kill_server is for the mock: a server of yours is not killed"
            raise ValueError(message)
        if self.target is not None and self.client.protocol == "tus" and not self.target.takes_tus:
            message = 'client.protocol = "tus" has requests of its own: of [target] it takes a path without {…}, headers, login, and method and body as they are'
            raise ValueError(message)
        return self

    @property
    def longest_s(self) -> float:
        """Seconds from T0 until the last attempt has ended, at the latest: one that starts just before the deadline times out."""
        return self.deadline + self.client.timeout

    def mock_profile(self) -> dict[str, Any]:
        """The mock server's profile file: [server] at its top level, the seed, and [[faults]]."""
        faults = [fault.model_dump(mode="json") for fault in self.faults]
        return {**self.server.model_dump(mode="json"), "seed": self.seed, "faults": faults}

    def resolved(self) -> dict[str, Any]:
        """Every key with its value and unit, as run.json keeps it; `parse_resolved` reads it back."""
        left_out = {"target"} if self.target is None else {"server", "faults"}
        return self.model_dump(mode="json", by_alias=True, exclude=left_out)


def parse_resolved(content: dict[str, Any]) -> Scenario:
    """The scenario that `Scenario.resolved` wrote."""
    return Scenario.model_validate(content)
