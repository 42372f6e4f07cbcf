"""The table [simulate]: what a simulation in virtual time adds for the work that it leaves out.

`harness fit` measures these costs from the rows of real runs; the defaults are those of the mock server on a quiet machine.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from mock_server.profile.units import Duration, DurationDistribution, Fixed, FrozenModel, Rate


def _fixed(text: str) -> Fixed[Duration]:
    return Fixed[Duration].model_validate({"value": text})


class FittedRange(FrozenModel):
    """What the runs reached that a model was fitted to: beyond it the model was shown nothing."""

    runs: Annotated[int, Field(ge=1)]
    """Number of runs."""
    attempts_per_s: Annotated[float, Field(gt=0)]
    """Greatest rate of attempts, over ten seconds."""
    in_server: Annotated[int, Field(ge=1)]
    """Most uploads that were in the server at once."""


def _name_or_rate(value: object) -> str:
    return "name" if value == "unlimited" else "rate"


ReceiveRate = Annotated[
    Annotated[Literal["unlimited"], Tag("name")] | Annotated[Rate, Field(gt=0), Tag("rate")],
    Discriminator(_name_or_rate),
]


class SimulationCosts(FrozenModel):
    """Time that a run over sockets needs besides the link and the work of the server's workers.

    Each is a duration or a distribution; a distribution is drawn for each page and attempt.
    """

    connect: DurationDistribution = _fixed("0.13ms")
    """Opening a connection."""
    login: DurationDistribution = _fixed("1.3ms")
    """A login, from its request to its response."""
    logins: bool = True
    """Whether stations log in; an external target may need none."""
    send: Annotated[Rate, Field(gt=0)] = 630e6
    """Rate at which client and server move, parse and hash a photo's bytes on an unlimited link."""
    receive: ReceiveRate = 630e6
    """Rate at which the server's one process takes in the photos on unlimited links, one after the other, those that it refuses
    among them; or "unlimited"."""
    parse: DurationDistribution = _fixed("0.43ms")
    """From a request's header to its admission."""
    commit: DurationDistribution = _fixed("0.85ms")
    """From the end of the work to the commit on disk."""
    answer: DurationDistribution = _fixed("0.26ms")
    """From the commit (or a refusal) to the complete response."""
    restart: Duration = 0.8
    """Start of the server's process after a crash, in addition to the fault's restart_after."""
    fitted: FittedRange | None = None
    """Written by `harness fit` for an external server: the load that [server] was fitted to."""
