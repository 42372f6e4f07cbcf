"""The client of a scenario: the tables [client], [client.tus], [client.tls] and [client.link].

harness/drive/client/ sends by them, harness/station/link.py draws each station's link. [client.retry] is in retry.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from harness.scenario.own_client import check_own_client
from harness.scenario.retry import FullJitterRetry, Retry
from mock_server.profile.units import (
    AnyDistribution,
    Duration,
    DurationDistribution,
    Fixed,
    FrozenModel,
    Probability,
    RateDistribution,
    Size,
)

MIN_CHUNK_BYTES = 1000
_LOWEST_QUANTILE = 1e-6
"""Draws below this quantile are too rare to matter: 1 of a million stations."""


def _check_above_zero(distribution: AnyDistribution) -> AnyDistribution:
    if distribution.quantile(_LOWEST_QUANTILE) <= 0:
        message = "must be above 0: nothing would ever arrive"
        raise ValueError(message)
    return distribution


def _no_delay() -> Fixed[Duration]:
    return Fixed[Duration].model_validate({"value": "0s"})


BuiltInProtocol = Literal["multipart", "put", "tus", "resumable"]
BUILT_IN_PROTOCOLS: tuple[str, ...] = get_args(BuiltInProtocol)
"""Every other protocol is an own client (harness/scenario/own_client.py)."""


_PROTOCOL_SCHEMA: dict[str, Any] = {"anyOf": [{"enum": list(BUILT_IN_PROTOCOLS)}, {"type": "string"}]}
"""What an editor offers, and that other names are allowed."""


def _check_protocol(name: str) -> str:
    return name if name in BUILT_IN_PROTOCOLS else check_own_client(name, BUILT_IN_PROTOCOLS)


class TusOptions(FrozenModel):
    """Uploads by tus 1.0.0."""

    chunk_size: Annotated[Size, Field(ge=MIN_CHUNK_BYTES)] | None = None
    """Bytes per PATCH; if left out, all that is missing in one."""
    checksum: Literal["none", "sha1", "sha256"] = "none"
    """Checksum sent with each chunk; a server that checks it keeps nothing of a truncated chunk."""
    creation_with_upload: bool = False
    """Whether the first chunk is sent with the creation."""


class ResumableOptions(FrozenModel):
    """Resumable uploads over HTTP (draft-ietf-httpbis-resumable-upload-12)."""

    chunk_size: Annotated[Size, Field(ge=MIN_CHUNK_BYTES)] | None = None
    """Bytes per request; if left out, all that is missing in one. The server's own limits go before it."""
    creation: Literal["optimistic", "careful"] = "optimistic"
    """optimistic: the photo is sent with the creation; careful: the creation is empty, so that nothing is sent without an
    address to resume it at."""


class TlsOptions(FrozenModel):
    """TLS, if the server speaks it. Its certificate is always verified."""

    resumption: bool = True
    """Whether a station's later connections resume the TLS session of its earlier ones."""
    authority: Annotated[str, Field(min_length=1)] | None = None
    """PEM file of the certificates to trust. If left out: the mock's own, or the system's for another target."""


class Outages(FrozenModel):
    """Times during which nothing gets through, drawn separately for each station."""

    every: Annotated[DurationDistribution, AfterValidator(_check_above_zero)]
    """From T0, or the end of one outage, to the beginning of the next."""
    lasting: DurationDistribution
    """How long an outage lasts."""


class LinkQuality(FrozenModel):
    """The quality of a connection; each station draws its own."""

    upload: Annotated[RateDistribution, AfterValidator(_check_above_zero)]
    """Bandwidth towards the server."""
    rtt: DurationDistribution = Field(default_factory=_no_delay)
    """Round-trip time: one to connect, one per request."""
    outages: Outages | None = None
    """No outages if left out."""


class Link(LinkQuality):
    """Good connections, and a share of poor ones."""

    poor_share: Probability = 0.0
    """Share of the stations whose connection is `poor`."""
    poor: LinkQuality | None = None
    """The quality of theirs."""

    @model_validator(mode="after")
    def _poor_is_described(self) -> Self:
        if (self.poor is None) != (self.poor_share == 0):
            message = "poor and poor_share belong together: set both or neither"
            raise ValueError(message)
        return self


