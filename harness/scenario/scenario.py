"""The schema of a scenario: frozen, validated tables. loader.py reads them from a file.

The tables [server] and [[faults]] are the mock server's own (mock_server.profile.profile).
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from harness.base.safe_files import LIST_AS_TUPLE
from harness.scenario.arrivals import Arrivals, ConstantArrivals, PoissonArrivals
from harness.scenario.client import ClientOptions
from harness.scenario.clock_times import clock_s
from harness.scenario.own_client import display_name
from harness.scenario.readers import ReaderOptions
from harness.scenario.recapitulation import RecapitulationOptions
from harness.scenario.simulation import SimulationCosts
from harness.scenario.stations import PAGES_OF_FORM, StationOptions
from harness.scenario.target import TargetApi
from mock_server.faults.registry import POWER_CUT, AnyFault, check_distinct_names
from mock_server.profile.server_profile import ServerProfile
from mock_server.profile.units import Duration, FrozenModel, Lognormal, Size, SizeDistribution

MOCK_TABLES = frozenset({"server", "faults", "simulate"})
"""Keys of a scenario that describe the mock server, or a simulation of it."""
READERS_NEED_PATHS = "readers.levels are those of the mock's public read API: say what to read with readers.paths"


def _check_printable(text: str) -> str:
    if not text.isprintable():
        message = "should be one line without control characters"
        raise ValueError(message)
    return text


def _check_time_of_day(text: str) -> str:
    if text and clock_s(text) is None:
        message = "should be a time of day from 00:00 to 23:59:59"
        raise ValueError(message)
    return text


def _median_photo() -> Lognormal[Size]:
    return Lognormal[Size].model_validate({"median": "1.6MB", "sigma": 0.2, "max": "4MB"})


class PhotoOptions(FrozenModel):
    """The photos: a bank of shared bodies with sizes from the distribution, and a unique tail for each page."""

    size: SizeDistribution = Field(default_factory=_median_photo)
    """Their size: real JPEGs, at least 1 KB."""
    bank: Annotated[int, Field(ge=1, le=64)] = 8
    """Number of different bodies."""
    folder: str | None = None
    """A folder beside the scenario with files to send instead of drawn photos, at most 256: JPEG, PNG, PDF, HEIC or anything."""

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        drawn = [
            key
            for key in ("size", "bank")
            if getattr(self, key) != type(self).model_fields[key].get_default(call_default_factory=True)
        ]
        if self.folder is not None and drawn:
            message = f"{drawn[0]} is of drawn photos, and folder names your own: leave one of them out"
            raise ValueError(message)
        return self


class AuditOptions(FrozenModel):
    """How the server's store is read after the run."""

    kill_server: bool = False
    """Kill the mock (SIGKILL) after its drain, restart it, and read its store then: see run-folder.md."""
    power_cut: bool = False
    """The same, and what the mock had not synced to its disk is lost first, as in a power cut. Needs root and FUSE."""


