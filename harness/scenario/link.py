"""How a station's phone is connected: the table client.link. harness/station/link.py draws by it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from mock_server.profile.units import (
    AnyDistribution,
    Duration,
    DurationDistribution,
    Fixed,
    FrozenModel,
    Probability,
    RateDistribution,
)

_LOWEST_QUANTILE = 1e-6
"""A draw below this quantile will not come up."""


def _check_above_zero(distribution: AnyDistribution) -> AnyDistribution:
    if distribution.quantile(_LOWEST_QUANTILE) <= 0:
        message = "must be above 0: nothing would ever arrive"
        raise ValueError(message)
    return distribution


def _no_delay() -> Fixed[Duration]:
    return Fixed[Duration].model_validate({"value": "0s"})


class Outages(FrozenModel):
    """Times in which nothing gets through; a station's are its own."""

    every: Annotated[DurationDistribution, AfterValidator(_check_above_zero)]
    """From T0 or the end of one outage to the beginning of the next."""
    lasting: DurationDistribution
    """How long one lasts."""


class LinkQuality(FrozenModel):
    """What a connection is like; each station draws its own."""

    upload: Annotated[RateDistribution, AfterValidator(_check_above_zero)]
    """Bytes a second towards the server."""
    rtt: DurationDistribution = Field(default_factory=_no_delay)
    """Round trip: one to connect, one a request."""
    outages: Outages | None = None
    """None if left out."""


class Link(LinkQuality):
    """Good connections, and a share of poor ones."""

    poor_share: Probability = 0.0
    """Share of the stations whose connection is `poor`."""
    poor: LinkQuality | None = None
    """What theirs is like."""

    @model_validator(mode="after")
    def _poor_is_described(self) -> Self:
        if (self.poor is None) != (self.poor_share == 0):
            message = "poor and poor_share belong together"
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
"""Indonesian phones, assumed: medians are published, distributions and outages are not (docs/explanation/domain.md, "Phones")."""


def _name_or_table(value: object) -> str:
    return "table" if isinstance(value, dict | Link) else "name"


LinkChoice = Annotated[
    Annotated[Literal["unlimited", "phone"], Tag("name")] | Annotated[Link, Tag("table")], Discriminator(_name_or_table)
]


def resolve_link(choice: LinkChoice) -> Link | None:
    """The table that a choice stands for; None if nothing limits."""
    if isinstance(choice, Link):
        return choice
    return PHONE_LINK if choice == "phone" else None