PHONE_LINK = Link.model_validate(
    {
        "upload": {"distribution": "lognormal", "median": "8Mbit/s", "sigma": 1.0},
        "rtt": {"distribution": "lognormal", "median": "50ms", "sigma": 0.6},
        "poor_share": 0.05,
        "poor": {
            "upload": {"distribution": "uniform", "low": "0.2Mbit/s", "high": "0.5Mbit/s"},
            "rtt": "300ms",
            "outages": {
                "every": {"distribution": "exponential", "mean": "60s"},
                "lasting": {"distribution": "exponential", "mean": "10s"},
            },
        },
    }
)
"""Indonesian phones, assumed: the medians are published, distributions and outages are not (docs/explanation/domain.md, "Phones")."""


def _name_or_table(value: object) -> str:
    return "table" if isinstance(value, dict | Link) else "name"


LinkChoice = Annotated[
    Annotated[Literal["unlimited", "phone"], Tag("name")] | Annotated[Link, Tag("table")], Discriminator(_name_or_table)
]


def resolve_link(choice: LinkChoice) -> Link | None:
    """The table that a choice stands for; None if the link is unlimited."""
    if isinstance(choice, Link):
        return choice
    return PHONE_LINK if choice == "phone" else None


class ClientOptions(FrozenModel):
    """How an officer's phone uploads."""

    protocol: Annotated[str, AfterValidator(_check_protocol), WithJsonSchema(_PROTOCOL_SCHEMA)] = "multipart"
    """multipart: a form per page; put: the photo alone; tus: resumable by tus 1.0.0; resumable: by the IETF's draft;
    "my_upload:Delivery": an own client, the class Delivery of my_upload.py beside the scenario; another name: an installed own
    client (entry point in upload_harness.protocols)."""
    tus: TusOptions | None = None
    """How uploads are made by tus; only with protocol = "tus"."""
    resumable: ResumableOptions | None = None
    """How uploads are made by the IETF's draft; only with protocol = "resumable"."""
    trace: bool = False
    """Whether every request carries a `traceparent` (W3C Trace Context), by which it is found in the server's traces."""
    tls: TlsOptions = Field(default_factory=TlsOptions)
    """If the server speaks TLS."""
    connection: Literal["new", "each", "reuse"] = "new"
    """new: one connection per station; each: one per attempt; reuse: a pool shared by the worker's stations."""
    timeout: Annotated[Duration, Field(gt=0)] = 10.0
    """How long an attempt may take, from connecting to the complete response."""
    connect_timeout: Annotated[Duration, Field(gt=0)] | None = None
    """How long connecting may take; `timeout` if left out."""
    retry: Retry = Field(default_factory=lambda: FullJitterRetry(strategy="full_jitter"))
    """What a station does when an attempt fails."""
    link: LinkChoice = "unlimited"
    """The phones' connections: unlimited, phone (assumed Indonesian phones), or a table."""
    max_in_flight: Annotated[int, Field(ge=1)] = 20_000
    """Stations that one worker may have active at once. More are a generator_error, not a failure of the server."""
    source_addresses: Annotated[int, Field(ge=1, le=250)] = 1
    """Loopback addresses to connect from (127.0.0.1 and up): each has its own ports."""

    @property
    def own(self) -> str:
        """The own client that `protocol` names; "" if the protocol is built in."""
        return "" if self.protocol in BUILT_IN_PROTOCOLS else self.protocol

    @property
    def resumes(self) -> bool:
        """Whether an upload that broke off goes on where it ended."""
        return self.protocol in {"tus", "resumable"}

    @field_validator("tus", "resumable")
    @classmethod
    def _its_protocol_is_chosen(cls, options: FrozenModel | None, known: ValidationInfo) -> FrozenModel | None:
        # a validator of these fields, not of the model, so that the message names client.tus
        if options is not None and known.data.get("protocol", known.field_name) != known.field_name:
            message = (
                f'goes with client.protocol = "{known.field_name}", not with "{known.data["protocol"]}": leave it out'
            )
            raise ValueError(message)
        return options