class Threshold(FrozenModel):
    """A condition that the run must meet."""

    assertion: str = Field(alias="assert", serialization_alias="assert")
    """The condition, as in "p95(delivery_seconds) < 10s"."""
    abort: bool = False
    """End the run early once this threshold can no longer be met."""
    grace: Annotated[Duration, Field(ge=0)] = 0.0
    """With `abort`: how long after T0 (or after the warm-up) the run goes on in any case."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.grace and not self.abort:
            message = "grace is how long abort = true waits: set abort too"
            raise ValueError(message)
        return self


_TARGET_OF_OWN_CLIENTS = ("stored", "accept_unknown_safety", "metrics")


def _check_own_with_target(own: str, target: TargetApi) -> None:
    # By value: run.json has every key, also those that nobody set.
    others = [name for name in TargetApi.model_fields if name not in _TARGET_OF_OWN_CLIENTS]
    surplus = [
        name
        for name in others
        if getattr(target, name) != TargetApi.model_fields[name].get_default(call_default_factory=True)
    ]
    if surplus:
        message = (
            f"target.{surplus[0]} describes requests, and the own client {display_name(own)} makes them itself: leave it out "
            f"(beside an own client [target] has {', '.join(_TARGET_OF_OWN_CLIENTS)})"
        )
        raise ValueError(message)


class Scenario(FrozenModel):
    """One load test: who uploads what, when, to which server, with which faults, and what must hold."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    """Names the run folder and the reports: lowercase letters, digits, - and _."""
    title: Annotated[str, Field(max_length=200), AfterValidator(_check_printable)] = ""
    """One line for readers."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """The same scenario and seed give the same photos, digests and due times, byte for byte."""
    deadline: Annotated[Duration, Field(gt=0)]
    """When the last attempt may start."""
    starts_at: Annotated[str, AfterValidator(_check_time_of_day)] = ""
    """Time of day at T0, as in "17:00": then deadline, start, until and the times of a curve may be times of day too."""
    time_scale: Annotated[float, Field(gt=0)] = 1.0
    """Election seconds per test second: for labels, and for [recapitulation]."""
    warm_up: Annotated[Duration, Field(ge=0)] = 0.0
    """Attempts due before this stay in the rows but not in the figures."""
    stations: StationOptions = Field(default_factory=StationOptions)
    """Which stations upload."""
    photos: PhotoOptions = Field(default_factory=PhotoOptions)
    """What they upload."""
    arrivals: Arrivals
    """When stations arrive."""
    client: ClientOptions = Field(default_factory=ClientOptions)
    """How a phone uploads, and what it does when that fails."""
    readers: ReaderOptions | None = None
    """Who reads the published results meanwhile; no readers if left out."""
    server: ServerProfile = Field(default_factory=ServerProfile)
    """The mock server without faults; not used with --target."""
    faults: Annotated[tuple[AnyFault, ...], LIST_AS_TUPLE] = ()
    """Faults of the mock server."""
    simulate: SimulationCosts = Field(default_factory=SimulationCosts)
    """What `harness simulate` adds for the work that it leaves out."""
    audit: AuditOptions = Field(default_factory=AuditOptions)
    """How the server's store is read after the run."""
    recapitulation: RecapitulationOptions | None = None
    """What follows the upload, to show how late uploads delay it; left out: not shown."""
    target: TargetApi | None = None
    """The API of an upload server that is not the mock; `--target` gives its address. If left out: the mock's own API."""
    thresholds: Annotated[tuple[Threshold, ...], LIST_AS_TUPLE] = ()
    """Conditions that the run must meet, besides losing no acknowledged page."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_distinct_names(self.faults)
        if self.warm_up >= self.deadline:
            message = f"warm_up ({self.warm_up:g}s) must be shorter than the deadline ({self.deadline:g}s)"
            raise ValueError(message)
        mock_tables = sorted(MOCK_TABLES & self.model_fields_set) if self.target is not None else []
        if mock_tables:
            message = f"[{mock_tables[0]}] describes the mock, and [target] another server: remove one of them"
            raise ValueError(message)
        unanswered = [one for one in self.thresholds if one.assertion.lstrip().startswith("recapitulation.")]
        if unanswered and self.recapitulation is None:
            message = f'the threshold "{unanswered[0].assertion}" needs the table [recapitulation]: add it'
            raise ValueError(message)
        if self.target is not None and (self.audit.kill_server or self.audit.power_cut):
            key = "power_cut" if self.audit.power_cut else "kill_server"
            other = " (harness powercut does)" if self.audit.power_cut else ""
            message = f"audit.{key} is for the mock only: the harness does not kill a server of yours{other}"
            raise ValueError(message)
        if self.target is not None and self.readers is not None and not self.readers.paths:
            message = f"{READERS_NEED_PATHS}: [target] describes another server"
            raise ValueError(message)
        if self.target is not None and self.client.own:
            _check_own_with_target(self.client.own, self.target)
        elif self.target is not None and self.target.path is None and not self.target.steps:
            message = "target.path is missing (or [[target.steps]], where an upload takes several requests)"
            raise ValueError(message)
        if self.target is not None and self.client.protocol == "tus" and not self.target.takes_tus:
            message = (
                'client.protocol = "tus" defines its own requests: [target] may only have a path without {…}, headers and login, '
                "and the default method and body"
            )
            raise ValueError(message)
        if self.target is not None and self.client.protocol == "resumable" and not self.target.takes_resumable:
            message = (
                'client.protocol = "resumable" makes an upload of one request resumable: [target] needs a path and '
                'body = "raw", without steps and sign'
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _stations_fit(self) -> Self:
        if self.stations.count is not None and self.rated_stations is not None:
            message = f"arrivals.rate asks for {self.rated_stations:,} stations over the time: leave stations.count out"
            raise ValueError(message)
        own_list = self.stations.file is not None
        if own_list and self.recapitulation is not None:
            message = "[recapitulation] needs the kelurahan of a region's codes: leave it out with stations.file"
            raise ValueError(message)
        if own_list and self.readers is not None and not self.readers.paths and self.readers.levels != ("nation",):
            message = "readers.levels are places of a region's codes: with stations.file give readers.paths"
            raise ValueError(message)
        return self

    @property
    def rated_stations(self) -> int | None:
        """How many stations arrivals by rate need; None for arrivals of a given number of stations."""
        return self.arrivals.rated_stations if isinstance(self.arrivals, ConstantArrivals | PoissonArrivals) else None

    @property
    def station_count(self) -> int | None:
        """How many stations take part; None for all of the region."""
        return self.stations.count if self.rated_stations is None else self.rated_stations

    @property
    def cuts_power(self) -> bool:
        """Whether the mock's data must be on a disk whose power can be cut."""
        return self.audit.power_cut or any(fault.kind == POWER_CUT for fault in self.faults)

    @property
    def longest_s(self) -> float:
        """Seconds from T0 by which the last attempt and read have ended: one that starts just before the deadline and times out."""
        return self.deadline + max(self.client.timeout, 0.0 if self.readers is None else self.readers.timeout)

    def faults_over_s(self, now_s: float) -> float:
        """When the last of the faults that begin after `now_s` and before the deadline is over, at most the deadline; else 0.

        A run in which every page is delivered waits for them: a crash still to come may lose some of the pages.
        """
        to_come = [fault for fault in self.faults if now_s < fault.start < self.deadline]
        return min(self.deadline, max((fault.end or float("inf") for fault in to_come), default=0.0))

    def mock_profile(self) -> dict[str, Any]:
        """The content of the mock server's profile file: [server] at the top level, the seed, and [[faults]]."""
        faults = [fault.model_dump(mode="json") for fault in self.faults]
        server = self.server.model_dump(mode="json")
        if self.photos.folder is not None and "accepts" not in self.server.model_fields_set:
            server["accepts"] = "any"
        own = {form: pages for form, pages in self.stations.forms.items() if PAGES_OF_FORM.get(form) != pages}
        forms = {"forms": {**PAGES_OF_FORM, **own}} if own else {}
        return {**server, "seed": self.seed, **forms, "faults": faults}

    def resolved(self) -> dict[str, Any]:
        """Every key with its value and unit, as run.json records it; `parse_resolved` reads it back."""
        left_out = {"target"} if self.target is None else set(MOCK_TABLES)
        return self.model_dump(mode="json", by_alias=True, exclude=left_out)


def parse_resolved(content: dict[str, Any]) -> Scenario:
    """The scenario from what `Scenario.resolved` returned. Raises ValidationError."""
    return Scenario.model_validate(content)
